import { type ProgramSource, parseProgram } from './format.js';
import { isKnown } from './resolve.js';
import './ops/index.js';

export interface OperationUse {
  op: string;
  programs: number;
  uses: number;
  known: boolean;
}

/** Operations whose argument names another operation to run. */
const CARRIERS: Readonly<Record<string, number>> = { 'nm.scope': 1, 'ag.saved_as': 1, 'ag.gradcheck': 0 };

/** Which operations the programs use, how often, and whether we have them. */
export function listOperations(programs: readonly ProgramSource[]): OperationUse[] {
  const found = new Map<string, OperationUse>();
  for (const source of programs) {
    const here = new Set<string>();
    const note = (op: string): void => {
      const use = found.get(op) ?? { op, programs: 0, uses: 0, known: isKnown(op) };
      if (!found.has(op)) found.set(op, use);
      use.uses++;
      if (!here.has(op)) use.programs++;
      here.add(op);
    };
    for (const { op, args } of parseProgram(source.text).steps) {
      if (op === 'observe') continue;
      note(op);
      const carried = args[CARRIERS[op] ?? -1];
      if (typeof carried === 'string') note(carried);
    }
  }
  return [...found.values()].sort((a, b) => (a.op < b.op ? -1 : 1));
}
