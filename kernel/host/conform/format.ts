import { ShardbookError } from '../../runtime/index.js';
import {
  arrayElementTexts,
  FloatLiteral,
  isJsonObject,
  type Json,
  type JsonObject,
  parseJson,
} from './json.js';

const FORMAT = 'spmd-program/1';

export interface Step {
  op: string;
  args: Json[];
  kwargs: JsonObject;
  /** A list binds several results, a name binds one. */
  to: string | string[] | undefined;
  ranks: number[] | undefined;
  raises: boolean;
  /** The label of an observation. */
  as: string | undefined;
}

export interface Tolerance {
  rtol: number;
  atol: number;
}

export type Expectation = { all: Json } | { ranks: Json[] };

export interface Program {
  suite: string;
  name: string;
  world: number;
  steps: Step[];
  expect: Record<string, Expectation>;
  tolerance: Record<string, Tolerance | 'exact'>;
  /** How long a collective may wait, where the program says so. */
  timeoutS: number | undefined;
}

/** One program as the file holds it: enough to choose and schedule it without checking every step. */
export interface ProgramSource {
  file: string;
  index: number;
  text: string;
  suite: string;
  name: string;
  world: number;
}

/** Cuts a file into its programs. Fails for a file that is not of the format; a bad program fails only when it runs. */
export function splitFile(text: string, file: string): ProgramSource[] {
  const invalid = (what: string, help?: string) =>
    new ShardbookError({
      code: 'SB_CONFORM_FORMAT',
      message: `Cannot read "${file}" as SPMD programs: ${what}`,
      ...(help === undefined ? {} : { help }),
    });
  const doc = parseJson(text);
  if (!isJsonObject(doc)) throw invalid('the file holds no object');
  if (doc['format'] !== FORMAT) {
    throw invalid(
      `"format" is ${show(doc['format'])}, wanted "${FORMAT}"`,
      'only this version of the format is known',
    );
  }
  const programs = doc['programs'];
  if (!Array.isArray(programs)) throw invalid(`"programs" is ${show(programs)}, wanted a list`);
  return arrayElementTexts(text, 'programs').map((programText, index) => {
    const program = programs[index];
    const field = (name: string): Json | undefined => (isJsonObject(program) ? program[name] : undefined);
    const world = field('world');
    return {
      file,
      index,
      text: programText,
      suite: typeof field('suite') === 'string' ? (field('suite') as string) : '?',
      name: typeof field('name') === 'string' ? (field('name') as string) : `#${index}`,
      world: typeof world === 'number' && Number.isInteger(world) && world >= 1 && world <= 64 ? world : 1,
    };
  });
}

/** Reads and checks one program. */
export function parseProgram(text: string): Program {
  const raw = parseJson(text);
  const bad = (what: string) =>
    new ShardbookError({ code: 'SB_CONFORM_PROGRAM', message: `Cannot run the program: ${what}` });
  if (!isJsonObject(raw)) throw bad('it is no object');
  const { suite, name, world, steps, expect, tolerance } = raw;
  if (typeof suite !== 'string' || typeof name !== 'string') throw bad('"suite" and "name" must be strings');
  if (typeof world !== 'number' || !Number.isInteger(world) || world < 1 || world > 64) {
    throw bad(`"world" is ${show(world)}, wanted a whole number from 1 to 64`);
  }
  if (!Array.isArray(steps)) throw bad(`"steps" is ${show(steps)}, wanted a list`);
  if (!isJsonObject(expect)) throw bad(`"expect" is ${show(expect)}, wanted an object`);
  const timeout = raw['timeout_s'];
  return {
    suite,
    name,
    world,
    steps: steps.map((step, i) => parseStep(step, (what) => bad(`step ${i}: ${what}`))),
    expect: parseExpect(expect, world, bad),
    tolerance: parseTolerance(tolerance, bad),
    timeoutS: timeout === undefined ? undefined : Number(timeout),
  };
}

function parseStep(step: Json, bad: (what: string) => Error): Step {
  if (!isJsonObject(step)) throw bad(`it is ${show(step)}, wanted an object`);
  const { op, args = [], kwargs = {}, to, ranks, raises } = step;
  const label = step['as'];
  if (typeof op !== 'string') throw bad(`"op" is ${show(op)}, wanted a name`);
  if (!Array.isArray(args)) throw bad(`"args" is ${show(args)}, wanted a list`);
  if (!isJsonObject(kwargs)) throw bad(`"kwargs" is ${show(kwargs)}, wanted an object`);
  const names = Array.isArray(to) ? to : to === undefined || to === null ? [] : [to];
  if (!names.every((n) => typeof n === 'string')) throw bad(`"to" is ${show(to)}, wanted names`);
  if (ranks !== undefined && !(Array.isArray(ranks) && ranks.every((r) => typeof r === 'number'))) {
    throw bad(`"ranks" is ${show(ranks)}, wanted a list of ranks`);
  }
  if ((op === 'observe' || raises === true) && typeof label !== 'string')
    throw bad('"as" must name the observation');
  return {
    op,
    args,
    kwargs,
    to: Array.isArray(to) ? (names as string[]) : (names[0] as string | undefined),
    ranks: ranks as number[] | undefined,
    raises: raises === true,
    as: typeof label === 'string' ? label : undefined,
  };
}

function parseExpect(
  expect: JsonObject,
  world: number,
  bad: (what: string) => Error,
): Record<string, Expectation> {
  const out: Record<string, Expectation> = {};
  for (const [label, value] of Object.entries(expect)) {
    if (isJsonObject(value) && 'all' in value) out[label] = { all: value['all']! };
    else if (isJsonObject(value) && Array.isArray(value['ranks']) && value['ranks'].length === world) {
      out[label] = { ranks: value['ranks'] };
    } else throw bad(`"expect" of "${label}" is neither {"all": value} nor {"ranks": [${world} values]}`);
  }
  return out;
}

function parseTolerance(
  tolerance: Json | undefined,
  bad: (what: string) => Error,
): Record<string, Tolerance | 'exact'> {
  if (tolerance === undefined || tolerance === null) return {};
  // One tolerance for the whole program may stand without a label.
  const byLabel =
    tolerance === 'exact' || (isJsonObject(tolerance) && isNumber(tolerance['rtol']))
      ? { '*': tolerance }
      : tolerance;
  if (!isJsonObject(byLabel)) throw bad(`"tolerance" is ${show(tolerance)}, wanted an object`);
  const out: Record<string, Tolerance | 'exact'> = {};
  for (const [label, value] of Object.entries(byLabel)) {
    if (value === 'exact') out[label] = 'exact';
    else if (isJsonObject(value))
      out[label] = { rtol: Number(value['rtol'] ?? 0), atol: Number(value['atol'] ?? 0) };
    else throw bad(`"tolerance" of "${label}" is ${show(value)}, wanted {"rtol", "atol"} or "exact"`);
  }
  return out;
}

function isNumber(value: Json | undefined): boolean {
  return typeof value === 'number' || value instanceof FloatLiteral;
}

/** A short text of a JSON value for messages. */
export function show(value: Json | undefined): string {
  const text = JSON.stringify(value, (_, v: unknown) =>
    v instanceof FloatLiteral ? v.value : typeof v === 'bigint' ? v.toString() : v,
  );
  if (text === undefined) return 'missing';
  return text.length > 80 ? `${text.slice(0, 77)}...` : text;
}
