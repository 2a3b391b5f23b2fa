/**
 * The links between the ranks of one run, on the grader's side: every tensor that goes from rank to rank passes through
 * here, so the counts cannot be forged, and a deadlock is seen the moment it exists.
 *
 * Messages of a pair are matched in order and there is no receive from "any", so the values that a program computes do not
 * depend on timing; only whether it gets stuck does. The two schedules are therefore the two extremes of what a real
 * `send` may do: return at once (`buffered`), or return only when the receiver has taken the data (`rendezvous`).
 */
import { byteCount, describeTensor, type WireTensor } from './wire.js';

export type Schedule = 'buffered' | 'rendezvous';

export interface Transfer {
  readonly from: number;
  readonly to: number;
  readonly bytes: number;
}

export interface Completion {
  readonly handle: number;
  readonly body?: Uint8Array;
  readonly error?: string;
  readonly help?: string;
}

interface Operation {
  readonly kind: 'send' | 'recv';
  readonly rank: number;
  readonly peer: number;
  readonly handle: number;
  readonly tensor: WireTensor;
  readonly body: Uint8Array;
}

/** A correct program needs far fewer; a program that sends to itself in a loop is stopped here. */
const MOST_MESSAGES = 20_000;

export class Exchange {
  readonly transfers: Transfer[] = [];
  /** Set when ranks talk nonsense or without end: the run is over. */
  violation: string | undefined;
  private readonly open = new Map<string, Operation>();
  private readonly queues = new Map<string, { sends: Operation[]; recvs: Operation[] }>();
  private readonly waits = new Map<number, number>();
  private readonly finished = new Set<number>();
  private messages = 0;

  constructor(
    readonly worldSize: number,
    readonly schedule: Schedule,
    private readonly complete: (rank: number, completion: Completion) => void,
  ) {}

  post(
    kind: 'send' | 'recv',
    rank: number,
    handle: number,
    peer: number,
    tensor: WireTensor,
    body: Uint8Array,
  ): void {
    if (++this.messages > MOST_MESSAGES) {
      this.violation = `more than ${MOST_MESSAGES} sends and receives in one call`;
      return;
    }
    const refusal = this.refusal(kind, rank, peer);
    if (refusal !== undefined) {
      this.complete(rank, { handle, error: refusal });
      return;
    }
    if (kind === 'send' && body.length !== byteCount(tensor)) {
      this.violation = `rank ${rank} sent ${body.length} bytes as ${describeTensor(tensor)}`;
      return;
    }
    const operation: Operation = { kind, rank, peer, handle, tensor, body };
    this.open.set(key(rank, handle), operation);
    const queue = this.queue(kind === 'send' ? [rank, peer] : [peer, rank]);
    (kind === 'send' ? queue.sends : queue.recvs).push(operation);
    // A buffered send is over for its rank at once; the message still waits for its receiver.
    if (kind === 'send' && this.schedule === 'buffered') this.close(operation, {});
    while (queue.sends.length > 0 && queue.recvs.length > 0)
      this.match(queue.sends.shift()!, queue.recvs.shift()!);
  }

  /** The rank does nothing before its operation `handle` is complete. */
  wait(rank: number, handle: number): void {
    if (this.open.has(key(rank, handle))) this.waits.set(rank, handle);
  }

  finish(rank: number): void {
    this.finished.add(rank);
  }

  /** What each rank waits for, when none can go on any more; undefined while one can. */
  deadlock(): string[] | undefined {
    if (this.waits.size === 0 || this.waits.size + this.finished.size < this.worldSize) return undefined;
    return Array.from({ length: this.worldSize }, (_, rank) => this.describe(rank));
  }

  /** Fails every wait, so that ranks unwind and say where they stood. */
  abort(reason: string): void {
    for (const [rank, handle] of [...this.waits]) {
      this.waits.delete(rank);
      this.complete(rank, { handle, error: reason });
    }
  }

  /** Bytes that each rank sent. */
  sentBytes(): number[] {
    const sent = new Array<number>(this.worldSize).fill(0);
    for (const { from, bytes } of this.transfers) sent[from]! += bytes;
    return sent;
  }

  private describe(rank: number): string {
    const handle = this.waits.get(rank);
    const operation = handle === undefined ? undefined : this.open.get(key(rank, handle));
    if (operation === undefined) return `rank ${rank} has returned`;
    const { kind, peer, tensor } = operation;
    return `rank ${rank} waits in ${kind}(${describeTensor(tensor)}, ${peer}) for rank ${peer}`;
  }

  private refusal(kind: string, rank: number, peer: number): string | undefined {
    if (!Number.isInteger(peer) || peer < 0 || peer >= this.worldSize) {
      return `Cannot ${kind} on rank ${rank}: rank ${peer} is not in a world of ${this.worldSize}`;
    }
    return peer === rank ? `Cannot ${kind} on rank ${rank}: the other side is the rank itself` : undefined;
  }

  private match(send: Operation, recv: Operation): void {
    if (send.tensor.dtype !== recv.tensor.dtype || byteCount(send.tensor) !== byteCount(recv.tensor)) {
      const error =
        `Cannot receive on rank ${recv.rank} from rank ${send.rank}: ` +
        `sent ${describeTensor(send.tensor)}, wanted ${describeTensor(recv.tensor)}`;
      const help = 'Both sides must agree on which piece goes over the link in this step';
      this.close(send, { error, help });
      this.close(recv, { error, help });
      return;
    }
    this.transfers.push({ from: send.rank, to: recv.rank, bytes: send.body.length });
    this.close(recv, { body: send.body });
    this.close(send, {});
  }

  private close(operation: Operation, result: Omit<Completion, 'handle'>): void {
    const { rank, handle } = operation;
    if (!this.open.delete(key(rank, handle))) return;
    if (this.waits.get(rank) === handle) this.waits.delete(rank);
    this.complete(rank, { handle, ...result });
  }

  private queue([from, to]: [number, number]): { sends: Operation[]; recvs: Operation[] } {
    const name = key(from, to);
    let queue = this.queues.get(name);
    if (queue === undefined) {
      queue = { sends: [], recvs: [] };
      this.queues.set(name, queue);
    }
    return queue;
  }
}

function key(a: number, b: number): string {
  return `${a}/${b}`;
}
