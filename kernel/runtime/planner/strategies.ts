/** DDP, ZeRO-1, ZeRO-2, FSDP2 and HSDP on paper: state per device and bytes on the wire of a step. */
import { bytesText } from '../base/index.js';
import { formulas, type MimeBundle, table, toMime } from '../simulator/index.js';

export interface StrategyTableInput {
  /** Elements of each communication group. */
  groups: readonly number[];
  world: number;
  /** hsdp: ranks of a shard group; default: half of the world. */
  shard?: number;
  paramBytes?: number;
  reduceBytes?: number;
  moments?: number;
}

/** The figures of one strategy. */
export interface StrategyRow {
  strategy: 'ddp' | 'zero1' | 'zero2' | 'fsdp' | 'fsdpNoReshard' | 'hsdp';
  /** Bytes of parameters, gradients and optimizer state per device. */
  state: number;
  /** Bytes that a device sends in a step. */
  traffic: number;
  collectives: number;
}

/** Memory and traffic of all strategies side by side, in closed form. */
export class StrategyTable {
  readonly rows: readonly StrategyRow[];

  constructor(readonly input: StrategyTableInput) {
    const { groups, world, moments = 2 } = input;
    const shard = input.shard ?? Math.max(1, world / 2);
    const params = groups.reduce((sum, n) => sum + n, 0);
    const strategies = ['ddp', 'zero1', 'zero2', 'fsdp', 'fsdpNoReshard', 'hsdp'] as const;
    this.rows = strategies.map((strategy) => {
      const sharding = strategy === 'fsdpNoReshard' ? 'fsdp' : strategy;
      const state = formulas.modelState({
        params,
        world,
        strategy: sharding,
        param: 'float32',
        grad: 'float32',
        master: null,
        moments,
        shard,
      });
      const traffic = formulas.strategyTraffic({
        strategy,
        groups,
        world,
        shard,
        paramBytes: input.paramBytes ?? 4,
        reduceBytes: input.reduceBytes ?? 4,
      });
      const { allGather, reduceScatter, allReduce } = traffic.counts;
      return {
        strategy,
        state: state.total,
        traffic: traffic.total,
        collectives: allGather + reduceScatter + allReduce,
      };
    });
  }

  of(strategy: StrategyRow['strategy']): StrategyRow {
    return this.rows.find((row) => row.strategy === strategy)!;
  }

  [toMime](): MimeBundle {
    return { 'text/plain': this.toString() };
  }

  toString(): string {
    return table([
      ['strategy', 'state', 'traffic', 'collectives'],
      ...this.rows.map((row) => [
        row.strategy,
        bytesText(row.state),
        bytesText(row.traffic),
        String(row.collectives),
      ]),
    ]);
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}
