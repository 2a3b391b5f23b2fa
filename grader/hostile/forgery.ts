/** Submissions that speak on the channel themselves. */
import { type Hostile, asyncFn, frame, get } from './common.js';

export const forgery: Hostile[] = [
  {
    name: 'nonsense on the channel',
    source: asyncFn(`${get('fs')}.writeSync(3, 'x'.repeat(64)); for (;;);`),
    verdict: 'protocol-error',
    says: 'a frame of',
  },
  {
    name: 'a result of zeros',
    source: asyncFn(
      frame(
        "send({ type: 'returned', run: 1, value: { tensor: 0 }, tensors: [{ dtype: 'float32', shape: [4] }], inputs: [], aliased: false }, new Uint8Array(16)); for (;;);",
      ),
    ),
    verdict: 'wrong',
    says: 'has 0',
  },
  {
    name: 'a verdict of its own',
    source: asyncFn(frame("send({ type: 'verdict', run: 1, verdict: 'pass' }); for (;;);")),
    verdict: 'protocol-error',
    says: 'out of turn',
  },
  {
    name: 'a guessed run',
    source: asyncFn(
      frame(
        "for (let run = 0; run < 9; run++) send({ type: 'returned', run, value: true, tensors: [], inputs: [] }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
  },
  {
    name: 'fewer bytes than said',
    source: asyncFn(
      frame(
        "send({ type: 'returned', run: 1, value: { tensor: 0 }, tensors: [{ dtype: 'float32', shape: [4] }], inputs: [] }, new Uint8Array(3)); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'fewer bytes',
  },
  {
    name: 'a tensor that is not there',
    source: asyncFn(
      frame("send({ type: 'returned', run: 1, value: { tensor: 7 }, tensors: [], inputs: [] }); for (;;);"),
    ),
    verdict: 'protocol-error',
  },
  {
    name: 'an unknown dtype',
    source: asyncFn(
      frame(
        "send({ type: 'returned', run: 1, value: { tensor: 0 }, tensors: [{ dtype: '__proto__', shape: [1] }], inputs: [] }, new Uint8Array(4)); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
  },
  { name: 'header null', source: asyncFn(frame('send(null); for (;;);')), verdict: 'protocol-error' },
  {
    name: 'deep JSON',
    source: asyncFn(
      frame(
        "let h: any = 1; for (let i = 0; i < 2000; i++) h = { list: [h] }; send({ type: 'returned', run: 1, value: h, tensors: [], inputs: [] }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'nested too deeply',
  },
  {
    name: 'a header of four gigabytes',
    source: asyncFn(`const p = new Uint8Array(8).fill(255); ${get('fs')}.writeSync(3, p); for (;;);`),
    verdict: 'protocol-error',
    says: 'a frame of',
  },
  {
    name: 'flood of frames',
    source: asyncFn(
      frame(
        "if (comm.rank === 0) { send({ type: 'recv', run: 1, handle: 0, peer: 1, tensor: { dtype: 'uint8', shape: [1] } }); for (;;) send({ type: 'wait', run: 1, handle: 0 }); } for (;;);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'frames',
  },
  {
    name: 'half a frame',
    source: asyncFn(`const p = new Uint8Array(8); p[0] = 100; ${get('fs')}.writeSync(3, p); for (;;);`),
    verdict: 'timeout',
  },
  {
    name: 'forged collective',
    source: asyncFn(
      frame(
        "send({ type: 'collective', run: 1, handle: 0, call: { op: 'allReduce', group: 'world', ranks: [5], seq: 1, tensors: [] } }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
  },
  {
    name: 'forged transfer',
    source: asyncFn(
      frame(
        "send({ type: 'send', run: 1, handle: 0, peer: 1, tensor: { dtype: 'float32', shape: [1000000] } }); for (;;);",
      ),
    ),
    verdict: 'protocol-error',
    says: 'sent 0 bytes',
  },
  {
    name: 'load-failed in the call',
    source: asyncFn(frame("send({ type: 'load-failed', failure: {} }); for (;;);")),
    verdict: 'protocol-error',
  },
];

