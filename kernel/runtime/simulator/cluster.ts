/** A cluster on paper: devices and the tiers of links between them. */
import { nearestName, ShardbookError } from '../base/index.js';

/** A device: FLOP/s by dtype, memory in bytes, memory bandwidth in bytes per second. */
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

/** All of a cluster, from the innermost tier outwards. */
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

export interface ClusterOptions {
  name?: string;
  /** Default 1. */
  nodes?: number;
  /** Default 8. */
  ranksPerNode?: number;
  /** A name from `DEVICES`, or figures; default 'h100'. */
  device?: string | DeviceSpec;
  /** Link inside a node: a name from `LINKS`, or figures; default 'nvlink4'. */
  inside?: string | Omit<LinkTier, 'ranks'>;
  /** Link between nodes; default 'infiniband400'. */
  across?: string | Omit<LinkTier, 'ranks'>;
  /** The devices of a node share one port to the others; default: each has its own. */
  sharedCard?: boolean;
  speed?: ClusterSpec['speed'];
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

/** Devices joined by tiers of links: who is near whom, and what a message between two ranks crosses. */
export class Cluster {
  readonly #ports = new Map<string, Port>();

  constructor(readonly spec: ClusterSpec) {
    checkSpec(spec);
  }

  /** A known machine: 'b200', 'h100', 'a100', 'tpuv5e' and 'laptop' (nodes of 8), 'pcie' (nodes of 4 with one network card). */
  static preset(name: string, options: { nodes?: number; ranksPerNode?: number } = {}): Cluster {
    const preset = named(PRESETS, 'cluster', name);
    const { nodes = 1, ranksPerNode = preset.perNode } = options;
    const { device, inside, across, sharedCard } = preset;
    const made = { name, nodes, ranksPerNode, device, inside, across };
    return Cluster.of(sharedCard ? { ...made, sharedCard } : made);
  }

  /**
   * Nodes of devices, from parts by name or as figures.
   *
   * @example Cluster.of({ nodes: 2, ranksPerNode: 8, device: 'h100', inside: 'nvlink4', across: 'infiniband400' })
   */
  static of(options: ClusterOptions): Cluster {
    const {
      nodes = 1,
      ranksPerNode = 8,
      device = 'h100',
      inside = 'nvlink4',
      across = 'infiniband400',
    } = options;
    const link = (given: string | Omit<LinkTier, 'ranks'>): Omit<LinkTier, 'ranks'> =>
      typeof given === 'string' ? named(LINKS, 'link', given) : given;
    const near = { ...link(inside), ranks: ranksPerNode };
    const far = { ...link(across), ranks: nodes * ranksPerNode };
    if (options.sharedCard) far.devicesPerPort = ranksPerNode;
    return new Cluster({
      ...(options.name === undefined ? {} : { name: options.name }),
      ranks: nodes * ranksPerNode,
      device: typeof device === 'string' ? named(DEVICES, 'device', device) : device,
      tiers: nodes === 1 ? [near] : [near, far],
      ...(options.speed === undefined ? {} : { speed: options.speed }),
      ...(options.placement === undefined ? {} : { placement: options.placement }),
    });
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
    const { name, device, tiers } = this.spec;
    const machine = [name ?? 'custom', device.name === undefined ? '' : ` of ${device.name}`].join('');
    return `Cluster(${machine}, ${this.ranks} ranks, ${tiers.map((t) => t.name).join(' + ')})`;
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
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

/**
 * Devices by name. Data sheets: dense rates, without sparsity; FLOP/s by dtype, bytes, bytes per second.
 * NVIDIA's of A100, H100, B200 and L4, Google's of TPU v5e; 'core' is one core of a laptop.
 */
export const DEVICES: Readonly<Record<string, DeviceSpec>> = {
  b200: {
    name: 'B200',
    flopsPerSecond: {
      bfloat16: 2250e12,
      float16: 2250e12,
      float8_e4m3fn: 4500e12,
      float8_e5m2: 4500e12,
      float32: 75e12,
      float64: 37e12,
      default: 75e12,
    },
    memoryBytes: 180e9,
    memoryBytesPerSecond: 7.7e12,
  },
  h100: {
    name: 'H100 SXM',
    flopsPerSecond: {
      bfloat16: 989e12,
      float16: 989e12,
      float8_e4m3fn: 1979e12,
      float8_e5m2: 1979e12,
      float32: 67e12,
      float64: 34e12,
      default: 67e12,
    },
    memoryBytes: 80e9,
    memoryBytesPerSecond: 3.35e12,
  },
  a100: {
    name: 'A100 SXM',
    flopsPerSecond: {
      bfloat16: 312e12,
      float16: 312e12,
      float32: 19.5e12,
      float64: 9.7e12,
      default: 19.5e12,
    },
    memoryBytes: 80e9,
    memoryBytesPerSecond: 2.04e12,
  },
  l4: {
    name: 'L4',
    flopsPerSecond: {
      bfloat16: 121e12,
      float16: 121e12,
      float8_e4m3fn: 242e12,
      float32: 30e12,
      default: 30e12,
    },
    memoryBytes: 24e9,
    memoryBytesPerSecond: 300e9,
  },
  tpuv5e: {
    name: 'TPU v5e',
    flopsPerSecond: { bfloat16: 197e12, int8: 394e12, default: 197e12 },
    memoryBytes: 16e9,
    memoryBytesPerSecond: 819e9,
  },
  core: { name: 'core', flopsPerSecond: 50e9, memoryBytes: 2e9, memoryBytesPerSecond: 20e9 },
};

/**
 * Links by name: bytes per second of a device's port in each direction (NVLink: the sum of its lanes), and seconds per
 * message, in the range of the per-step latencies in NCCL's tuning tables (NVLink 0.6-3.4 us, PCI 1-5.7 us, network 2.7-14 us).
 */
export const LINKS: Readonly<Record<string, Omit<LinkTier, 'ranks'>>> = {
  nvlink5: { name: 'nvlink5', latencySeconds: 2e-6, bytesPerSecond: 900e9 },
  nvlink4: { name: 'nvlink4', latencySeconds: 2e-6, bytesPerSecond: 450e9 },
  nvlink3: { name: 'nvlink3', latencySeconds: 2e-6, bytesPerSecond: 300e9 },
  pcie5: { name: 'pcie5', latencySeconds: 2.5e-6, bytesPerSecond: 64e9 },
  pcie4: { name: 'pcie4', latencySeconds: 2.5e-6, bytesPerSecond: 32e9 },
  ici: { name: 'ici', latencySeconds: 1e-6, bytesPerSecond: 100e9 },
  infiniband400: { name: 'infiniband400', latencySeconds: 5e-6, bytesPerSecond: 50e9 },
  infiniband200: { name: 'infiniband200', latencySeconds: 5e-6, bytesPerSecond: 25e9 },
  ethernet100: { name: 'ethernet100', latencySeconds: 14e-6, bytesPerSecond: 12.5e9 },
  ethernet25: { name: 'ethernet25', latencySeconds: 14e-6, bytesPerSecond: 3.125e9 },
  ethernet10: { name: 'ethernet10', latencySeconds: 14e-6, bytesPerSecond: 1.25e9 },
  memory: { name: 'memory', latencySeconds: 1e-6, bytesPerSecond: 10e9 },
};

interface Preset {
  perNode: number;
  device: string;
  inside: string;
  across: string;
  /** Devices of a node share its network card. */
  sharedCard?: boolean;
}

const PRESETS: Readonly<Record<string, Preset>> = {
  b200: { perNode: 8, device: 'b200', inside: 'nvlink5', across: 'infiniband400' },
  h100: { perNode: 8, device: 'h100', inside: 'nvlink4', across: 'infiniband400' },
  a100: { perNode: 8, device: 'a100', inside: 'nvlink3', across: 'infiniband200' },
  pcie: { perNode: 4, device: 'l4', inside: 'pcie4', across: 'ethernet25', sharedCard: true },
  tpuv5e: { perNode: 8, device: 'tpuv5e', inside: 'ici', across: 'ethernet100', sharedCard: true },
  laptop: { perNode: 8, device: 'core', inside: 'memory', across: 'ethernet10', sharedCard: true },
};

/** An entry of a table of names, or a refusal that says which there are. */
function named<T>(table: Readonly<Record<string, T>>, what: string, name: string): T {
  const found = Object.hasOwn(table, name) ? table[name] : undefined;
  if (found !== undefined) return found;
  const near = nearestName(name, Object.keys(table));
  throw new ShardbookError({
    code: 'SB_CLUSTER',
    message: `Cannot use ${what} "${name}": wanted one of ${Object.keys(table).join(', ')}`,
    ...(near === undefined ? {} : { help: `did you mean "${near}"?` }),
  });
}
