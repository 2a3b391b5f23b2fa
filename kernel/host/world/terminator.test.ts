import { Worker } from 'node:worker_threads';
import { expect, test } from 'vitest';
import { Terminator } from './terminator.js';

test('Terminator.isSettled() is false until a stop has hit something, which is what runs next', async () => {
  const worker = new Worker(
    `const { parentPort } = require('node:worker_threads');
     parentPort.on('message', (message) => parentPort.postMessage(message));`,
    { eval: true },
  );
  const terminator = new Terminator();
  const heard: unknown[] = [];
  worker.on('message', (message) => heard.push(message));
  worker.postMessage('ready');
  await expect.poll(() => heard.length, { timeout: 60_000 }).toBe(1);
  terminator.prepare();
  const stopAndLook = (): boolean => {
    terminator.terminate(worker.threadId);
    return terminator.isSettled(worker.threadId);
  };
  // Until it is attached there is nothing to be asked.
  await expect.poll(stopAndLook, { timeout: 60_000 }).toBe(false);
  const nudgeAndLook = (): boolean => {
    worker.postMessage('nudge');
    return terminator.isSettled(worker.threadId);
  };
  await expect.poll(nudgeAndLook, { timeout: 60_000 }).toBe(true);
  worker.postMessage('question');
  await expect.poll(() => heard.at(-1), { timeout: 60_000 }).toBe('question');
  terminator.close();
  await worker.terminate();
});
