import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { ShardbookError } from 'shardbook';
import type { Exercise } from '../exercise.js';
import { compileFiles } from '../intake/index.js';
import { isMapping } from '../mapping.js';
import { removeTemporary, temporaryFolder } from '../temporary.js';
import { CheckFailure } from '../verdict.js';
import type { CheckTable } from './check.js';
import { type CheckKit, checkKit } from './kit.js';
import { ringAllReduceChecks } from './ring-all-reduce.js';

export type { CheckContext, CheckTable } from './check.js';
export type { CheckKit } from './kit.js';

/** Checks that come with the grader; those of other exercises stand in `solutions/ID/checks.ts`. */
const TABLES: Readonly<Record<string, CheckTable>> = { 'ring-all-reduce': ringAllReduceChecks };
const loaded = new Map<string, CheckTable>();

/** Where an exercise's checks, reference, alternatives and mutants stand. */
export function solutionsOf(exercise: Exercise): string {
  return join(exercise.folder, '..', '..', 'solutions', exercise.id);
}

/** The checks of an exercise; every one that its exercise.yaml names must be there. */
export async function checksOf(exercise: Exercise, packageRoot: string): Promise<CheckTable> {
  const table = Object.hasOwn(TABLES, exercise.id)
    ? TABLES[exercise.id]!
    : await loadChecks(exercise, packageRoot);
  const missing = exercise.checks.map(({ id }) => id).filter((id) => !Object.hasOwn(table, id));
  if (missing.length === 0) return table;
  throw new ShardbookError({
    code: 'SB_EXERCISE_INVALID',
    message: `Cannot judge "${exercise.id}": there is no check ${missing.map((id) => `"${id}"`).join(', ')}`,
    help: `Write it in solutions/${exercise.id}/checks.ts, or take it out of exercise.yaml`,
  });
}

/** What decides a verdict besides the submission: a change of it makes old results old. */
export function specHash(exercise: Exercise): string {
  const hash = createHash('sha256');
  const solutions = solutionsOf(exercise);
  for (const file of [
    join(exercise.folder, 'exercise.yaml'),
    join(exercise.folder, 'harness.ts'),
    join(solutions, 'checks.ts'),
    join(solutions, 'reference.ts'),
  ]) {
    if (existsSync(file)) hash.update(file.slice(file.lastIndexOf('/'))).update(readFileSync(file));
  }
  return hash.digest('hex');
}

async function loadChecks(exercise: Exercise, packageRoot: string): Promise<CheckTable> {
  const file = join(solutionsOf(exercise), 'checks.ts');
  if (!existsSync(file)) return {};
  const text = readFileSync(file, 'utf8');
  const key = `${file}\0${text}`;
  const known = loaded.get(key);
  if (known !== undefined) return known;
  const folder = temporaryFolder('checks');
  try {
    const [compiled] = await compileFiles(packageRoot, {
      files: [{ name: 'checks.ts', text }],
      addresses: {},
      exports: [],
    });
    const module = join(folder, 'checks.mjs');
    writeFileSync(module, compiled!.code);
    // Its source map names it.
    writeFileSync(join(folder, 'checks.ts'), text);
    const table = await tableOf(module).catch((error: unknown) => {
      throw invalid(exercise, `it throws before any check is run: ${String(error)}`);
    });
    if (table === undefined)
      throw invalid(
        exercise,
        'it has no default export that is a function of the kit and returns the checks',
      );
    loaded.set(key, table);
    return table;
  } catch (error) {
    if (error instanceof CheckFailure)
      throw invalid(exercise, `line ${error.feedback.line ?? '?'}: ${error.feedback.message}`);
    throw error;
  } finally {
    removeTemporary(folder);
  }
}

async function tableOf(module: string): Promise<CheckTable | undefined> {
  const { default: make } = (await import(pathToFileURL(module).href)) as {
    default?: (kit: CheckKit) => CheckTable;
  };
  const table: unknown = typeof make === 'function' ? make(checkKit) : undefined;
  const isTable = isMapping(table) && Object.values(table).every((check) => typeof check === 'function');
  return isTable ? (table as CheckTable) : undefined;
}

function invalid(exercise: Exercise, problem: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_EXERCISE_INVALID',
    message: `Cannot read solutions/${exercise.id}/checks.ts: ${problem}`,
    help: 'Import only types there; everything else comes in the kit',
  });
}
