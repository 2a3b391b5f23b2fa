/** The same step under several strategies, measured: virtual time, bytes moved, peak memory. */
import type { Module } from '../../nn/index.js';
import type { Optimizer } from '../../optim/index.js';
import {
  bytesText,
  type Cluster,
  MemoryLedger,
  type MimeBundle,
  Simulation,
  seconds,
  table,
  toMime,
} from '../../simulator/index.js';
import { type Tensor, torch } from '../../tensor/index.js';
import { DistributedDataParallel } from '../ddp/index.js';
import { fullyShard } from '../fsdp/index.js';
import { dist, onComm, withoutCommHooks } from '../group/index.js';
import { initDeviceMesh } from '../mesh/index.js';

/** Ways of data parallelism that can be compared. */
export type ComparedStrategy = 'ddp' | 'fsdp' | 'fsdpNoReshard' | 'hsdp';

export interface CompareOptions {
  build: () => Module;
  /** Modules that become communication groups; default: the children of module lists. */
  blocks?: (model: Module) => readonly Module[];
  optimizer: (parameters: Tensor[]) => Optimizer;
  /** Forward and loss of this rank's data. */
  loss: (model: Module) => Tensor;
  cluster: Cluster;
  strategies?: readonly ComparedStrategy[];
  /** hsdp: ranks of a shard group; default: half of the world. */
  shard?: number;
  seed?: number;
}

/** The figures of one strategy. */
export interface ComparedRow {
  strategy: ComparedStrategy;
  /** Virtual seconds of a step. */
  seconds: number;
  /** Communication that no computing hides, on rank 0. */
  exposed: number;
  /** Bytes that this rank contributes to collectives, and how many there are. */
  bytes: number;
  collectives: number;
  /** Most memory alive on any rank. */
  peak: number;
  loss: number;
}

/** The same step by several strategies: memory, bytes, virtual time. */
export class StrategyComparison {
  constructor(readonly rows: readonly ComparedRow[]) {}

  of(strategy: ComparedStrategy): ComparedRow {
    return this.rows.find((row) => row.strategy === strategy)!;
  }

  [toMime](): MimeBundle {
    const bars = (name: string, pick: (row: ComparedRow) => number, axis: number) => ({
      type: 'bar',
      name,
      x: this.rows.map((row) => row.strategy),
      y: this.rows.map(pick),
      xaxis: `x${axis === 1 ? '' : axis}`,
      yaxis: `y${axis === 1 ? '' : axis}`,
    });
    return {
      'application/vnd.plotly.v1+json': {
        data: [
          bars('seconds', (row) => row.seconds, 1),
          bars('bytes moved', (row) => row.bytes, 2),
          bars('peak bytes', (row) => row.peak, 3),
        ],
        layout: {
          grid: { rows: 1, columns: 3, pattern: 'independent' },
          title: { text: 'Strategies' },
          height: 320,
        },
      },
      'text/plain': this.toString(),
    };
  }

  toString(): string {
    return table([
      ['strategy', 'step', 'exposed', 'collectives', 'bytes', 'peak'],
      ...this.rows.map((row) => [
        row.strategy,
        seconds(row.seconds),
        seconds(row.exposed),
        String(row.collectives),
        bytesText(row.bytes),
        bytesText(row.peak),
      ]),
    ]);
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}

/** Runs two warm-up steps and one measured step under each strategy. Every rank of the world calls it. */
export function compareStrategies(options: CompareOptions): StrategyComparison {
  const { strategies = ['ddp', 'fsdp', 'fsdpNoReshard', 'hsdp'], seed = 0 } = options;
  return new StrategyComparison(
    strategies.map((strategy) => {
      torch.manualSeed(seed);
      const model = options.build();
      const trained = prepare(strategy, model, options);
      const optimizer = options.optimizer(trained.parameters());
      let loss = 0;
      const step = (): void => {
        const value = options.loss(trained);
        value.backward();
        optimizer.step();
        optimizer.zeroGrad();
        loss = Number(value.detach().item());
      };
      // The first makes states of the optimizer, in the second DDP agrees on its buckets.
      step();
      step();
      const ledger = new MemoryLedger({ rank: dist.getRank() }).track(trained).track(optimizer);
      let bytes = 0;
      let collectives = 0;
      const stop = onComm((call) => {
        bytes += call.bytes;
        collectives++;
      });
      const result = new Simulation(options.cluster).run(() => {
        ledger.start();
        ledger.resetPeak();
        step();
        ledger.stop();
        stop();
      });
      const peak = torch.tensor(ledger.peak.bytes, { dtype: torch.float64 });
      withoutCommHooks(() => dist.allReduce(peak, { op: dist.ReduceOp.MAX }));
      return {
        strategy,
        seconds: result.makespan,
        exposed: result.summary(0).exposed,
        bytes,
        collectives,
        peak: Number(peak.item()),
        loss,
      };
    }),
  );
}

function prepare(strategy: ComparedStrategy, model: Module, options: CompareOptions): Module {
  if (strategy === 'ddp') return new DistributedDataParallel(model);
  const world = dist.getWorldSize();
  const shard = options.shard ?? Math.max(1, world / 2);
  const mesh =
    strategy === 'hsdp'
      ? initDeviceMesh([world / shard, shard], { meshDimNames: ['replicate', 'shard'] })
      : initDeviceMesh([world]);
  const reshard = strategy === 'fsdpNoReshard' ? { reshardAfterForward: false } : {};
  for (const block of options.blocks?.(model) ?? listed(model)) fullyShard(block, { mesh, ...reshard });
  return fullyShard(model, { mesh, ...reshard });
}

/** The entries of module lists: the blocks of most models. */
function listed(model: Module): Module[] {
  return model.modules().flatMap((m) => (m._getName() === 'ModuleList' ? m.children() : []));
}
