/**
 * Runs the graph of all programs in virtual time.
 *
 * A node becomes ready when all it depends on is done. Compute takes its seconds. A transfer first takes its latency; then its bytes
 * flow at a speed between 0 and 1 of what it has alone: transfers that meet at a port share it max-min fairly, so nobody is slowed by a
 * port that it does not use, and no port is left idle that somebody waits for. Ties are broken by node id: same programs, same times.
 */
import type { Cluster } from './cluster.js';
import type { Transfer } from './cost.js';
import { buildGraph, type Graph, type GraphNode, type GraphOptions, simulationError } from './graph.js';
import type { RankProgram } from './program.js';
import { SimulationResult, type Span } from './result.js';

export interface SimulateOptions extends GraphOptions {
  /** Transfers that use the same port at the same time slow each other down; default true. */
  contention?: boolean;
}

interface Flow {
  node: GraphNode;
  transfer: Transfer;
  /** Seconds left at full speed. */
  left: number;
  speed: number;
}

/** Virtual start and end of everything that the programs issue. */
export function simulate(
  cluster: Cluster,
  programs: readonly RankProgram[],
  options: SimulateOptions = {},
): SimulationResult {
  const graph = buildGraph(cluster, programs, options);
  const { start, end } = run(graph, options.contention !== false);
  const spans: Span[] = [];
  for (const node of graph.nodes) {
    for (const { rank, stream, item } of node.places) {
      spans.push({
        rank,
        stream,
        item,
        label: node.label,
        kind: node.kind === 'compute' ? 'compute' : 'communication',
        start: start[node.id]!,
        end: end[node.id]!,
        bytes: node.bytes,
        ...(node.algorithm === undefined ? {} : { algorithm: node.algorithm }),
      });
    }
  }
  spans.sort((a, b) => a.start - b.start || a.rank - b.rank || a.item - b.item);
  const events = new Map<string, number>();
  for (const [name, nodes] of graph.events)
    events.set(name, Math.max(0, ...[...nodes].map((id) => end[id]!)));
  return new SimulationResult(cluster, spans, events, portUse(graph, start, end));
}

function run(graph: Graph, contention: boolean): { start: number[]; end: number[] } {
  const { nodes } = graph;
  const start: number[] = Array(nodes.length).fill(0);
  const end: number[] = Array(nodes.length).fill(Number.NaN);
  const open = nodes.map((node) => node.deps.size);
  const followers: number[][] = nodes.map(() => []);
  for (const node of nodes) for (const dep of node.deps) followers[dep]!.push(node.id);
  const timers: { at: number; node: GraphNode; phase: number }[] = [];
  let flows: Flow[] = [];
  let now = 0;
  let done = 0;

  const begin = (node: GraphNode): void => {
    start[node.id] = now;
    if (node.transfers.length === 0) timers.push({ at: now + node.seconds, node, phase: -1 });
    else timers.push({ at: now + node.transfers[0]!.latencySeconds, node, phase: 0 });
  };
  const finish = (node: GraphNode): void => {
    end[node.id] = now;
    done++;
    for (const id of followers[node.id]!) if (--open[id]! === 0) begin(nodes[id]!);
  };
  const nextPhase = (node: GraphNode, phase: number): void => {
    const next = node.transfers[phase];
    if (next === undefined) finish(node);
    else timers.push({ at: now + next.latencySeconds, node, phase });
  };
  for (const node of nodes) if (open[node.id] === 0) begin(node);
  while (done < nodes.length) {
    if (contention) shareOut(flows);
    let next = Number.POSITIVE_INFINITY;
    for (const timer of timers) next = Math.min(next, timer.at);
    for (const flow of flows) next = Math.min(next, now + flow.left / flow.speed);
    if (next === Number.POSITIVE_INFINITY) throw stuckError(nodes, end);
    const due = timers.filter((timer) => timer.at <= next);
    const ended = flows.filter((flow) => now + flow.left / flow.speed <= next);
    for (const flow of flows) flow.left = Math.max(0, flow.left - (next - now) * flow.speed);
    now = next;
    flows = flows.filter((flow) => !ended.includes(flow));
    for (const timer of due) timers.splice(timers.indexOf(timer), 1);
    const arrived = [
      ...due.map(({ node, phase }) => ({
        node,
        phase,
        flow: phase >= 0 && node.transfers[phase]!.seconds > 0,
      })),
      ...ended.map(({ node, transfer }) => ({ node, phase: node.transfers.indexOf(transfer), flow: false })),
    ].sort((a, b) => a.node.id - b.node.id);
    for (const { node, phase, flow } of arrived) {
      if (phase < 0) finish(node);
      else if (flow) {
        const transfer = node.transfers[phase]!;
        flows.push({ node, transfer, left: transfer.seconds, speed: 1 });
      } else nextPhase(node, phase + 1);
    }
  }
  return { start, end };
}

/** Max-min fair speeds: all rise together until a port is full; those on it stop rising, the others go on. */
function shareOut(flows: readonly Flow[]): void {
  if (flows.length === 0) return;
  const ports = new Map<string, { left: number; demand: number; flows: { flow: Flow; rate: number }[] }>();
  for (const flow of flows) {
    flow.speed = 0;
    for (const { port, bytes } of flow.transfer.loads) {
      // Share of the port that the transfer takes at full speed.
      const rate = bytes / flow.transfer.seconds / port.bytesPerSecond;
      const entry = ports.get(port.id) ?? { left: 1, demand: 0, flows: [] };
      entry.demand += rate;
      entry.flows.push({ flow, rate });
      ports.set(port.id, entry);
    }
  }
  // Where nothing is oversubscribed all run at exactly full speed, free of rounding.
  const rising = new Set(flows);
  const crowded = [...ports.values()].filter((port) => port.demand > 1 + 1e-12);
  while (rising.size > 0) {
    let step = 1;
    for (const flow of rising) step = Math.min(step, 1 - flow.speed);
    for (const port of crowded) {
      const demand = port.flows.reduce((sum, { flow, rate }) => sum + (rising.has(flow) ? rate : 0), 0);
      if (demand > 0) step = Math.min(step, Math.max(0, port.left) / demand);
    }
    for (const port of crowded)
      for (const { flow, rate } of port.flows) if (rising.has(flow)) port.left -= step * rate;
    for (const flow of rising) flow.speed += step;
    let stopped = false;
    for (const flow of [...rising]) {
      const full = crowded.some((port) => port.left <= 1e-12 && port.flows.some((f) => f.flow === flow));
      if (full || flow.speed >= 1 - 1e-12) {
        if (!full) flow.speed = 1;
        rising.delete(flow);
        stopped = true;
      }
    }
    if (!stopped) break;
  }
}

function stuckError(nodes: readonly GraphNode[], end: readonly number[]): Error {
  const waiting = nodes.filter((node) => Number.isNaN(end[node.id]!) && node.kind !== 'compute');
  const told = waiting
    .slice(0, 4)
    .map((node) => `${node.label} (${node.places.map((p) => `rank ${p.rank}`).join(', ')})`);
  return simulationError(`the programs wait for each other in a circle: ${told.join('; ')}`);
}

function portUse(graph: Graph, start: readonly number[], end: readonly number[]): Map<string, PortUse> {
  const use = new Map<string, PortUse>();
  for (const node of graph.nodes) {
    for (const transfer of node.transfers) {
      for (const { port, bytes } of transfer.loads) {
        const entry = use.get(port.id) ?? {
          tier: port.tier,
          bytes: 0,
          bytesPerSecond: port.bytesPerSecond,
          spans: [],
        };
        entry.bytes += bytes;
        entry.spans.push([start[node.id]!, end[node.id]!]);
        use.set(port.id, entry);
      }
    }
  }
  return use;
}

export interface PortUse {
  tier: string;
  bytes: number;
  bytesPerSecond: number;
  /** From start to end of each node that used it. */
  spans: [number, number][];
}
