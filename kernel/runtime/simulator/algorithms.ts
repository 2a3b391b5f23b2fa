/**
 * Collectives as phases of messages. Wire bytes, simulated times and traffic matrices all come from here.
 *
 * A phase is `rounds` latencies and messages that flow at the same time; a pipelined ring is one phase whose messages carry what
 * crosses each edge in all its rounds. Sizes follow the closed forms: `bytes` is the tensor for allReduce, reduce and broadcast, the
 * full (gathered, unreduced) tensor for allGather and reduceScatter, a rank's input for allToAll, one rank's part for gather and scatter.
 */
import { ShardbookError } from '../base/index.js';

export type CollectiveKind =
  | 'allReduce'
  | 'reduce'
  | 'broadcast'
  | 'allGather'
  | 'reduceScatter'
  | 'allToAll'
  | 'gather'
  | 'scatter'
  | 'barrier';

export type Algorithm =
  | 'ring'
  | 'tree'
  | 'recursiveDoubling'
  | 'halvingDoubling'
  | 'hierarchical'
  | 'direct'
  | 'naive'
  | 'binomial'
  | 'pairwise';

export interface Message {
  readonly src: number;
  readonly dst: number;
  readonly bytes: number;
}

export interface Phase {
  readonly name: string;
  readonly rounds: number;
  readonly messages: readonly Message[];
}

export interface CollectiveSpec {
  kind: CollectiveKind;
  /** Global ranks in group order. */
  ranks: readonly number[];
  bytes: number;
  /** Position in the group; default 0. */
  root?: number;
  /** allToAll of uneven pieces: `sends[i][j]` bytes from member i to member j. */
  sends?: readonly (readonly number[])[];
  /** For `hierarchical`: which node a rank is in. */
  nodeOf?: (rank: number) => number;
}

/** What each collective can run as; the first is the default. */
export const ALGORITHMS: Readonly<Record<CollectiveKind, readonly Algorithm[]>> = {
  allReduce: ['ring', 'tree', 'recursiveDoubling', 'halvingDoubling', 'hierarchical', 'direct', 'naive'],
  reduce: ['binomial', 'direct'],
  broadcast: ['binomial', 'ring', 'direct'],
  allGather: ['ring', 'recursiveDoubling', 'hierarchical', 'direct'],
  reduceScatter: ['ring', 'halvingDoubling', 'hierarchical', 'direct'],
  allToAll: ['pairwise', 'direct'],
  gather: ['direct', 'naive'],
  scatter: ['direct', 'naive'],
  barrier: ['recursiveDoubling', 'naive'],
};

/** The phases of a collective under an algorithm. */
export function phasesOf(spec: CollectiveSpec, algorithm: Algorithm = ALGORITHMS[spec.kind][0]!): Phase[] {
  if (!ALGORITHMS[spec.kind].includes(algorithm)) {
    throw new ShardbookError({
      code: 'SB_ALGORITHM',
      message: `Cannot run ${spec.kind} as "${algorithm}": wanted one of ${ALGORITHMS[spec.kind].join(', ')}`,
    });
  }
  if (spec.ranks.length === 1) return [];
  return builders[spec.kind](spec, algorithm).filter((p) => p.rounds > 0 || p.messages.length > 0);
}

/** Whether the algorithm can run this collective: halving and doubling need a power of two, hierarchies whole nodes. */
export function canRun(spec: CollectiveSpec, algorithm: Algorithm): boolean {
  if (!ALGORITHMS[spec.kind].includes(algorithm)) return false;
  const n = spec.ranks.length;
  if (algorithm === 'halvingDoubling') return isPowerOfTwo(n);
  if (algorithm === 'recursiveDoubling') return spec.kind === 'barrier' || isPowerOfTwo(n);
  if (algorithm === 'hierarchical') return nodesOf(spec) !== undefined;
  return true;
}

/** Bytes that each member sends, by group position. */
export function bytesSent(spec: CollectiveSpec, algorithm?: Algorithm): number[] {
  const sent = new Map(spec.ranks.map((rank) => [rank, 0]));
  for (const phase of phasesOf(spec, algorithm))
    for (const m of phase.messages) sent.set(m.src, sent.get(m.src)! + m.bytes);
  return spec.ranks.map((rank) => sent.get(rank)!);
}

type Builder = (spec: CollectiveSpec, algorithm: Algorithm) => Phase[];

const builders: Record<CollectiveKind, Builder> = {
  allReduce(spec, algorithm) {
    const { ranks, bytes } = spec;
    const n = ranks.length;
    switch (algorithm) {
      case 'tree':
        return doubleTree(ranks, bytes);
      case 'recursiveDoubling':
        return exchangeSteps(spec, algorithm, 'exchange', distances(n), () => bytes);
      case 'halvingDoubling':
        return [
          ...builders.reduceScatter(spec, 'halvingDoubling'),
          ...exchangeSteps(spec, algorithm, 'allGather', distances(n), (d) => (bytes * d) / n),
        ];
      case 'hierarchical':
        return hierarchical(spec);
      case 'direct':
        return [directPhase('reduceScatter', ranks, bytes / n), directPhase('allGather', ranks, bytes / n)];
      case 'naive':
        return [
          ...oneByOne('gather', ranks, bytes, 0, 'in'),
          ...oneByOne('broadcast', ranks, bytes, 0, 'out'),
        ];
      default:
        return [ring('reduceScatter', ranks, bytes), ring('allGather', ranks, bytes)];
    }
  },
  reduce(spec, algorithm) {
    const { ranks, bytes, root = 0 } = spec;
    if (algorithm === 'direct') return [star('reduce', ranks, bytes, root, 'in')];
    return binomial(ranks, bytes, root)
      .reverse()
      .map((phase) => ({
        ...phase,
        name: 'reduce',
        messages: phase.messages.map((m) => ({ src: m.dst, dst: m.src, bytes: m.bytes })),
      }));
  },
  broadcast(spec, algorithm) {
    const { ranks, bytes, root = 0 } = spec;
    if (algorithm === 'direct') return [star('broadcast', ranks, bytes, root, 'out')];
    if (algorithm === 'binomial') return binomial(ranks, bytes, root);
    // A pipelined chain from the root: every link carries everything, and the pieces are small.
    const chain = ranks.map((_, i) => ranks[(root + i) % ranks.length]!);
    const messages = chain.slice(1).map((dst, i) => ({ src: chain[i]!, dst, bytes }));
    return [{ name: 'broadcast', rounds: ranks.length - 1, messages }];
  },
  allGather(spec, algorithm) {
    const { ranks, bytes } = spec;
    const n = ranks.length;
    if (algorithm === 'direct') return [directPhase('allGather', ranks, bytes / n)];
    if (algorithm === 'recursiveDoubling')
      return exchangeSteps(spec, algorithm, 'allGather', distances(n), (d) => (bytes * d) / n);
    if (algorithm === 'hierarchical') {
      const { inside, across } = requireNodes(spec);
      return [
        merge(
          'allGather across',
          across.map((peers) => ring('', peers, (bytes * peers.length) / n)),
        ),
        merge(
          'allGather inside',
          inside.map((node) => ring('', node, bytes)),
        ),
      ];
    }
    return [ring('allGather', ranks, bytes)];
  },
  reduceScatter(spec, algorithm) {
    const { ranks, bytes } = spec;
    const n = ranks.length;
    if (algorithm === 'direct') return [directPhase('reduceScatter', ranks, bytes / n)];
    if (algorithm === 'halvingDoubling') {
      const far = distances(n).reverse();
      return exchangeSteps(spec, algorithm, 'reduceScatter', far, (d) => (bytes * d) / n);
    }
    if (algorithm === 'hierarchical') {
      const { inside, across } = requireNodes(spec);
      return [
        merge(
          'reduceScatter inside',
          inside.map((node) => ring('', node, bytes)),
        ),
        merge(
          'reduceScatter across',
          across.map((peers) => ring('', peers, (bytes * peers.length) / n)),
        ),
      ];
    }
    return [ring('reduceScatter', ranks, bytes)];
  },
  allToAll(spec, algorithm) {
    const { ranks, bytes, sends } = spec;
    const n = ranks.length;
    const piece = (i: number, j: number): number => sends?.[i]?.[j] ?? (sends === undefined ? bytes / n : 0);
    const shift = (k: number): Message[] =>
      ranks.map((src, i) => ({ src, dst: ranks[(i + k) % n]!, bytes: piece(i, (i + k) % n) }));
    const shifts = Array.from({ length: n - 1 }, (_, k) => shift(k + 1));
    if (algorithm === 'direct') return [{ name: 'allToAll', rounds: 1, messages: shifts.flat() }];
    return shifts.map((messages) => ({ name: 'allToAll', rounds: 1, messages }));
  },
  gather({ ranks, bytes, root = 0 }, algorithm) {
    return algorithm === 'naive'
      ? oneByOne('gather', ranks, bytes, root, 'in')
      : [star('gather', ranks, bytes, root, 'in')];
  },
  scatter({ ranks, bytes, root = 0 }, algorithm) {
    return algorithm === 'naive'
      ? oneByOne('scatter', ranks, bytes, root, 'out')
      : [star('scatter', ranks, bytes, root, 'out')];
  },
  barrier({ ranks }, algorithm) {
    if (algorithm === 'naive')
      return [...oneByOne('gather', ranks, 0, 0, 'in'), ...oneByOne('release', ranks, 0, 0, 'out')];
    // Dissemination: in round k everybody tells the member 2^k further on.
    return distances(ranks.length).map((d) => ({
      name: 'barrier',
      rounds: 1,
      messages: ranks.map((src, i) => ({ src, dst: ranks[(i + d) % ranks.length]!, bytes: 0 })),
    }));
  },
};

/** n - 1 rounds in which everybody passes a chunk on; each edge carries n - 1 of n chunks. */
function ring(name: string, ranks: readonly number[], bytes: number): Phase {
  const n = ranks.length;
  if (n === 1) return { name, rounds: 0, messages: [] };
  const messages = ranks.map((src, i) => ({ src, dst: ranks[(i + 1) % n]!, bytes: ((n - 1) * bytes) / n }));
  return { name, rounds: n - 1, messages };
}

function directPhase(name: string, ranks: readonly number[], piece: number): Phase {
  const messages = ranks.flatMap((src) =>
    ranks.filter((dst) => dst !== src).map((dst) => ({ src, dst, bytes: piece })),
  );
  return { name, rounds: 1, messages };
}

function between(root: number, other: number, bytes: number, direction: 'in' | 'out'): Message {
  return direction === 'in' ? { src: other, dst: root, bytes } : { src: root, dst: other, bytes };
}

function star(
  name: string,
  ranks: readonly number[],
  bytes: number,
  root: number,
  direction: 'in' | 'out',
): Phase {
  const messages = ranks.filter((_, i) => i !== root).map((r) => between(ranks[root]!, r, bytes, direction));
  return { name, rounds: 1, messages };
}

function oneByOne(
  name: string,
  ranks: readonly number[],
  bytes: number,
  root: number,
  direction: 'in' | 'out',
): Phase[] {
  return star(name, ranks, bytes, root, direction).messages.map((m) => ({ name, rounds: 1, messages: [m] }));
}

/** In step k the members that have the data pass it to members 2^k away (from the farthest). */
function binomial(ranks: readonly number[], bytes: number, root: number): Phase[] {
  const n = ranks.length;
  const at = (i: number): number => ranks[(root + i) % n]!;
  const phases: Phase[] = [];
  for (let have = 1; have < n; have *= 2) {
    const messages: Message[] = [];
    for (let i = 0; i < have && i + have < n; i++) messages.push({ src: at(i), dst: at(i + have), bytes });
    phases.push({ name: 'broadcast', rounds: 1, messages });
  }
  return phases;
}

/**
 * Two complementary binary trees, each for half of the data, reduced up and broadcast down in a pipeline. A rank that is inner in one
 * tree is a leaf in the other, so every port carries about 2 S. Edges of the second tree are those of the first, mirrored.
 */
function doubleTree(ranks: readonly number[], bytes: number): Phase[] {
  const n = ranks.length;
  const edges = treeEdges(n);
  const up: Message[] = [];
  const down: Message[] = [];
  for (const mirror of [false, true]) {
    for (const [child, parent] of edges) {
      const c = ranks[mirror ? n - 1 - child : child]!;
      const p = ranks[mirror ? n - 1 - parent : parent]!;
      up.push({ src: c, dst: p, bytes: bytes / 2 });
      down.push({ src: p, dst: c, bytes: bytes / 2 });
    }
  }
  return [{ name: 'tree', rounds: 2 * ceilLog2(n), messages: [...up, ...down] }];
}

/** [child, parent] of the binary tree over 0 .. n-1 in which odd positions are leaves and 0 is the root. */
function treeEdges(n: number): [number, number][] {
  const edges: [number, number][] = [];
  for (let child = 1; child < n; child++) {
    const bit = child & -child;
    let parent = (child ^ bit) | (bit << 1);
    if (parent >= n) parent = child ^ bit;
    edges.push([child, parent]);
  }
  return edges;
}

/** Pairs at each distance swap `size(distance)` bytes. */
function exchangeSteps(
  { kind, ranks }: CollectiveSpec,
  algorithm: Algorithm,
  name: string,
  steps: readonly number[],
  size: (distance: number) => number,
): Phase[] {
  if (!isPowerOfTwo(ranks.length)) {
    throw new ShardbookError({
      code: 'SB_ALGORITHM',
      message: `Cannot run ${kind} of ${ranks.length} ranks as "${algorithm}": wanted a power of two`,
      help: 'choose "ring" or "tree"',
    });
  }
  return steps.map((d) => ({
    name,
    rounds: 1,
    messages: ranks.map((src, i) => ({ src, dst: ranks[i ^ d]!, bytes: size(d) })),
  }));
}

function hierarchical(spec: CollectiveSpec): Phase[] {
  const { inside, across } = requireNodes(spec);
  const perNode = inside[0]!.length;
  const inner = (name: string): Phase =>
    merge(
      name,
      inside.map((node) => ring('', node, spec.bytes)),
    );
  const outer = (name: string): Phase =>
    merge(
      name,
      across.map((peers) => ring('', peers, spec.bytes / perNode)),
    );
  return [
    inner('reduceScatter inside'),
    outer('reduceScatter across'),
    outer('allGather across'),
    inner('allGather inside'),
  ];
}

function merge(name: string, phases: readonly Phase[]): Phase {
  return {
    name,
    rounds: Math.max(0, ...phases.map((p) => p.rounds)),
    messages: phases.flatMap((p) => p.messages),
  };
}

/** The members by node, and the members at one place of every node; undefined unless all nodes have as many. */
function nodesOf(spec: CollectiveSpec): { inside: number[][]; across: number[][] } | undefined {
  if (spec.nodeOf === undefined) return undefined;
  const byNode = new Map<number, number[]>();
  for (const rank of spec.ranks) {
    const node = spec.nodeOf(rank);
    byNode.set(node, [...(byNode.get(node) ?? []), rank]);
  }
  const inside = [...byNode.values()];
  const perNode = inside[0]!.length;
  if (inside.some((node) => node.length !== perNode)) return undefined;
  return { inside, across: inside[0]!.map((_, i) => inside.map((node) => node[i]!)) };
}

function requireNodes(spec: CollectiveSpec): { inside: number[][]; across: number[][] } {
  const nodes = nodesOf(spec);
  if (nodes !== undefined) return nodes;
  throw new ShardbookError({
    code: 'SB_ALGORITHM',
    message: `Cannot run ${spec.kind} as "hierarchical": the group has not as many ranks on every node`,
    help: 'choose "ring", or a group of whole nodes',
  });
}

function isPowerOfTwo(n: number): boolean {
  return n > 0 && (n & (n - 1)) === 0;
}

function ceilLog2(n: number): number {
  return n <= 1 ? 0 : 32 - Math.clz32(n - 1);
}

/** 1, 2, 4, ... n / 2. */
function distances(n: number): number[] {
  return Array.from({ length: ceilLog2(n) }, (_, k) => 2 ** k);
}
