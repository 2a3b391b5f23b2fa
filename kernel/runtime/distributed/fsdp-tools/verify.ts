/**
 * Whether a sharded model trains right: its parameters are cut as they should be, its gradients and losses are those of one
 * process on all the data, and its state takes the share of memory that it should.
 */
import type { Module } from '../../nn/index.js';
import type { Optimizer } from '../../optim/index.js';
import { type Cluster, formulas, Simulation } from '../../simulator/index.js';
import { noGrad, type Tensor, torch } from '../../tensor/index.js';
import { DTensor, isShardLike, localShapeAt } from '../dtensor/index.js';
import { FSDPModule } from '../fsdp/index.js';
import { dist } from '../group/index.js';
import { CheckReport } from './report.js';

/** Every parameter is a DTensor whose local part has the shape that its placements give this rank. */
export function verifySharding(model: Module, options: { ignore?: readonly string[] } = {}): CheckReport {
  const report = new CheckReport('Parameter sharding');
  for (const [name, p] of model.namedParameters()) {
    if (options.ignore?.includes(name)) continue;
    if (!(p instanceof DTensor)) {
      report.add(
        name,
        false,
        model instanceof FSDPModule
          ? `it is a plain tensor ${p.describe()}: call reshard() first, or it was ignored`
          : `it is a plain tensor ${p.describe()}: fullyShard was not called`,
      );
      continue;
    }
    const wanted = localShapeAt(p.shape, p.deviceMesh, p.placements, p.deviceMesh.getCoordinate()!);
    const got = p.localTensor.shape;
    const sharded = p.placements.some(isShardLike);
    report.add(
      name,
      sharded && got.join() === wanted.join(),
      `${p.describe()}, here [${got.join(', ')}]${sharded ? '' : ', not cut along any axis'}`,
    );
  }
  return report;
}

/** The whole of a gradient, wherever it lies; null where there is none. */
function whole(t: Tensor | null): Tensor | null {
  return t instanceof DTensor ? t.fullTensor() : t;
}

function largest(t: Tensor): number {
  return t.numel() === 0 ? 0 : Number(t.abs().max().item());
}

/** Largest absolute difference of each gradient of two models, by name; NaN where only one has a gradient. */
export function compareGradients(sharded: Module, reference: Module): Record<string, number> {
  const others = new Map(reference.namedParameters());
  return noGrad(() =>
    Object.fromEntries(
      sharded.namedParameters().map(([name, p]) => {
        const [a, b] = [whole(p.grad), whole(others.get(name)?.grad ?? null)];
        if (a === null || b === null) return [name, a === b ? 0 : Number.NaN];
        return [name, largest(a.to(torch.float32).sub(b.to(torch.float32)))];
      }),
    ),
  );
}

/** The rows of all ranks, one after the other: the batch that one process would see. */
export function wholeBatch(rows: Tensor): Tensor {
  const world = dist.getWorldSize();
  const all: unknown[] = Array.from({ length: world }, () => null);
  dist.allGatherObject(all, rows.detach());
  return torch.cat(all as Tensor[], 0);
}

export interface VerifyOptions {
  /** Builds the model; called twice with one seed, so both start alike. */
  build: () => Module;
  /** Shards it, as in training. */
  shard: (model: Module) => unknown;
  /** Inputs and targets of this rank in a step. */
  batch: (step: number, rank: number) => readonly [Tensor, Tensor];
  /** The mean loss over the rows that it is given. */
  loss: (model: Module, input: Tensor, target: Tensor) => Tensor;
  optimizer: (parameters: Tensor[]) => Optimizer;
  steps?: number;
  seed?: number;
  /** Largest difference of losses and gradients from one process. */
  tolerance?: number;
  /** Measures virtual throughput on it. */
  cluster?: Cluster;
}

/** The five questions of a first integration, answered by running both. Every rank of the world calls it. */
export function verifyFsdp(options: VerifyOptions): CheckReport {
  const { build, shard, batch, loss, optimizer, steps = 3, seed = 42, tolerance = 1e-4 } = options;
  const [rank, world] = [dist.getRank(), dist.getWorldSize()];
  const seeded = (): Module => {
    torch.manualSeed(seed);
    return build();
  };
  const reference = seeded();
  const model = seeded();
  shard(model);
  const report = new CheckReport(`FSDP on ${world} ranks against one process`);
  const sharding = verifySharding(model);
  report.add(
    'parameters are sharded',
    sharding.passed,
    sharding.passed
      ? `${sharding.checks.length} parameters, each a DTensor with its part here`
      : sharding.failed.map((check) => `${check.name}: ${check.detail}`).join('; '),
  );
  const [mine, theirs] = [optimizer(model.parameters()), optimizer(reference.parameters())];
  let worstLoss = 0;
  let worstGrad = { name: '', value: 0 };
  for (let step = 0; step < steps; step++) {
    const [x, y] = batch(step, rank);
    const here = loss(model, x, y);
    here.backward();
    const full = loss(reference, wholeBatch(x), wholeBatch(y));
    full.backward();
    const mean = here.detach().clone();
    dist.allReduce(mean, { op: dist.ReduceOp.AVG });
    worstLoss = Math.max(worstLoss, Math.abs(Number(mean.item()) - Number(full.detach().item())));
    for (const [name, value] of Object.entries(compareGradients(model, reference)))
      if (!(value <= worstGrad.value)) worstGrad = { name, value };
    for (const o of [mine, theirs]) {
      o.step();
      o.zeroGrad();
    }
  }
  report.add(
    'gradients are those of the whole batch',
    worstGrad.value <= tolerance,
    worstGrad.name === ''
      ? 'no difference'
      : `largest difference ${worstGrad.value.toExponential(2)} ("${worstGrad.name}")`,
  );
  report.add(
    'losses are those of one process',
    worstLoss <= tolerance,
    `${steps} steps, largest difference of the mean ${worstLoss.toExponential(2)}`,
  );
  const measured = stateBytes(model, mine);
  const whole = stateBytes(reference, theirs);
  const shapes = reference.parameters().map((p) => [...p.shape]);
  const { bytes } = formulas.fsdpShards(shapes, world, 4);
  const share = measured.total / whole.total;
  report.add(
    'state takes its share of memory',
    !model.parameters().every((p) => p.dtype === torch.float32) ||
      !isOneAxis(model) ||
      measured.params === bytes[rank],
    `${measured.total} of ${whole.total} bytes here (${(100 * share).toFixed(1)} %, 1/${world} is ${(100 / world).toFixed(1)} %): parameters ${measured.params}, optimizer ${measured.optimizer}`,
  );
  if (options.cluster) {
    const result = new Simulation(options.cluster).run(() => {
      const [x, y] = batch(steps, rank);
      loss(model, x, y).backward();
      mine.step();
      mine.zeroGrad();
    });
    report.add(
      'throughput',
      result.makespan > 0,
      `${(1 / result.makespan).toFixed(2)} steps/s in virtual time`,
    );
  }
  return report;
}

function isOneAxis(model: Module): boolean {
  return model
    .parameters()
    .every((p) => p instanceof DTensor && p.placements.length === 1 && p.placements[0]!.isShard(0));
}

/** Bytes that this rank holds of parameters and optimizer state. */
export function stateBytes(
  model: Module,
  optimizer?: Optimizer,
): { params: number; grads: number; optimizer: number; total: number } {
  const size = (t: Tensor): number => t.localPart().numel() * t.dtype.itemsize;
  const params = model.parameters().reduce((sum, p) => sum + size(p), 0);
  const grads = model.parameters().reduce((sum, p) => sum + (p.grad ? size(p.grad) : 0), 0);
  let state = 0;
  for (const own of optimizer?.state.values() ?? [])
    for (const value of Object.values(own))
      if (torch.isTensor(value) && value.shape.length > 0) state += size(value);
  return { params, grads, optimizer: state, total: params + grads + state };
}
