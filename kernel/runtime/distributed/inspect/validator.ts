/**
 * Checks the parameters of a module: that they are DTensors, that every rank holds the part that the placements say, that replicas
 * are equal, and, against a reference, that the values are right. All checks communicate alike on every rank, and their results are
 * the same on every rank: call on all, print on one.
 */
import { ShardbookError } from '../../base/index.js';
import type { Module } from '../../nn/index.js';
import { noGrad, type Tensor } from '../../tensor/index.js';
import { DTensor, type Placement, placementsText, samePlacements } from '../dtensor/index.js';
import { dist, type Group, ReduceOp } from '../group/index.js';
import { type Comparison, compare, type Tolerance } from './debugger.js';
import { cell, code, figure, fill, head, line, row, table } from './html.js';
import { groupsAlong } from './mesh-view.js';
import { lengthOf, list, rangesAt } from './slices.js';

export interface ShardingValidatorOptions {
  /** Placements that parameters must have, by name. */
  placements?: Readonly<Record<string, readonly Placement[]>>;
  /** Global shapes that parameters must have, by name. */
  shapes?: Readonly<Record<string, readonly number[]>>;
  /** Whole tensors that parameters must equal, by name: the state of a single-process model. */
  reference?: Readonly<Record<string, Tensor>>;
  tolerance?: Tolerance;
  /** Parameters may be plain tensors; they must then be equal on all ranks. Default false. */
  allowPlain?: boolean;
}

/** One thing that does not hold. */
export interface ValidationFailure {
  /** `dtensor`, `placements`, `shape`, `local shape`, `replicas`, `values`, `gradient`. */
  readonly check: string;
  /** The ranks that saw it. */
  readonly ranks: readonly number[];
  readonly message: string;
}

/** What was checked and what failed. */
export interface ValidationResult {
  readonly name: string;
  readonly ok: boolean;
  readonly description: string;
  readonly failures: readonly ValidationFailure[];
}

const mimeKey: unique symbol = Symbol.for('shardbook.toMime') as never;

/** The results for all parameters. */
export class ValidationReport {
  constructor(
    readonly title: string,
    readonly results: readonly ValidationResult[],
  ) {}

  get ok(): boolean {
    return this.results.every((result) => result.ok);
  }

  get failed(): readonly string[] {
    return this.results.filter((result) => !result.ok).map((result) => result.name);
  }

  toString(): string {
    const total = this.results.length;
    const failed = this.failed.length;
    const share = (n: number): string => `${n} (${total === 0 ? '0.0' : ((100 * n) / total).toFixed(1)}%)`;
    const lines = [
      this.title,
      `Total parameters: ${total}`,
      `Passed: ${share(total - failed)}`,
      `Failed: ${share(failed)}`,
    ];
    for (const result of this.results) {
      lines.push(`  ${result.ok ? 'ok    ' : 'FAILED'} ${result.name}: ${result.description}`);
      for (const f of result.failures)
        lines.push(`         ${f.check}: ${f.message} (ranks ${f.ranks.join(', ')})`);
    }
    return lines.join('\n');
  }

  [mimeKey](): Record<string, string> {
    const rows = this.results.map((result) =>
      row(
        head(result.name, 'row'),
        cell(result.ok ? 'ok' : 'failed', result.ok ? fill(2) : fill(7)),
        cell(code(result.description), 'text-align:left;'),
        cell(
          result.failures.map((f) => line(`${f.check}: ${f.message} (ranks ${f.ranks.join(', ')})`)),
          'text-align:left;',
        ),
      ),
    );
    const passed = this.results.length - this.failed.length;
    const caption = `${this.title}: ${passed} of ${this.results.length} passed`;
    const header = row(head('parameter'), head('result'), head('lies as'), head('failures'));
    return {
      'text/html': figure(caption, table(caption, [header, ...rows])),
      'text/plain': String(this),
    };
  }
}

type Found = Omit<ValidationFailure, 'ranks'>;

/** Validates how the parameters and gradients of a module are sharded. Every rank makes and calls it. */
export class ShardingValidator {
  readonly #options: ShardingValidatorOptions;

  constructor(
    readonly module: Module,
    options: ShardingValidatorOptions = {},
  ) {
    this.#options = options;
  }

  /** All checks of all parameters. Gathers whole tensors only where a reference is given. */
  validate(): ValidationReport {
    const own = this.module.namedParameters().map(([name, parameter]) => ({
      name,
      description: describe(parameter),
      found: this.#check(name, parameter),
    }));
    return this.#agree('Parameter Sharding Validation Report', own);
  }

  /**
   * The gradients after `backward()`: there, DTensors, lying as their parameters (or with sums still pending). With `expected`, whole
   * gradients by name, their values too: with data parallelism those are the mean over the ranks of what each would compute alone.
   */
  validateGradients(expected: Readonly<Record<string, Tensor>> = {}): ValidationReport {
    const own = this.module.namedParameters().map(([name, parameter]) => ({
      name,
      description: parameter.grad === null ? 'no gradient' : describe(parameter.grad),
      found: parameter.requiresGrad ? this.#checkGradient(parameter, expected[name]) : [],
    }));
    return this.#agree('Gradient Sharding Validation Report', own);
  }

  /** A number for the local bytes of each parameter on each rank: compare two of them to see what a step changed. */
  fingerprint(): Record<string, readonly string[]> {
    const mine = this.module.namedParameters().map(([name, p]) => [name, checksum(localOf(p))] as const);
    const all = everyRank(mine);
    return Object.fromEntries(mine.map(([name], i) => [name, all.map((rank) => rank[i]![1])]));
  }

  #check(name: string, parameter: Tensor): Found[] {
    const { placements, shapes, allowPlain } = this.#options;
    const found: Found[] = [];
    if (!(parameter instanceof DTensor)) {
      if (!allowPlain)
        found.push({
          check: 'dtensor',
          message: `is a plain tensor ${parameter.describe()}: was it distributed?`,
        });
    } else {
      const wanted = placements?.[name];
      if (wanted && !samePlacements(parameter.placements, wanted))
        found.push({
          check: 'placements',
          message: `is ${placementsText(parameter.placements)}, wanted ${placementsText(wanted)}`,
        });
      found.push(...checkLocalShape(parameter));
    }
    const shape = shapes?.[name] ?? this.#options.reference?.[name]?.shape;
    if (shape && shape.join() !== parameter.shape.join())
      found.push({ check: 'shape', message: `is ${list(parameter.shape)}, wanted ${list(shape)}` });
    found.push(...checkReplicas(parameter));
    const reference = this.#options.reference?.[name];
    // Gathering is collective, so whether it happens must not depend on what one rank found.
    if (reference && reference.shape.join() === parameter.shape.join())
      found.push(...differs(whole(parameter), reference, this.#options.tolerance));
    return found;
  }

  #checkGradient(parameter: Tensor, expected: Tensor | undefined): Found[] {
    const { grad } = parameter;
    if (grad === null)
      return [{ check: 'gradient', message: 'is missing: was the parameter used, and backward() called?' }];
    const found: Found[] = [];
    if (parameter instanceof DTensor) {
      if (!(grad instanceof DTensor))
        found.push({ check: 'gradient', message: `is a plain tensor ${grad.describe()}` });
      else {
        const odd = grad.placements.some(
          (p, axis) => p.key !== parameter.placements[axis]!.key && !p.isPartial(),
        );
        if (odd)
          found.push({
            check: 'placements',
            message: `is ${placementsText(grad.placements)}, the parameter ${placementsText(parameter.placements)}`,
          });
        found.push(...checkLocalShape(grad));
      }
    }
    if (expected) found.push(...differs(whole(grad), expected, this.#options.tolerance));
    return found;
  }

  /** Puts together what all ranks found. */
  #agree(
    title: string,
    own: readonly { name: string; description: string; found: readonly Found[] }[],
  ): ValidationReport {
    const all = everyRank(own.map(({ name, found }) => ({ name, found })));
    const odd = all.findIndex((rank) => rank.map((r) => r.name).join() !== own.map((r) => r.name).join());
    if (odd >= 0) {
      throw new ShardbookError({
        code: 'SB_VALIDATOR',
        message: `Cannot validate a module whose parameters differ between ranks: rank ${odd} has ${all[odd]!.length}, this one ${own.length}`,
        help: 'build the same module on every rank',
      });
    }
    const results = own.map(({ name, description }, i) => {
      const failures = new Map<string, { check: string; message: string; ranks: number[] }>();
      all.forEach((rank, r) => {
        for (const { check, message } of rank[i]!.found) {
          const key = `${check}\n${message}`;
          const known = failures.get(key);
          if (known) known.ranks.push(r);
          else failures.set(key, { check, message, ranks: [r] });
        }
      });
      return { name, description, ok: failures.size === 0, failures: [...failures.values()] };
    });
    return new ValidationReport(title, results);
  }
}

/**
 * What the gradients of data parallelism have to be: the mean over the ranks of what each computes alone. Run the reference on this
 * rank's data, call `backward()`, then this on every rank of the group.
 */
export function meanGradients(reference: Module, options: { group?: Group } = {}): Record<string, Tensor> {
  return Object.fromEntries(
    reference.namedParameters().flatMap(([name, parameter]) => {
      if (parameter.grad === null) return [];
      const mean = noGrad(() => whole(parameter.grad!).clone().contiguous());
      dist.allReduce(mean, { op: ReduceOp.AVG, ...options });
      return [[name, mean] as const];
    }),
  );
}

const describe = (t: Tensor): string => t.describe();

function localOf(t: Tensor): Tensor {
  return t instanceof DTensor ? t.localTensor : t.detach();
}

function whole(t: Tensor): Tensor {
  return noGrad(() => (t instanceof DTensor ? t.fullTensor() : t.detach()));
}

function differs(actual: Tensor, expected: Tensor, tolerance: Tolerance | undefined): Found[] {
  if (actual.shape.join() !== expected.shape.join())
    return [{ check: 'values', message: `have shape ${list(actual.shape)}, wanted ${list(expected.shape)}` }];
  const result: Comparison = compare(actual, expected, tolerance);
  if (result.ok) return [];
  return [
    {
      check: 'values',
      message: `differ from the reference by up to ${result.maxDifference.toPrecision(4)} at ${list(result.index ?? [])}: ${result.value} against ${result.reference}`,
    },
  ];
}

/** The part must be of the size that the placements give this coordinate: chunks of ceil(n / ranks), the last short or empty. */
function checkLocalShape(t: DTensor): Found[] {
  const { spec } = t;
  const coordinate = spec.mesh.getCoordinate();
  if (coordinate === null) return [];
  const wanted = rangesAt(spec.shape, spec.mesh.shape, spec.placements, coordinate).map(lengthOf);
  const local = t.localTensor.shape;
  if (wanted.join() === local.join()) return [];
  return [
    {
      check: 'local shape',
      message: `is ${list(local)} at coordinate (${coordinate.join(', ')}), ${spec} gives ${list(wanted)}`,
    },
  ];
}

/** Ranks that hold the same rows must hold the same bytes. Compared by checksum, over all ranks. */
function checkReplicas(t: Tensor): Found[] {
  const sums = everyRank(checksum(localOf(t)));
  if (!(t instanceof DTensor)) {
    const other = sums.findIndex((sum) => sum !== sums[0]);
    return other < 0
      ? []
      : [{ check: 'replicas', message: `a plain tensor has other values on rank ${other} than on rank 0` }];
  }
  const { mesh, placements } = t.spec;
  const found: Found[] = [];
  placements.forEach((p, axis) => {
    if (!p.isReplicate()) return;
    for (const group of groupsAlong(mesh, axis)) {
      const other = group.find((rank) => sums[rank] !== sums[group[0]!]);
      if (other !== undefined)
        found.push({
          check: 'replicas',
          message: `rank ${other} holds other values than rank ${group[0]}, its replica along axis ${mesh.meshDimNames?.[axis] ?? axis}`,
        });
    }
  });
  return found;
}

function everyRank<T>(own: T): T[] {
  const all: unknown[] = new Array(dist.getWorldSize()).fill(null);
  dist.allGatherObject(all, own);
  return all as T[];
}

/** FNV-1a of the values, 53 bits: the same bytes give the same text on every rank and in every run. */
function checksum(t: Tensor): string {
  const own = noGrad(() => t.detach().contiguous());
  const start = own.storageOffset * own.dtype.itemsize;
  const bytes = new Uint8Array(own.storage.buffer, start, own.numel() * own.dtype.itemsize);
  let low = 0x811c9dc5;
  let high = 0x01000193;
  for (const byte of bytes) {
    low = Math.imul(low ^ byte, 0x01000193) >>> 0;
    high = Math.imul(high ^ byte ^ (low >>> 24), 0x85ebca6b) >>> 0;
  }
  return `${own.shape.join('x')}:${high.toString(16)}${low.toString(16).padStart(8, '0')}`;
}
