import type { IncomingMessage } from 'node:http';
import { describe, expect, it } from 'vitest';
import { createToken, Guard } from './auth.js';

const guard = new Guard('right', 8931);
const good = { host: '127.0.0.1:8931', authorization: 'token right' };
const check = (headers: Record<string, string>, o: { method?: string; path?: string } = {}) =>
  guard.refuse(
    { method: o.method ?? 'GET', headers } as unknown as IncomingMessage,
    new URL(`http://127.0.0.1:8931${o.path ?? '/api'}`),
  )?.status;

describe('Guard', () => {
  it('takes the token from header, address or cookie', () => {
    const { host } = good;
    expect(check(good)).toBeUndefined();
    expect(check({ host, authorization: 'Bearer right' })).toBeUndefined();
    expect(check({ host }, { path: '/api?token=right' })).toBeUndefined();
    expect(check({ host, cookie: 'a=b; shardbook-8931=right' })).toBeUndefined();
  });

  it('refuses a missing token with 401 and a wrong one with 403', () => {
    const { host } = good;
    expect(check({ host })).toBe(401);
    expect(check({ host, authorization: 'token wrong' })).toBe(403);
    expect(check({ host }, { path: '/api?token=' })).toBe(401);
    expect(check({ host, cookie: 'shardbook-8932=right' })).toBe(401);
    expect(check({ host, cookie: 'shardbook-8931=righ' })).toBe(403);
  });

  it('refuses hosts that are not this machine, as a re-bound domain sends', () => {
    for (const host of [
      'evil.example:8931',
      '127.0.0.1.evil.example:8931',
      '127.0.0.1:80',
      '127.0.0.1',
      '',
    ]) {
      expect(check({ ...good, host }), host).toBe(403);
    }
    expect(check({ authorization: 'token right' })).toBe(403);
    expect(check({ ...good, host: 'localhost:8931' })).toBeUndefined();
  });

  it('refuses other origins, even with the token', () => {
    for (const origin of [
      'https://evil.example',
      'null',
      'http://127.0.0.1:8932',
      'https://127.0.0.1:8931',
      'http://127.0.0.1:8931.evil.example',
    ]) {
      expect(check({ ...good, origin }, { method: 'POST' }), origin).toBe(403);
    }
    expect(check({ ...good, origin: 'http://127.0.0.1:8931' }, { method: 'POST' })).toBeUndefined();
  });

  it('refuses requests that a browser says come from another site, but not following a link', () => {
    expect(check({ ...good, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'no-cors' })).toBe(403);
    expect(check({ ...good, 'sec-fetch-site': 'same-site', 'sec-fetch-mode': 'cors' })).toBe(403);
    expect(check({ ...good, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' })).toBeUndefined();
    expect(
      check({ ...good, 'sec-fetch-site': 'cross-site', 'sec-fetch-mode': 'navigate' }, { method: 'POST' }),
    ).toBe(403);
  });

  it('makes a new long token each time', () => {
    expect(createToken()).toMatch(/^[0-9a-f]{48}$/);
    expect(createToken()).not.toBe(createToken());
  });
});
