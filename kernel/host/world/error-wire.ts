import { ShardbookError } from '../../runtime/index.js';
import type { ErrorWire } from './messages.js';

/** An error thrown by a rank's handler, rebuilt on the main thread; `rankStack` is the stack it had there. */
class RankError extends Error {
  readonly rank: number;
  readonly rankStack: string | undefined;

  constructor(rank: number, wire: ErrorWire) {
    super(wire.message, wire.cause ? { cause: fromWire(rank, wire.cause) } : undefined);
    this.name = wire.name;
    this.rank = rank;
    this.rankStack = wire.stack;
    if (wire.stack !== undefined) this.stack = wire.stack;
  }
}

export function toWire(thrown: unknown, depth = 0): ErrorWire {
  if (!isErrorLike(thrown)) return { name: 'Error', message: describe(thrown) };
  const wire: ErrorWire = { name: String(thrown.name), message: String(thrown.message) };
  if (typeof thrown.stack === 'string') wire.stack = thrown.stack;
  const coded = thrown as Partial<ShardbookError>;
  if (typeof coded.code === 'string' && coded.code.startsWith('SB_') && Array.isArray(coded.notes)) {
    // The message of a coded error ends in its notes and help; they travel apart so that they are not written twice.
    const head = wire.message.split('\n  note: ')[0]!.split('\n  help: ')[0]!;
    wire.coded = { code: coded.code, message: head, notes: coded.notes };
    if (typeof coded.help === 'string') wire.coded.help = coded.help;
  }
  if (thrown.cause !== undefined && depth < 4) wire.cause = toWire(thrown.cause, depth + 1);
  return wire;
}

export function fromWire(rank: number, wire: ErrorWire): Error {
  if (wire.coded === undefined) return new RankError(rank, wire);
  const { code, message, notes, help } = wire.coded;
  const error = new ShardbookError({
    code,
    message,
    notes,
    ...(help === undefined ? {} : { help }),
    ...(wire.cause === undefined ? {} : { cause: fromWire(rank, wire.cause) }),
  });
  if (wire.stack !== undefined) error.stack = wire.stack;
  return error;
}

/** Errors of another realm (a vm context) fail `instanceof Error`. */
function isErrorLike(value: unknown): value is Error {
  return typeof value === 'object' && value !== null && 'message' in value && 'name' in value;
}

function describe(value: unknown): string {
  try {
    return typeof value === 'string' ? value : (JSON.stringify(value) ?? String(value));
  } catch {
    return String(value);
  }
}
