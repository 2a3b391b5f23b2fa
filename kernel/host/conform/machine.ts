import { callIn, MissingOperation } from './access.js';
import type { Program, Step } from './format.js';
import { show } from './format.js';
import type { Json } from './json.js';
import { resolve } from './resolve.js';
import './ops/index.js';
import { type Scope, valueIn, valueOut } from './values.js';

/** One rank's interpreter of one program. Operations may keep state of their own in `state` (logs, counters). */
export class Machine implements Scope {
  readonly env = new Map<string, unknown>();
  /** What was observed, by label. */
  readonly seen = new Map<string, Json>();
  readonly state = new Map<string, unknown>();
  readonly rank: number;
  readonly world: number;
  readonly scratch: string;

  constructor(rank: number, world: number, scratch: string) {
    this.rank = rank;
    this.world = world;
    this.scratch = scratch;
  }

  /** Runs every step; the error of a step that should not fail names the step. */
  async run(program: Program): Promise<void> {
    callIn('torch', 'manualSeed', 0);
    for (const [i, step] of program.steps.entries()) {
      try {
        await this.step(step);
      } catch (error) {
        throw new StepError(i, step, error);
      }
    }
  }

  private async step(step: Step): Promise<void> {
    if (step.ranks && !step.ranks.includes(this.rank)) return;
    const args = step.args.map((arg) => valueIn(arg, this));
    const kwargs = Object.fromEntries(Object.entries(step.kwargs).map(([k, v]) => [k, valueIn(v, this)]));
    if (step.op === 'observe') {
      this.seen.set(step.as!, valueOut(args[0]));
      return;
    }
    const operation = resolve(step.op);
    if (step.raises) {
      this.seen.set(step.as!, { raises: await raises(() => operation(this, args, kwargs)) });
      return;
    }
    this.bind(step.to, await operation(this, args, kwargs));
  }

  private bind(to: Step['to'], result: unknown): void {
    if (to === undefined) return;
    if (typeof to === 'string') {
      this.env.set(to, result);
      return;
    }
    const values = resultList(result);
    to.forEach((name, i) => {
      if (i < values.length) this.env.set(name, values[i]);
    });
  }
}

/** The parts of a result that PyTorch returns as a tuple: a list, or the values of a named result in order. */
function resultList(result: unknown): unknown[] {
  if (Array.isArray(result)) return result;
  if (typeof result === 'object' && result !== null) {
    return Symbol.iterator in result ? Array.from(result as Iterable<unknown>) : Object.values(result);
  }
  return [result];
}

/** An operation we lack is never the error that a program waits for. */
async function raises(run: () => unknown): Promise<boolean> {
  try {
    await run();
    return false;
  } catch (error) {
    if (error instanceof MissingOperation || error instanceof TypeError || error instanceof RangeError) {
      // Engine errors are our own bugs, not the program's; say so instead of counting them as conformance.
      if (!isCoded(error)) throw error;
    }
    if (error instanceof MissingOperation) throw error;
    return true;
  }
}

function isCoded(error: unknown): boolean {
  return (
    typeof (error as { code?: unknown }).code === 'string' &&
    String((error as { code: string }).code).startsWith('SB_')
  );
}

/** What went wrong in which step. */
class StepError extends Error {
  constructor(index: number, step: Step, cause: unknown) {
    const text = cause instanceof Error ? cause.message : String(cause);
    const call = `${step.op}(${step.args.map((arg) => show(arg)).join(', ')})`;
    super(`step ${index} ${call.length > 120 ? `${call.slice(0, 117)}...` : call}: ${text}`, { cause });
    this.name = 'StepError';
  }
}
