/** Programs of all ranks as one graph: collectives and messages are nodes that their ranks share. */
import { ShardbookError } from '../base/index.js';
import { ALGORITHMS, type Algorithm, type CollectiveSpec } from './algorithms.js';
import type { Cluster } from './cluster.js';
import { fastestAlgorithm, type Transfer, transferOf, transfersOf } from './cost.js';
import { COMPUTE, type CollectiveItem, type MessageItem, type RankProgram } from './program.js';

export interface GraphNode {
  id: number;
  label: string;
  kind: 'compute' | 'collective' | 'message' | 'point';
  /** Where it shows: a rank and a stream per member. */
  places: { rank: number; stream: string; item: number }[];
  deps: Set<number>;
  seconds: number;
  transfers: Transfer[];
  bytes: number;
  algorithm?: Algorithm;
  /** Messages: who sends to whom. */
  from?: number;
  to?: number;
}

export interface Graph {
  nodes: GraphNode[];
  /** Node of each program item that has one, by position of the program and of the item. */
  ofItem: Map<number, number>[];
  /** Node that an event of a rank stands for; undefined: time 0. */
  events: Map<string, Set<number>>;
}

export interface GraphOptions {
  /** For collectives that name none; 'auto' takes the fastest on an idle cluster. */
  algorithm?: Algorithm | 'auto' | Partial<Record<CollectiveItem['op'], Algorithm | 'auto'>>;
}

interface Joined {
  node: GraphNode;
  first: CollectiveItem;
  members: Map<number, CollectiveItem>;
  number: number;
}

export function buildGraph(cluster: Cluster, programs: readonly RankProgram[], options: GraphOptions): Graph {
  const graph: Graph = { nodes: [], ofItem: [], events: new Map() };
  const collectives = new Map<string, Joined>();
  const messages = new Map<string, { node: GraphNode; sides: (MessageItem & { rank: number })[] }>();
  const newNode = (kind: GraphNode['kind'], label: string): GraphNode => {
    const node: GraphNode = {
      id: graph.nodes.length,
      label,
      kind,
      places: [],
      deps: new Set(),
      seconds: 0,
      transfers: [],
      bytes: 0,
    };
    graph.nodes.push(node);
    return node;
  };
  for (const program of programs) {
    const { rank } = program;
    if (!Number.isInteger(rank) || rank < 0 || rank >= cluster.ranks) {
      throw simulationError(
        `a program is of rank ${rank}, but the cluster has ranks 0 to ${cluster.ranks - 1}`,
      );
    }
    const ofItem = new Map<number, number>();
    graph.ofItem.push(ofItem);
    const fronts = new Map<string, Set<number>>();
    const front = (stream: string): Set<number> => fronts.get(stream) ?? new Set();
    const calls = new Map<string, number>();
    const numberOf = (key: string): number => {
      const n = (calls.get(key) ?? 0) + 1;
      calls.set(key, n);
      return n;
    };
    const place = (node: GraphNode, stream: string, item: number, independent = false): void => {
      for (const dep of front(stream)) node.deps.add(dep);
      // What is issued to another stream sees what the compute stream was given so far, as NCCL's streams do.
      if (node.kind !== 'compute' && !independent) for (const dep of front(COMPUTE)) node.deps.add(dep);
      node.deps.delete(node.id);
      node.places.push({ rank, stream, item });
      fronts.set(stream, new Set([node.id]));
      ofItem.set(item, node.id);
    };
    program.items.forEach((item, at) => {
      switch (item.kind) {
        case 'compute': {
          const node = newNode('compute', item.label);
          node.seconds =
            item.seconds ?? cluster.computeSeconds(rank, item.flops ?? 0, item.bytes ?? 0, item.dtype);
          if (!(node.seconds >= 0))
            throw simulationError(
              `"${item.label}" of rank ${rank} takes ${node.seconds} seconds, wanted 0 or more`,
            );
          place(node, item.stream, at);
          return;
        }
        case 'collective': {
          const number = numberOf(`collective ${item.group}`);
          const key = `${item.group}|${item.ranks.join(',')}|${number}`;
          let joined = collectives.get(key);
          if (joined === undefined) {
            joined = { node: newNode('collective', item.label), first: item, members: new Map(), number };
            collectives.set(key, joined);
          }
          checkMember(item, rank, joined, cluster);
          joined.members.set(rank, item);
          place(joined.node, item.stream, at, item.independent);
          return;
        }
        case 'send':
        case 'recv': {
          const [from, to] = item.kind === 'send' ? [rank, item.peer] : [item.peer, rank];
          const number = numberOf(`${item.kind} ${from} ${to} ${item.tag}`);
          const key = `${from}>${to}|${item.tag}|${number}`;
          let met = messages.get(key);
          if (met === undefined) {
            met = { node: newNode('message', `${from} to ${to}`), sides: [] };
            messages.set(key, met);
          }
          met.sides.push({ ...item, rank });
          met.node.from = from;
          met.node.to = to;
          place(met.node, item.stream, at, item.independent);
          return;
        }
        case 'record':
          graph.events.set(`${rank} ${item.event}`, new Set(front(item.stream)));
          return;
        case 'wait': {
          const target = item.item === undefined ? undefined : ofItem.get(item.item);
          const event = item.event === undefined ? undefined : graph.events.get(`${rank} ${item.event}`);
          if (target === undefined && event === undefined) {
            throw simulationError(
              `rank ${rank} waits for ${item.event === undefined ? `item ${item.item}` : `event "${item.event}"`}, which was not issued before`,
            );
          }
          const added = target === undefined ? event! : [target];
          fronts.set(item.stream, new Set([...front(item.stream), ...added]));
        }
      }
    });
  }
  for (const joined of collectives.values()) finishCollective(joined, cluster, options);
  for (const { node, sides } of messages.values()) finishMessage(node, sides, cluster);
  return graph;
}

function checkMember(item: CollectiveItem, rank: number, { first, number }: Joined, cluster: Cluster): void {
  const name = `collective ${number} of group ${item.group}`;
  if (!item.ranks.includes(rank))
    throw simulationError(`rank ${rank} calls ${item.op} on a group without it`);
  const outside = item.ranks.find((r) => r >= cluster.ranks);
  if (outside !== undefined)
    throw simulationError(`${name} has rank ${outside}, but the cluster has ${cluster.ranks} ranks`);
  if (item.op !== first.op || item.root !== first.root)
    throw simulationError(`${name} is ${item.op} on rank ${rank} and ${first.op} on others`);
}

function finishCollective({ node, first, members, number }: Joined, cluster: Cluster, o: GraphOptions): void {
  const missing = first.ranks.filter((rank) => !members.has(rank));
  if (missing.length > 0) {
    throw simulationError(
      `${first.op} ${number} of group ${first.group}: ${missing.length === 1 ? 'rank' : 'ranks'} ${missing.join(', ')} did not call it`,
    );
  }
  // Uneven contributions: the slowest member decides.
  const bytes = Math.max(...[...members.values()].map((m) => m.bytes));
  const spec: CollectiveSpec = {
    kind: first.op,
    ranks: first.ranks,
    bytes,
    nodeOf: (rank) => cluster.nodeOf(rank),
    ...(first.root === undefined ? {} : { root: first.root }),
  };
  if (first.ranks.some((rank) => members.get(rank)!.sends !== undefined))
    spec.sends = first.ranks.map((rank) => members.get(rank)!.sends ?? []);
  const wanted =
    first.algorithm ?? (typeof o.algorithm === 'object' ? o.algorithm[first.op] : o.algorithm) ?? undefined;
  const named = typeof o.algorithm === 'string' && first.algorithm === undefined;
  const algorithm =
    wanted === 'auto' || (wanted === undefined && o.algorithm === 'auto')
      ? fastestAlgorithm(cluster, spec)
      : named && !appliesTo(first.op, wanted!)
        ? undefined
        : wanted;
  node.transfers = transfersOf(cluster, spec, algorithm as Algorithm | undefined);
  node.bytes = bytes;
  if (algorithm !== undefined) node.algorithm = algorithm as Algorithm;
}

/** One name for a whole simulation, say 'tree', is meant for the collectives that have it. */
function appliesTo(op: CollectiveItem['op'], algorithm: string): boolean {
  return (ALGORITHMS[op] as readonly string[]).includes(algorithm);
}

function finishMessage(
  node: GraphNode,
  sides: readonly (MessageItem & { rank: number })[],
  cluster: Cluster,
): void {
  const [one, other] = sides;
  if (other === undefined) {
    const peer = one!.kind === 'send' ? 'receive it' : 'send it';
    throw simulationError(`rank ${one!.rank} has "${one!.label}", but rank ${one!.peer} does not ${peer}`);
  }
  const bytes = Math.max(one!.bytes, other.bytes);
  node.bytes = bytes;
  const messages = [{ src: node.from!, dst: node.to!, bytes }];
  node.transfers = [transferOf(cluster, { name: 'message', rounds: 1, messages })];
}

export function simulationError(problem: string): ShardbookError {
  return new ShardbookError({ code: 'SB_SIMULATION', message: `Cannot simulate: ${problem}` });
}
