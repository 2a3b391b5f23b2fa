/** An exercise's folder: `exercise.yaml` says what is asked, limits and checks; how a check judges is the grader's (`checks/`). */
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { basename, join, resolve } from 'node:path';
import { nearestName, ShardbookError } from 'shardbook';
import { parse } from 'yaml';
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
export const EXERCISE_FILE = 'exercise.yaml';

/** Reads the exercise in `folder`; throws `SB_EXERCISE_INVALID` or `SB_EXERCISE_UNKNOWN`. */
export function loadExercise(folder: string): Exercise {
  const path = resolve(folder);
  const file = join(path, EXERCISE_FILE);
  if (!existsSync(file)) throw unknownExercise(path);
  if (!existsSync(join(path, 'starter.ts')))
    throw new Spec(basename(path), {}).invalid('starter.ts is not beside it');
  const spec = new Spec(basename(path), readYaml(file, basename(path)));
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
  return {
    id: spec.text('id'),
    title: spec.text('title'),
    folder: path,
    exports: spec.values['exports'] === undefined ? [spec.text('export')] : spec.list('exports').map(String),
    comm: spec.choice('comm', ['links', 'dist', 'none'], 'links'),
    store: spec.values['store'] === true,
    without: spec.values['without'] === undefined ? [] : spec.list('without').map(String),
    harness: existsSync(join(path, 'harness.ts'))
      ? readFileSync(join(path, 'harness.ts'), 'utf8')
      : undefined,
    typesBlock: spec.choice('types', ['notes', 'block'], 'notes') === 'block',
    lesson: typeof spec.values['lesson'] === 'string' ? spec.values['lesson'] : undefined,
    imports: spec.list('imports').map(String),
    worlds: spec.list('worlds').map(Number),
    limits: { ...DEFAULT_LIMITS, ...(spec.values['limits'] as Partial<Limits> | undefined) },
    checks,
    hints: readHints(join(path, 'hints.md')),
    starter: readFileSync(join(path, 'starter.ts'), 'utf8'),
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
  const parts = readFileSync(file, 'utf8').split(/^## .*$/m);
  return parts.slice(1).map((part) => part.trim());
}

function readCheck(spec: Spec, value: unknown): CheckSpec {
  const check = value as Record<string, unknown>;
  const { id, title, weight = 1, requires = [], visibility = 'public', message, caseSeconds } = check;
  if (typeof id !== 'string' || typeof title !== 'string')
    throw spec.invalid('a check without "id" and "title"');
  if (typeof weight !== 'number' || weight < 0)
    throw spec.invalid(`check "${id}" has the weight ${String(weight)}`);
  if (visibility !== 'public' && visibility !== 'hidden')
    throw spec.invalid(`check "${id}" is neither public nor hidden`);
  if (visibility === 'hidden' && typeof message !== 'string')
    throw spec.invalid(`hidden check "${id}" has no "message"`);
  return {
    id,
    title,
    weight,
    requires: (requires as unknown[]).map(String),
    visibility,
    message: typeof message === 'string' ? message : undefined,
    caseSeconds: typeof caseSeconds === 'number' ? caseSeconds : undefined,
  };
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

  choice<T extends string>(key: string, among: readonly T[], fallback: T): T {
    const value = this.values[key] ?? fallback;
    const found = among.find((choice) => choice === value);
    if (found === undefined)
      throw this.invalid(`"${key}" is ${JSON.stringify(value)}, wanted ${among.join(', ')}`);
    return found;
  }

  invalid(problem: string): ShardbookError {
    return new ShardbookError({
      code: 'SB_EXERCISE_INVALID',
      message: `Cannot read ${EXERCISE_FILE} of "${this.name}": ${problem}`,
    });
  }
}

function readYaml(file: string, name: string): Record<string, unknown> {
  try {
    const value: unknown = parse(readFileSync(file, 'utf8'));
    if (typeof value === 'object' && value !== null) return value as Record<string, unknown>;
  } catch (error) {
    throw new Spec(name, {}).invalid((error as Error).message.split('\n')[0]!);
  }
  throw new Spec(name, {}).invalid('a mapping of keys to values is wanted');
}

function unknownExercise(path: string): ShardbookError {
  const near = nearestName(basename(path), listExercises(join(path, '..')));
  return new ShardbookError({
    code: 'SB_EXERCISE_UNKNOWN',
    message: `Cannot find an exercise in "${path}": it has no ${EXERCISE_FILE}`,
    help: near === undefined ? 'See "shardbook exercise list"' : `Did you mean "${near}"?`,
  });
}
