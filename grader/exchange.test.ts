import { describe, expect, it } from 'vitest';
import { type Completion, Exchange, type Schedule } from './exchange.js';
import type { WireCollective, WireTensor } from './wire.js';

const two: WireTensor = { dtype: 'float32', shape: [2] };
const data = new Uint8Array(8).fill(7);

function world(size: number, schedule: Schedule) {
  const done: [number, Completion][] = [];
  const exchange = new Exchange(size, schedule, (rank, completion) => done.push([rank, completion]));
  const send = (rank: number, handle: number, peer: number, tensor = two) =>
    exchange.post('send', rank, handle, peer, tensor, data);
  const recv = (rank: number, handle: number, peer: number, tensor = two) =>
    exchange.post('recv', rank, handle, peer, tensor, new Uint8Array(0));
  return { exchange, done, send, recv };
}

describe('Exchange', () => {
  it('completes a buffered send at once and a rendezvous send when it is received', () => {
    const buffered = world(2, 'buffered');
    buffered.send(0, 0, 1);
    buffered.exchange.wait(0, 0);
    expect(buffered.done).toEqual([[0, { handle: 0 }]]);
    const rendezvous = world(2, 'rendezvous');
    rendezvous.send(0, 0, 1);
    rendezvous.exchange.wait(0, 0);
    expect(rendezvous.done).toEqual([]);
    rendezvous.recv(1, 5, 0);
    rendezvous.exchange.wait(1, 5);
    expect(rendezvous.done).toEqual([
      [0, { handle: 0 }],
      [1, { handle: 5, body: data, from: 0 }],
    ]);
  });

  it('hands out what was received when its rank waits for it, not before', () => {
    const { exchange, done, send, recv } = world(2, 'buffered');
    recv(1, 5, 0);
    send(0, 0, 1);
    expect(done).toEqual([]);
    exchange.wait(1, 5);
    expect(done).toEqual([[1, { handle: 5, body: data, from: 0 }]]);
  });

  it('tells a rank of its complete sends with the next that it waits for, and once', () => {
    const { exchange, done, send, recv } = world(2, 'rendezvous');
    send(0, 0, 1);
    send(0, 1, 1);
    recv(0, 2, 1);
    recv(1, 0, 0);
    send(1, 1, 0);
    exchange.wait(0, 2);
    expect(done).toEqual([[0, { handle: 2, body: data, from: 1, sent: [0] }]]);
    // Said for the count of waits; nobody hears an answer twice.
    exchange.wait(0, 0);
    exchange.wait(0, 1);
    expect(done.length).toBe(1);
    expect(exchange.forgotten(0)).toEqual([]);
    recv(1, 2, 0);
    expect(done[1]).toEqual([0, { handle: 1 }]);
    expect(exchange.violation).toBeUndefined();
  });

  it('stops a rank that waits ahead of time, gives a number twice or names a tensor of no kind', () => {
    const violation = (act: (of: ReturnType<typeof world>) => unknown): string | undefined => {
      const made = world(2, 'buffered');
      act(made);
      return made.exchange.violation;
    };
    expect(violation(({ exchange }) => exchange.wait(1, 5))).toContain('waits for what it has not begun');
    expect(violation(({ recv }) => [recv(0, 0, 1), recv(0, 0, 1)])).toContain('one number');
    for (const tensor of [null, { dtype: 'x'.repeat(1e5), shape: [] }, { dtype: 'float32', shape: [-1] }])
      expect(violation(({ recv }) => recv(0, 0, 1, tensor as WireTensor))).toContain('no kind');
    expect(violation(({ send }) => send(0, 0, 1))).toBeUndefined();
  });

  it('stops a rank whose collective is no call, or has other parts than it says', () => {
    const call = { op: 'allToAll', group: 'world', ranks: [0, 1], seq: 1, tensors: [two] };
    const violation = (named: object | null, body = new Uint8Array([0, 0, 0, 4, 0, 0, 0, 4, ...data])) => {
      const { exchange } = world(2, 'buffered');
      exchange.meet(0, 0, named as WireCollective, body);
      return exchange.violation;
    };
    expect(violation(call)).toBeUndefined();
    for (const other of [
      { tensors: null },
      { tensors: [{ shape: [] }] },
      { ranks: 5 },
      { op: {} },
      { detail: {} },
    ])
      expect(violation({ ...call, ...other })).toBe('rank 0 named a collective of no kind');
    expect(violation(null)).toBe('rank 0 named a collective of no kind');
    // The other ranks would get what virtual time knows nothing of.
    for (const body of [new Uint8Array([0, 0, 0, 0, 0, 0, 0, 4, ...data]), new Uint8Array(7)])
      expect(violation(call, body)).toBe('rank 0 handed other parts to allToAll than it says');
  });

  it('remembers that two sides did not fit, which is a message that no count has in it', () => {
    const { exchange, send, recv } = world(2, 'buffered');
    send(0, 0, 1);
    expect(exchange.disagreement).toBeUndefined();
    recv(1, 0, 0, { dtype: 'float32', shape: [3] });
    expect([exchange.transfers, exchange.disagreement]).toEqual([[], expect.stringContaining('f32[2]')]);
  });

  it('refuses a collective of which every member would get more than a frame holds', () => {
    const { exchange, done } = world(2, 'buffered');
    const large = new Uint8Array(2 ** 25 + 1);
    const tensors: WireTensor[] = [{ dtype: 'uint8', shape: [large.length] }];
    const call = { op: 'allGather', group: 'world', ranks: [0, 1], seq: 1, tensors };
    for (const rank of [0, 1]) {
      exchange.meet(rank, 0, call, large);
      exchange.wait(rank, 0);
    }
    const error = expect.stringContaining('at most 67108864');
    expect(done).toEqual([
      [0, { handle: 0, error }],
      [1, { handle: 0, error }],
    ]);
    expect([exchange.collectives, exchange.deadlock()]).toEqual([[], undefined]);
  });

  it('counts what was moved', () => {
    const { exchange, send, recv } = world(2, 'buffered');
    send(0, 0, 1);
    expect(exchange.sentBytes()).toEqual([0, 0]);
    recv(1, 0, 0);
    expect(exchange.sentBytes()).toEqual([8, 0]);
    expect(exchange.transfers).toEqual([{ from: 0, to: 1, bytes: 8, begun: 0 }]);
  });

  it('knows in which order messages were sent, whatever the order in which they arrive', () => {
    const { exchange, send, recv } = world(3, 'buffered');
    send(0, 0, 1);
    send(0, 1, 2);
    recv(2, 0, 0);
    recv(1, 0, 0);
    expect(exchange.transfers.map(({ to, begun }) => [to, begun])).toEqual([
      [2, 1],
      [1, 0],
    ]);
  });

  it('sees that every rank sends first only when sends wait', () => {
    for (const schedule of ['buffered', 'rendezvous'] as const) {
      const { exchange, send } = world(3, schedule);
      for (let rank = 0; rank < 3; rank++) {
        send(rank, 0, (rank + 1) % 3);
        exchange.wait(rank, 0);
      }
      expect(exchange.deadlock()?.[2]).toBe(
        schedule === 'buffered' ? undefined : 'rank 2 waits in send(f32[2], 0) for rank 0',
      );
    }
  });

  it('calls it a deadlock when the others have returned, and not while one rank computes', () => {
    const { exchange, recv } = world(3, 'buffered');
    recv(0, 0, 1);
    exchange.wait(0, 0);
    exchange.finish(1);
    expect(exchange.deadlock()).toBeUndefined();
    exchange.finish(2);
    expect(exchange.deadlock()).toEqual([
      'rank 0 waits in recv(f32[2], 1) for rank 1',
      'rank 1 has returned',
      'rank 2 has returned',
    ]);
  });

  it('refuses sizes that differ, ranks that do not exist and talking to oneself', () => {
    const { exchange, done, send, recv } = world(2, 'rendezvous');
    send(0, 0, 1);
    recv(1, 0, 0, { dtype: 'float32', shape: [3] });
    send(0, 1, 2);
    send(0, 2, 0);
    for (const [rank, handle] of [
      [0, 0],
      [1, 0],
      [0, 1],
      [0, 2],
    ] as const)
      exchange.wait(rank, handle);
    expect(done.map(([rank, { error }]) => [rank, error])).toEqual([
      [0, 'Cannot receive on rank 1 from rank 0: sent f32[2], wanted f32[3]'],
      [1, 'Cannot receive on rank 1 from rank 0: sent f32[2], wanted f32[3]'],
      [0, 'Cannot send on rank 0: rank 2 is not in a world of 2'],
      [0, 'Cannot send on rank 0: the other side is the rank itself'],
    ]);
  });

  it('stops a rank that sends without end and bytes that are not those of the tensor', () => {
    const storm = world(2, 'buffered');
    for (let i = 0; i <= 20_000; i++) storm.send(0, i, 1);
    expect(storm.exchange.violation).toContain('more than 20000 sends');
    const short = world(2, 'buffered');
    short.send(0, 0, 1, { dtype: 'float64', shape: [2] });
    expect(short.exchange.violation).toBe('rank 0 sent 8 bytes as f64[2]');
  });
});
