/**
 * Errors of the user's making carry a stable code and a cure; errors of our making are assertions.
 * The text follows one form: action first ("Cannot ..."), quoted values, what is and what is wanted, no final period.
 */
export interface ErrorParts {
  /** Stable identifier, `SB_` and upper case words. */
  code: string;
  /** Stands alone: says what could not be done and why. */
  message: string;
  /** Context, one line each. */
  notes?: readonly string[];
  /** How to mend it. */
  help?: string;
  cause?: unknown;
}

/** A mistake of the user's; its message has notes and help below it. */
export class ShardbookError extends Error {
  readonly code: string;
  readonly notes: readonly string[];
  readonly help: string | undefined;

  constructor(parts: ErrorParts) {
    super(formatError(parts), parts.cause === undefined ? undefined : { cause: parts.cause });
    this.name = 'ShardbookError';
    this.code = parts.code;
    this.notes = parts.notes ?? [];
    this.help = parts.help;
  }
}

function formatError({ message, notes = [], help }: ErrorParts): string {
  const lines = [message, ...notes.map((note) => `  note: ${note}`)];
  if (help !== undefined) lines.push(`  help: ${help}`);
  return lines.join('\n');
}

/** Fails when something that this code base guarantees does not hold: our bug, never the user's. */
export function assert(condition: unknown, message: string): asserts condition {
  if (!condition) throw new Error(`Internal error (please report): ${message}`);
}

/** The nearest of `names` to a mistyped `name`, for "did you mean" lines; undefined when none is near. */
export function nearestName(name: string, names: Iterable<string>): string | undefined {
  let best: string | undefined;
  let bestDistance = Math.max(1, Math.floor(name.length / 3)) + 1;
  for (const candidate of names) {
    const distance = editDistance(name, candidate);
    if (distance < bestDistance) {
      best = candidate;
      bestDistance = distance;
    }
  }
  return best;
}

/** Letters that are changed, missing, too many, or swapped with their neighbour. */
function editDistance(a: string, b: string): number {
  let before: number[] = [];
  let previous = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const substitute = previous[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      const swapped = i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1];
      const swap = swapped ? before[j - 2]! + 1 : Number.POSITIVE_INFINITY;
      row.push(Math.min(row[j - 1]! + 1, previous[j]! + 1, substitute, swap));
    }
    before = previous;
    previous = row;
  }
  return previous[b.length]!;
}
