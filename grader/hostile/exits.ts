/** Submissions that end, or try to end, a process. */
import { type Hostile, asyncFn, fn, RIGHT } from './common.js';

export const exits: Hostile[] = [
  { name: 'exit 0 at import', source: 'process.exit(0);', verdict: 'crashed', says: 'exit code 0' },
  { name: 'exit 0 in the call', source: fn('process.exit(0);'), verdict: 'crashed', says: 'exit code 0' },
  {
    name: 'exit while it waits',
    source: asyncFn(
      `setTimeout(() => process.exit(0), 0); await new Promise((done) => setTimeout(done, 200)); ${RIGHT}`,
    ),
    verdict: 'crashed',
  },
  {
    name: 'reallyExit',
    source: fn('(process as any).reallyExit(0);'),
    verdict: 'crashed',
    says: 'exit code 0',
  },
  { name: 'abort', source: fn('process.abort();'), verdict: 'crashed' },
  {
    name: 'kills itself',
    source: fn("process.kill(process.pid, 'SIGKILL'); for (;;);"),
    verdict: 'crashed',
    says: 'SIGKILL',
  },
  {
    name: 'kills its parent',
    source: fn("process.kill(process.ppid, 'SIGKILL'); for (;;);"),
    verdict: 'timeout',
  },
  {
    name: 'kills everything',
    source: fn("try { process.kill(-1, 'SIGKILL'); } catch {} for (;;);"),
    verdict: 'timeout',
  },
  { name: 'stops itself', source: fn("process.kill(process.pid, 'SIGSTOP'); for (;;);"), verdict: 'timeout' },
  {
    name: 'unhandled rejection',
    source: fn("Promise.reject(new Error('later')); return new Promise(() => {});"),
    verdict: 'runtime-error',
    says: 'later',
  },
  {
    name: 'error in a timer',
    source: fn("setTimeout(() => { throw new Error('tick'); }, 1); return new Promise(() => {});"),
    verdict: 'runtime-error',
    says: 'tick',
  },
  {
    name: 'destroys the process object',
    source: fn('(globalThis as any).process = undefined; return t;'),
    verdict: 'wrong',
  },
];

