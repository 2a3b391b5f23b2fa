/** Functions of plain tensors on DTensors. */
import { ShardbookError } from '../../base/index.js';
import { Tensor } from '../../tensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { DTensor } from './dtensor.js';
import { type Placement, placementsText, samePlacements } from './placements.js';

/** Placements of one value; null for a value that is no tensor. */
export type ValuePlacements = readonly Placement[] | null;

export interface LocalMapOptions {
  /** Of the result, or a list of them for a list of results. */
  outPlacements: ValuePlacements | readonly ValuePlacements[];
  /** What each argument must have. */
  inPlacements?: readonly ValuePlacements[] | null;
  /** How the gradient of each local argument lies. */
  inGradPlacements?: readonly ValuePlacements[] | null;
  /** Of the results; that of the first DTensor unless told. */
  deviceMesh?: DeviceMesh | null;
  /** Moves arguments that lie otherwise instead of failing. */
  redistributeInputs?: boolean;
}

/**
 * `fn`, written for plain tensors, as a function of DTensors: it gets this rank's parts, and its results are parts of DTensors
 * with `outPlacements`. Called without any DTensor it is `fn` itself.
 */
export function localMap<A extends readonly unknown[]>(
  fn: (...args: A) => unknown,
  options: LocalMapOptions,
): (...args: A) => unknown {
  return (...args) => {
    checkCount(options.inPlacements, args.length, 'inPlacements');
    checkCount(options.inGradPlacements, args.length, 'inGradPlacements');
    let mesh = options.deviceMesh ?? null;
    let any = false;
    const locals = args.map((arg, i) => {
      if (!(arg instanceof DTensor)) {
        if (!(arg instanceof Tensor) && options.inPlacements?.[i])
          throw failed(`argument ${i} is no tensor, its placements must be null`);
        return arg;
      }
      any = true;
      mesh ??= arg.deviceMesh;
      return localArgument(arg, i, options);
    });
    const result = fn(...(locals as unknown as A));
    return any ? wrapResult(result, options.outPlacements, mesh!) : result;
  };
}

function localArgument(arg: DTensor, i: number, options: LocalMapOptions): Tensor {
  let given = arg;
  if (options.inPlacements) {
    const wanted = options.inPlacements[i];
    if (!wanted) throw failed(`argument ${i} is a DTensor, its placements are missing`);
    if (!samePlacements(arg.placements, wanted)) {
      if (!options.redistributeInputs) {
        throw failed(
          `argument ${i} is ${arg.describe()}, wanted ${placementsText(wanted)}`,
          'pass { redistributeInputs: true } to move it, or redistribute() it before the call',
        );
      }
      given = arg.redistribute(wanted);
    }
  }
  if (!options.inGradPlacements) return given.toLocal();
  const gradPlacements = options.inGradPlacements[i];
  if (!gradPlacements) throw failed(`argument ${i} is a DTensor, the placements of its gradient are missing`);
  return given.toLocal({ gradPlacements });
}

function wrapResult(result: unknown, given: LocalMapOptions['outPlacements'], mesh: DeviceMesh): unknown {
  const many = Array.isArray(result);
  const list = many ? (result as unknown[]) : [result];
  const perResult = isListOfLists(given, many) ? given : [given as ValuePlacements];
  if (perResult.length !== list.length)
    throw failed(`${list.length} results came, outPlacements has ${perResult.length} entries`);
  const wrapped = list.map((value, i) => {
    const placements = perResult[i] ?? null;
    if (value instanceof Tensor) {
      if (value instanceof DTensor) throw failed(`result ${i} is a DTensor, wanted a plain tensor`);
      // A tensor without placements stays as it is.
      return placements === null ? value : DTensor.fromLocal(value, mesh, placements);
    }
    if (placements !== null) throw failed(`result ${i} is no tensor, its placements must be null`);
    return value;
  });
  return many ? wrapped : wrapped[0];
}

function isListOfLists(
  given: LocalMapOptions['outPlacements'],
  many: boolean,
): given is readonly ValuePlacements[] {
  return Array.isArray(given) && (many || given.length === 0 || given[0] === null || Array.isArray(given[0]));
}

function checkCount(list: readonly unknown[] | null | undefined, wanted: number, name: string): void {
  if (list && list.length !== wanted)
    throw failed(`${name} has ${list.length} entries, the function got ${wanted} arguments`);
}

function failed(why: string, help?: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_LOCAL_MAP',
    message: `Cannot run a localMap function: ${why}`,
    ...(help === undefined ? {} : { help }),
  });
}
