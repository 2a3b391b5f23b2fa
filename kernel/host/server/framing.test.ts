import fc from 'fast-check';
import { describe, expect, it } from 'vitest';
import { ShardbookError } from '../../runtime/base/index.js';
import { decodeDefault, decodeV1, encodeDefault, encodeV1 } from './framing.js';
import type { WireMessage } from './kernel-port.js';

const header = {
  msg_id: 'a',
  msg_type: 'execute_request',
  session: 's',
  username: 'u',
  date: 'd',
  version: '5.4',
};
const message = (buffers: Uint8Array[] = []): WireMessage => ({
  channel: 'shell',
  header,
  parent_header: {},
  metadata: { é: 1 },
  content: { code: 'π = "日本"' },
  buffers,
});
const buffers = [new Uint8Array([1, 2, 3]), new Uint8Array(0), new Uint8Array([255])];
const plain = (value: WireMessage) => ({ ...value, buffers: value.buffers.map((part) => [...part]) });

describe('v1 framing', () => {
  it('gives back what it was given, with and without buffers', () => {
    expect(plain(decodeV1(encodeV1(message())))).toEqual(plain(message()));
    expect(plain(decodeV1(encodeV1(message(buffers))))).toEqual(plain(message(buffers)));
  });

  it('lays out count, offsets and parts as the protocol says', () => {
    const frame = encodeV1(message([new Uint8Array([7])]));
    const view = new DataView(frame.buffer);
    expect(view.getBigUint64(0, true)).toBe(7n);
    expect(view.getBigUint64(8, true)).toBe(64n);
    expect(new TextDecoder().decode(frame.subarray(64, 69))).toBe('shell');
    expect(view.getBigUint64(56, true)).toBe(BigInt(frame.byteLength));
    expect(frame.at(-1)).toBe(7);
  });

  it('reads a frame that is a view into a larger buffer', () => {
    const frame = encodeV1(message());
    const larger = new Uint8Array(frame.byteLength + 5);
    larger.set(frame, 5);
    expect(decodeV1(larger.subarray(5)).header.msg_id).toBe('a');
  });

  it('refuses a forged count', () => {
    const frame = encodeV1(message());
    new DataView(frame.buffer).setBigUint64(0, 2n ** 63n, true);
    expect(() => decodeV1(frame)).toThrow('Cannot read a kernel message: it says it has');
  });

  it('refuses offsets out of order', () => {
    const frame = encodeV1(message());
    new DataView(frame.buffer).setBigUint64(16, 3n, true);
    expect(() => decodeV1(frame)).toThrow('out of order or outside');
  });

  it('refuses a header without msg_id', () => {
    const bad = { ...message(), header: { ...header, msg_id: undefined } } as unknown as WireMessage;
    expect(() => decodeV1(encodeV1(bad))).toThrow('its header has no msg_id');
  });

  it('fails with a coded error, and no other, for any damage to a frame', () => {
    const frame = encodeV1(message(buffers));
    const damage = fc.array(fc.tuple(fc.nat(frame.byteLength - 1), fc.nat(255)), {
      minLength: 1,
      maxLength: 6,
    });
    fc.assert(
      fc.property(damage, fc.nat(frame.byteLength), (changes, length) => {
        const copy = frame.slice(0, length);
        for (const [at, value] of changes) if (at < length) copy[at] = value;
        try {
          decodeV1(copy);
        } catch (error) {
          if (!(error instanceof ShardbookError)) throw error;
        }
      }),
      { numRuns: 2000, seed: 3 },
    );
  });
});

describe('default framing', () => {
  it('is text without buffers', () => {
    const frame = encodeDefault(message());
    expect(typeof frame).toBe('string');
    expect(plain(decodeDefault(frame))).toEqual(plain(message()));
  });

  it('is binary with buffers', () => {
    const frame = encodeDefault(message(buffers));
    expect(frame).toBeInstanceOf(Uint8Array);
    expect(plain(decodeDefault(frame))).toEqual(plain(message(buffers)));
  });

  it('refuses what is not a message', () => {
    for (const bad of ['', '[]', '{}', '{"channel":"shell"}', '{"channel":"other","header":{}}']) {
      expect(() => decodeDefault(bad)).toThrow(ShardbookError);
    }
  });
});
