/** A cluster on paper: devices and the tiers of links between them. */
import { nearestName, ShardbookError } from '../base/index.js';

export interface DeviceSpec {
  name?: string;
  /** Multiply-adds count as two. A number for every dtype, or by dtype name with `default`. */
  flopsPerSecond: number | Readonly<Record<string, number>>;
  memoryBytes: number;
  memoryBytesPerSecond: number;
}

/** Links that join `ranks` consecutive devices, each through a port of its own unless several share one. */
export interface LinkTier {
  name: string;
  /** Devices within reach of one another over this tier; the last tier reaches all. */
  ranks: number;
  latencySeconds: number;
  /** Of a port, in each direction. */
  bytesPerSecond: number;
  /** Consecutive devices that share a port (a node with one network card: its devices); default 1. */
  devicesPerPort?: number;
}

export interface ClusterSpec {
  name?: string;
  ranks: number;
  device: DeviceSpec;
  /** From the nearest to the farthest. */
  tiers: readonly LinkTier[];
  /** Compute speed of single ranks relative to the others: `{ 3: 0.5 }` makes rank 3 half as fast. */
  speed?: Readonly<Record<number, number>>;
  /** On which device each rank runs: `[0, 4, 1, 5]` puts ranks 0 and 1 on different nodes of 4. Default: rank r on device r. */
  placement?: readonly number[];
}

/** One direction of one port. */
export interface Port {
  readonly id: string;
  readonly tier: string;
  readonly bytesPerSecond: number;
}

export interface Route {
  readonly tier: LinkTier;
  readonly ports: readonly Port[];
}

export class Cluster {
  readonly #ports = new Map<string, Port>();

  constructor(readonly spec: ClusterSpec) {
    checkSpec(spec);
  }

  /** A known machine: 'h100', 'a100' (nodes of 8), 'pcie' (nodes of 4, one network card), 'laptop' (8 cores). */
  static preset(name: string, options: { nodes?: number; ranksPerNode?: number } = {}): Cluster {
    const make = PRESETS[name];
    if (make === undefined) {
      const near = nearestName(name, Object.keys(PRESETS));
      throw new ShardbookError({
        code: 'SB_CLUSTER',
        message: `Cannot use cluster "${name}": wanted one of ${Object.keys(PRESETS).join(', ')}`,
        ...(near === undefined ? {} : { help: `did you mean "${near}"?` }),
      });
    }
    return new Cluster(make(options.nodes ?? 1, options.ranksPerNode));
  }

  get ranks(): number {
    return this.spec.ranks;
  }

  get memoryBytes(): number {
    return this.spec.device.memoryBytes;
  }

  /** Devices of the nearest tier: a node. */
  get ranksPerNode(): number {
    return Math.min(this.spec.tiers[0]!.ranks, this.ranks);
  }

  nodeOf(rank: number): number {
    return Math.floor(this.#device(rank) / this.ranksPerNode);
  }

  flopsPerSecond(rank: number, dtype = 'float32'): number {
    const { flopsPerSecond } = this.spec.device;
    const base =
      typeof flopsPerSecond === 'number'
        ? flopsPerSecond
        : (flopsPerSecond[dtype] ?? flopsPerSecond['default'] ?? Object.values(flopsPerSecond)[0]!);
    return base * (this.spec.speed?.[rank] ?? 1);
  }

  /** Seconds of an operation: as long as its arithmetic or its memory traffic takes, whichever is longer. */
  computeSeconds(rank: number, flops: number, bytes: number, dtype?: string): number {
    const speed = this.spec.speed?.[rank] ?? 1;
    const arithmetic = flops === 0 ? 0 : flops / this.flopsPerSecond(rank, dtype);
    return Math.max(arithmetic, bytes / (this.spec.device.memoryBytesPerSecond * speed));
  }

  /** The tier over which two ranks talk. */
  tierBetween(a: number, b: number): LinkTier {
    const { tiers } = this.spec;
    const [from, to] = [this.#device(a), this.#device(b)];
    return (
      tiers.find((tier) => Math.floor(from / tier.ranks) === Math.floor(to / tier.ranks)) ??
      tiers[tiers.length - 1]!
    );
  }

  /** The ports that a message from `a` to `b` crosses: out of a's, into b's. */
  route(a: number, b: number): Route {
    const tier = this.tierBetween(a, b);
    return {
      tier,
      ports: [this.#port(tier, this.#device(a), 'out'), this.#port(tier, this.#device(b), 'in')],
    };
  }

  /** The same machine with ranks on other devices. */
  placed(placement: readonly number[]): Cluster {
    return new Cluster({ ...this.spec, placement });
  }

  #device(rank: number): number {
    return this.spec.placement?.[rank] ?? rank;
  }

  #port(tier: LinkTier, rank: number, direction: 'in' | 'out'): Port {
    const share = tier.devicesPerPort ?? 1;
    const first = Math.floor(rank / share) * share;
    const owner =
      share === 1 ? `device ${rank}` : `devices ${first}-${Math.min(first + share, this.ranks) - 1}`;
    const id = `${tier.name} ${direction} of ${owner}`;
    let port = this.#ports.get(id);
    if (port === undefined) {
      port = { id, tier: tier.name, bytesPerSecond: tier.bytesPerSecond };
      this.#ports.set(id, port);
    }
    return port;
  }

  toString(): string {
    const { name, tiers } = this.spec;
    return `Cluster(${name ?? 'custom'}, ${this.ranks} ranks, ${tiers.map((t) => t.name).join(' + ')})`;
  }
}

function checkSpec(spec: ClusterSpec): void {
  const refuse = (problem: string): never => {
    throw new ShardbookError({ code: 'SB_CLUSTER', message: `Cannot describe the cluster: ${problem}` });
  };
  const positive = (what: string, value: number): void => {
    if (!(value > 0)) refuse(`${what} is ${value}, wanted more than 0`);
  };
  if (!Number.isInteger(spec.ranks) || spec.ranks < 1)
    refuse(`ranks is ${spec.ranks}, wanted a whole number from 1`);
  const { flopsPerSecond } = spec.device;
  if (typeof flopsPerSecond === 'number') positive('flopsPerSecond', flopsPerSecond);
  else if (Object.keys(flopsPerSecond).length === 0) refuse('flopsPerSecond names no dtype');
  else
    for (const [dtype, value] of Object.entries(flopsPerSecond))
      positive(`flopsPerSecond of ${dtype}`, value);
  positive('memoryBytes', spec.device.memoryBytes);
  positive('memoryBytesPerSecond', spec.device.memoryBytesPerSecond);
  if (spec.tiers.length === 0) refuse('there are no tiers, wanted one at least');
  spec.tiers.forEach((tier, i) => {
    positive(`bytesPerSecond of tier "${tier.name}"`, tier.bytesPerSecond);
    if (!(tier.latencySeconds >= 0))
      refuse(`latencySeconds of tier "${tier.name}" is ${tier.latencySeconds}, wanted 0 or more`);
    const inner = spec.tiers[i - 1]?.ranks ?? 1;
    if (!Number.isInteger(tier.ranks) || tier.ranks < 1 || tier.ranks % inner !== 0)
      refuse(`tier "${tier.name}" joins ${tier.ranks} ranks, wanted a multiple of ${inner}`);
  });
  const { placement } = spec;
  if (placement !== undefined) {
    const devices = new Set(placement);
    const outside = placement.find((d) => !Number.isInteger(d) || d < 0 || d >= spec.ranks);
    if (outside !== undefined) refuse(`placement names device ${outside}, wanted 0 to ${spec.ranks - 1}`);
    if (devices.size !== placement.length) refuse('placement puts two ranks on one device');
  }
  for (const [rank, value] of Object.entries(spec.speed ?? {})) positive(`speed of rank ${rank}`, value);
}

// Data sheets: dense tensor-core rates, per-direction link rates; latencies in the range that NCCL's tuning tables use.
const PRESETS: Readonly<Record<string, (nodes: number, perNode?: number) => ClusterSpec>> = {
  h100: (nodes, perNode = 8) => ({
    name: 'h100',
    ranks: nodes * perNode,
    device: {
      name: 'H100 SXM',
      flopsPerSecond: {
        bfloat16: 989e12,
        float16: 989e12,
        float8_e4m3fn: 1979e12,
        float32: 67e12,
        default: 67e12,
      },
      memoryBytes: 80e9,
      memoryBytesPerSecond: 3.35e12,
    },
    tiers: [
      { name: 'nvlink', ranks: perNode, latencySeconds: 2e-6, bytesPerSecond: 450e9 },
      { name: 'infiniband', ranks: nodes * perNode, latencySeconds: 5e-6, bytesPerSecond: 50e9 },
    ],
  }),
  a100: (nodes, perNode = 8) => ({
    name: 'a100',
    ranks: nodes * perNode,
    device: {
      name: 'A100 SXM',
      flopsPerSecond: { bfloat16: 312e12, float16: 312e12, float32: 19.5e12, default: 19.5e12 },
      memoryBytes: 80e9,
      memoryBytesPerSecond: 2.04e12,
    },
    tiers: [
      { name: 'nvlink', ranks: perNode, latencySeconds: 2e-6, bytesPerSecond: 300e9 },
      { name: 'infiniband', ranks: nodes * perNode, latencySeconds: 5e-6, bytesPerSecond: 25e9 },
    ],
  }),
  pcie: (nodes, perNode = 4) => ({
    name: 'pcie',
    ranks: nodes * perNode,
    device: {
      name: 'L4',
      flopsPerSecond: { bfloat16: 121e12, float16: 121e12, float32: 30e12, default: 30e12 },
      memoryBytes: 24e9,
      memoryBytesPerSecond: 300e9,
    },
    tiers: [
      { name: 'pcie', ranks: perNode, latencySeconds: 2.5e-6, bytesPerSecond: 32e9 },
      {
        name: 'ethernet',
        ranks: nodes * perNode,
        latencySeconds: 14e-6,
        bytesPerSecond: 3.125e9,
        devicesPerPort: perNode,
      },
    ],
  }),
  laptop: (nodes, perNode = 8) => ({
    name: 'laptop',
    ranks: nodes * perNode,
    device: { name: 'core', flopsPerSecond: 50e9, memoryBytes: 2e9, memoryBytesPerSecond: 20e9 },
    tiers: [{ name: 'memory', ranks: nodes * perNode, latencySeconds: 1e-6, bytesPerSecond: 10e9 }],
  }),
};
