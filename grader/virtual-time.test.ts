import { describe, expect, it } from 'vitest';
import { Exchange, type Schedule } from './exchange.js';
import { flatCluster, virtualTime } from './virtual-time.js';
import type { WireCollective, WireTensor } from './wire.js';

const LATENCY = 1e-5;
const SECONDS_PER_BYTE = 1e-9;
const message = (bytes: number): number => LATENCY + bytes * SECONDS_PER_BYTE;

function world(size: number, schedule: Schedule = 'buffered') {
  const exchange = new Exchange(size, schedule, () => {});
  const tensor = (bytes: number): WireTensor => ({ dtype: 'uint8', shape: [bytes] });
  let handles = 0;
  return {
    exchange,
    isend(rank: number, peer: number, bytes: number): number {
      exchange.post('send', rank, ++handles, peer, tensor(bytes), new Uint8Array(bytes));
      return handles;
    },
    irecv(rank: number, peer: number, bytes: number): number {
      exchange.post('recv', rank, ++handles, peer, tensor(bytes), new Uint8Array(0));
      return handles;
    },
    meet(rank: number, call: Partial<WireCollective> & { op: string; ranks: number[] }, body: Uint8Array) {
      exchange.meet(
        rank,
        ++handles,
        { group: 'world', seq: 1, tensors: [tensor(body.length)], ...call },
        body,
      );
      return handles;
    },
    seconds: () => virtualTime(exchange).seconds,
  };
}

describe('virtualTime', () => {
  it('is the latency and the bytes of one message', () => {
    const { exchange, isend, irecv, seconds } = world(2);
    isend(0, 1, 500);
    exchange.wait(1, irecv(1, 0, 500));
    expect(seconds()).toBeCloseTo(message(500), 12);
  });

  it('adds up what a rank passes on only after it waited, and lets other things go on meanwhile', () => {
    const chain = world(3);
    chain.isend(0, 1, 500);
    chain.exchange.wait(1, chain.irecv(1, 0, 500));
    chain.isend(1, 2, 500);
    chain.exchange.wait(2, chain.irecv(2, 1, 500));
    expect(chain.seconds()).toBeCloseTo(2 * message(500), 12);
    const ring = world(3);
    const received = [0, 1, 2].map((rank) => {
      ring.isend(rank, (rank + 1) % 3, 500);
      return ring.irecv(rank, (rank + 2) % 3, 500);
    });
    received.forEach((handle, rank) => void ring.exchange.wait(rank, handle));
    expect(ring.seconds()).toBeCloseTo(message(500), 12);
  });

  it('knows that a port is shared: all to rank 0 takes as long as one after the other', () => {
    const { exchange, isend, irecv, seconds } = world(5);
    for (let rank = 1; rank < 5; rank++) isend(rank, 0, 1000);
    for (let rank = 1; rank < 5; rank++) exchange.wait(0, irecv(0, rank, 1000));
    expect(seconds()).toBeCloseTo(LATENCY + 4000 * SECONDS_PER_BYTE, 12);
  });

  it('holds a send back until its receiver is there only when sends wait', () => {
    for (const [schedule, times] of [
      ['buffered', 2],
      ['rendezvous', 3],
    ] as const) {
      const { exchange, isend, irecv, seconds } = world(3, schedule);
      // Rank 1 first gets what rank 2 has, and only then asks for what rank 0 sent long ago.
      const first = isend(0, 1, 1000);
      const other = isend(2, 1, 1000);
      const fromTwo = irecv(1, 2, 1000);
      exchange.wait(2, other);
      exchange.wait(1, fromTwo);
      const fromZero = irecv(1, 0, 1000);
      exchange.wait(0, first);
      exchange.wait(1, fromZero);
      exchange.wait(2, irecv(2, 0, 0));
      isend(0, 2, 0);
      const wanted =
        schedule === 'buffered' ? LATENCY + 2000 * SECONDS_PER_BYTE : 2 * message(1000) + LATENCY;
      expect(seconds(), `${schedule}, ${times}`).toBeCloseTo(wanted, 12);
    }
  });

  it('takes collectives for what they are: a ring, and the largest part of an all-to-all', () => {
    const { meet, exchange, seconds } = world(4);
    for (let rank = 0; rank < 4; rank++)
      exchange.wait(rank, meet(rank, { op: 'allReduce', ranks: [0, 1, 2, 3] }, new Uint8Array(4000)));
    expect(seconds()).toBeCloseTo(6 * message(1000), 12);
    const sizes = (parts: readonly number[]): Uint8Array => {
      const body = new Uint8Array(16 + parts.reduce((a, b) => a + b, 0));
      parts.forEach((size, i) => void new DataView(body.buffer).setUint32(4 * i, size));
      return body;
    };
    const shuffle = world(4);
    for (let rank = 0; rank < 4; rank++)
      shuffle.meet(rank, { op: 'allToAllSingle', ranks: [0, 1, 2, 3] }, sizes([100, 100, 100, 100]));
    expect(shuffle.exchange.collectives[0]!.sends![2]).toEqual([100, 100, 100, 100]);
    expect(shuffle.seconds()).toBeGreaterThanOrEqual(300 * SECONDS_PER_BYTE + LATENCY);
    expect(shuffle.seconds()).toBeLessThan(600 * SECONDS_PER_BYTE + 4 * LATENCY);
  });

  it('has the collectives of instruments in it: what is said to be one is traffic as well', () => {
    const { meet, exchange, seconds } = world(4);
    for (let rank = 0; rank < 4; rank++)
      exchange.wait(
        rank,
        meet(rank, { op: 'allReduce', ranks: [0, 1, 2, 3], quiet: true }, new Uint8Array(4000)),
      );
    expect(exchange.collectives).toEqual([]);
    expect(seconds()).toBeCloseTo(6 * message(1000), 12);
  });

  it('depends on the cluster: what crosses nodes is slower', () => {
    const { exchange, isend, irecv } = world(2);
    isend(0, 1, 1000);
    exchange.wait(1, irecv(1, 0, 1000));
    const fast = virtualTime(exchange, flatCluster(2, { latencySeconds: 1e-6, bytesPerSecond: 1e10 }));
    expect(fast.seconds).toBeCloseTo(1e-6 + 1e-7, 12);
    expect(fast.ranks).toHaveLength(2);
  });
});
