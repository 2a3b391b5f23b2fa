import { expect, it } from 'vitest';
import { watched } from './watched.js';

it('watched() ends a check that waits for nothing, as a failure of the grader', async () => {
  await expect(watched('never', () => new Promise(() => {}), 0.05)).rejects.toMatchObject({
    verdict: 'infra-error',
    feedback: { message: 'The check "never" does not end, and asks nothing more' },
  });
  const asksFirst = watched('late', (busy) => busy(async () => {}).then(() => new Promise(() => {})), 0.05);
  await expect(asksFirst).rejects.toMatchObject({ verdict: 'infra-error' });
});

it('watched() lets an answer take its time, and hands on how the check ends', async () => {
  const slow = (): Promise<void> => new Promise((done) => setTimeout(done, 300));
  await watched('slow', (busy) => busy(slow), 0.05);
  await expect(watched('fails', () => Promise.reject(new Error('wrong')), 60)).rejects.toThrow('wrong');
});
