/** An exercise's folder: `exercise.yaml` says what is asked, limits and checks; how a check judges is the grader's (`checks/`). */
import { existsSync, readdirSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { nearestName, ShardbookError } from 'shardbook';
import { invalidFile, isMapping, NAME, NAME_WANTED, readMapping, readText, unknownKey } from './mapping.js';
import type { CommKind } from './wire.js';

export interface CheckSpec {
  readonly id: string;
  readonly title: string;
  readonly weight: number;
  /** Checks that must pass before this one is run. */
  readonly requires: readonly string[];
  readonly visibility: 'public' | 'hidden';
  /** All that a learner is told of a failing hidden check. */
  readonly message: string | undefined;
  /** Limits of this check's cases where they differ from the exercise's. */
  readonly caseSeconds: number | undefined;
}

export interface Limits {
  readonly caseSeconds: number;
  readonly loadSeconds: number;
  readonly memoryMb: number;
  readonly outputKb: number;
}

export interface Exercise {
  readonly id: string;
  readonly title: string;
  /** Absolute path of the exercise's folder. */
  readonly folder: string;
  /** Names of the functions that a submission exports; the first is called where a check names none. */
  readonly exports: readonly string[];
  /** How a submission reaches other ranks: over the `comm` that it is given, over `dist`, or not at all. */
  readonly comm: CommKind;
  /** Whether the ranks share a store; what goes over it is neither a collective nor a message. */
  readonly store: boolean;
  /** Names of the runtime that a submission does not get: `fullyShard`, `dist.allReduce`. */
  readonly without: readonly string[];
  /** Source of `harness.ts`, which runs beside the submission and asks it what a check wants to know. */
  readonly harness: string | undefined;
  /** Whether a submission with type errors is refused. */
  readonly typesBlock: boolean;
  /** The lesson that it belongs to. */
  readonly lesson: string | undefined;
  /** Packages that a submission may import. */
  readonly imports: readonly string[];
  /** World sizes that are tried; the largest says how many rank processes are started. */
  readonly worlds: readonly number[];
  readonly limits: Limits;
  readonly checks: readonly CheckSpec[];
  readonly hints: readonly string[];
  readonly starter: string;
}

const DEFAULT_LIMITS: Limits = { caseSeconds: 10, loadSeconds: 10, memoryMb: 512, outputKb: 256 };
/** Less than this and the process of a rank does not begin. */
const LEAST: Readonly<Record<keyof Limits, number>> = {
  caseSeconds: 0.1,
  loadSeconds: 0.1,
  memoryMb: 64,
  outputKb: 1,
};
/** More than any of them is meant to be; a timer of Node's cannot hold many more seconds. */
const MOST = 1_000_000;
const MOST_RANKS = 64;
const KEYS = [
  'id',
  'title',
  'export',
  'exports',
  'imports',
  'comm',
  'store',
  'without',
  'types',
  'lesson',
  'worlds',
  'limits',
  'checks',
];
const CHECK_KEYS = ['id', 'title', 'weight', 'requires', 'visibility', 'message', 'caseSeconds'];
export const EXERCISE_FILE = 'exercise.yaml';

/** Reads the exercise in `folder`; throws `SB_EXERCISE_INVALID` or `SB_EXERCISE_UNKNOWN`. */
export function loadExercise(folder: string): Exercise {
  const path = resolve(folder);
  const file = join(path, EXERCISE_FILE);
  if (!existsSync(file)) throw unknownExercise(path);
  if (!existsSync(join(path, 'starter.ts')))
    throw new Spec(basename(path), {}).invalid('starter.ts is not beside it');
  const spec = new Spec(basename(path), readMapping(file, basename(path)));
  spec.requireKeys(spec.values, KEYS);
  if (spec.text('id') !== basename(path))
    throw spec.invalid(`"id" is "${spec.text('id')}", wanted the name of its folder`);
  if (!NAME.test(spec.text('id'))) throw spec.invalid(NAME_WANTED);
  const checks = spec.list('checks').map((value) => readCheck(spec, value));
  const known = new Set<string>();
  for (const check of checks) {
    // File order is a valid order of the graph: a check may require only what stands above it.
    const missing = check.requires.find((id) => !known.has(id));
    if (missing !== undefined)
      throw spec.invalid(`check "${check.id}" requires "${missing}", which does not stand above it`);
    if (known.has(check.id)) throw spec.invalid(`check "${check.id}" is there twice`);
    known.add(check.id);
  }
  if (checks.every(({ weight }) => weight === 0)) throw spec.invalid('all checks have the weight 0');
  return {
    id: spec.text('id'),
    title: spec.text('title'),
    folder: path,
    exports: spec.values['exports'] === undefined ? [spec.text('export')] : spec.names('exports'),
    comm: spec.choice('comm', ['links', 'dist', 'none'], 'links'),
    store: spec.choice('store', [true, false], false),
    without: spec.values['without'] === undefined ? [] : spec.names('without'),
    harness: existsSync(join(path, 'harness.ts')) ? readText(join(path, 'harness.ts')) : undefined,
    typesBlock: spec.choice('types', ['notes', 'block'], 'notes') === 'block',
    lesson: spec.values['lesson'] === undefined ? undefined : spec.text('lesson'),
    imports: readImports(spec),
    worlds: readWorlds(spec),
    limits: readLimits(spec),
    checks,
    hints: readHints(join(path, 'hints.md')),
    starter: readText(join(path, 'starter.ts')),
  };
}

/** Folders below `root` that hold an exercise, by name. */
export function listExercises(root: string): string[] {
  if (!existsSync(root)) return [];
  return readdirSync(root)
    .filter((name) => existsSync(join(root, name, EXERCISE_FILE)))
    .sort();
}

/** A ladder of hints: each level-two heading of hints.md begins one. */
function readHints(file: string): string[] {
  if (!existsSync(file)) return [];
  const parts = readText(file).split(/^## .*$/m);
  return parts.slice(1).map((part) => part.trim());
}

function readImports(spec: Spec): string[] {
  const other = spec.names('imports').find((name) => name !== 'shardbook');
  if (other === undefined) return spec.names('imports');
  throw spec.invalid(`"imports" names "${other}", which a submission cannot have: there is "shardbook" only`);
}

function readWorlds(spec: Spec): number[] {
  return spec.list('worlds').map((world) => {
    if (typeof world === 'number' && Number.isInteger(world) && world >= 1 && world <= MOST_RANKS)
      return world;
    throw spec.invalid(
      `"worlds" holds ${JSON.stringify(world)}, wanted whole numbers from 1 to ${MOST_RANKS}`,
    );
  });
}

function readLimits(spec: Spec): Limits {
  const limits = spec.values['limits'] ?? {};
  if (!isMapping(limits))
    throw spec.invalid(`"limits" is ${JSON.stringify(limits)}, wanted a mapping of keys to values`);
  spec.requireKeys(limits, Object.keys(LEAST), 'limits: ');
  for (const [key, value] of Object.entries(limits)) {
    const least = LEAST[key as keyof Limits];
    if (!isBetween(value, least))
      throw spec.invalid(`limits: "${key}" is ${shown(value)}, wanted a number from ${least} to ${MOST}`);
  }
  return { ...DEFAULT_LIMITS, ...limits };
}

function readCheck(spec: Spec, value: unknown): CheckSpec {
  const check = isMapping(value) ? value : {};
  const { id, title, weight = 1, requires = [], visibility = 'public', message, caseSeconds } = check;
  if (typeof id !== 'string' || typeof title !== 'string' || title.trim() === '')
    throw spec.invalid('a check without "id" and "title"');
  if (!NAME.test(id)) throw spec.invalid(`check "${id}": ${NAME_WANTED}`);
  spec.requireKeys(check, CHECK_KEYS, `check "${id}": `);
  if (!isBetween(weight, 0))
    throw spec.invalid(`check "${id}" has the weight ${shown(weight)}, wanted a number from 0 to ${MOST}`);
  if (!Array.isArray(requires))
    throw spec.invalid(
      `check "${id}" requires ${JSON.stringify(requires)}, wanted a list of checks: [${String(requires)}]`,
    );
  if (caseSeconds !== undefined && !isBetween(caseSeconds, LEAST.caseSeconds))
    throw spec.invalid(
      `check "${id}": "caseSeconds" is ${shown(caseSeconds)}, wanted a number from ${LEAST.caseSeconds} to ${MOST}`,
    );
  if (visibility !== 'public' && visibility !== 'hidden')
    throw spec.invalid(`check "${id}" is neither public nor hidden`);
  if (visibility === 'hidden' && (typeof message !== 'string' || message.trim() === ''))
    throw spec.invalid(`hidden check "${id}" has no "message"`);
  return {
    id,
    title,
    weight,
    requires: requires.map(String),
    visibility,
    message: typeof message === 'string' ? message : undefined,
    caseSeconds,
  };
}

function isBetween(value: unknown, least: number): value is number {
  return typeof value === 'number' && value >= least && value <= MOST;
}

/** JSON has no infinity. */
function shown(value: unknown): string {
  return typeof value === 'number' ? String(value) : JSON.stringify(value);
}

class Spec {
  constructor(
    private readonly name: string,
    readonly values: Record<string, unknown>,
  ) {}

  text(key: string): string {
    const value = this.values[key];
    if (typeof value !== 'string' || value === '') throw this.invalid(`"${key}" is missing`);
    return value;
  }

  list(key: string): unknown[] {
    const value = this.values[key];
    if (!Array.isArray(value) || value.length === 0)
      throw this.invalid(`"${key}" is not a list of at least one`);
    return value;
  }

  /** A list of names. */
  names(key: string): string[] {
    return this.list(key).map((name) => {
      if (typeof name === 'string' && name !== '') return name;
      throw this.invalid(`"${key}" holds ${JSON.stringify(name)}, wanted names`);
    });
  }

  requireKeys(values: object, known: readonly string[], where = ''): void {
    const problem = unknownKey(values, known);
    if (problem !== undefined) throw this.invalid(`${where}${problem}`);
  }

  choice<T extends string | boolean>(key: string, among: readonly T[], fallback: T): T {
    const value = this.values[key] ?? fallback;
    const found = among.find((choice) => choice === value);
    if (found === undefined)
      throw this.invalid(`"${key}" is ${JSON.stringify(value)}, wanted ${among.join(', ')}`);
    return found;
  }

  invalid(problem: string): ShardbookError {
    return invalidFile(EXERCISE_FILE, this.name, problem);
  }
}

function unknownExercise(path: string): ShardbookError {
  const near = nearestName(basename(path), listExercises(join(path, '..')));
  return new ShardbookError({
    code: 'SB_EXERCISE_UNKNOWN',
    message: `Cannot find an exercise in "${path}": it has no ${EXERCISE_FILE}`,
    help: near === undefined ? 'See "shardbook exercise list"' : `Did you mean "${near}"?`,
  });
}
