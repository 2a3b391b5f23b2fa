/** The session as a debugger sees it. */
import type { RunCells } from './cells.js';
import { type Ranks, soon } from './ranks.js';
import type { CellError, DebugTarget, SessionApi, UserExpressionResult, VariableView } from './types.js';

export interface DebugHost {
  session: SessionApi;
  ranks: Ranks;
  cells: RunCells;
  /** Called before ranks are interrupted. */
  interrupts: Set<() => Promise<void>>;
  isBusy(): boolean;
  /** In turn with the cells: an expression on rank 0. */
  evaluate(code: string): Promise<UserExpressionResult>;
  /** In turn with the cells: a program on these ranks, of which nothing is shown; not run if `unless` has no type errors. */
  run(code: string, ranks: readonly number[], unless?: string): Promise<CellError | undefined>;
}

/** What the executor of a rank leaves for debuggers. */
const HOOK = "(globalThis as any)[Symbol.for('shardbook.debug')]";
const NAMESPACE = `${HOOK}.namespace`;

export function debugTarget({
  session,
  ranks,
  cells,
  interrupts,
  isBusy,
  evaluate,
  run,
}: DebugHost): DebugTarget {
  return {
    get worldSize() {
      return session.worldSize;
    },
    get busy() {
      return isBusy();
    },
    threads: () => ranks.current?.threadIds() ?? [],
    cells: () => cells.list(),
    onCell: (listener) => cells.onCell(listener),
    onInterrupt: (listener) => {
      interrupts.add(listener);
      return () => void interrupts.delete(listener);
    },
    variables: () => session.variables(),
    children: async (rank, path) => {
      const world = await ranks.world;
      if (isBusy() || rank >= world.size) return [];
      const answer = await soon(ranks.ask<VariableView[]>(world, rank, { type: 'children', path }));
      return Array.isArray(answer) ? answer : [];
    },
    evaluate,
    adopt: async (name, of) => {
      // What is known keeps its type.
      await run(`let ${name}: any = ${NAMESPACE}[${JSON.stringify(name)}]`, of, `void ${name}`);
    },
    assign: ([root, ...inside], value, of) => {
      const last = inside.pop();
      if (last === undefined) return run(`${root} = (${value}\n);`, of);
      const holder = [root, ...inside.map((name) => `[${JSON.stringify(name)}]`)].join('');
      return run(`${HOOK}.assign(${holder}, ${JSON.stringify(last)}, (${value}\n));`, of);
    },
  };
}
