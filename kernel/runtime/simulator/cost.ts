/** What phases cost on a cluster when nothing else is on its links. */
import {
  ALGORITHMS,
  type Algorithm,
  type CollectiveSpec,
  canRun,
  type Phase,
  phasesOf,
} from './algorithms.js';
import type { Cluster, Port } from './cluster.js';

/** A phase on the links: a latency, then bytes through ports, `seconds` long when alone. */
export interface Transfer {
  readonly name: string;
  readonly latencySeconds: number;
  readonly seconds: number;
  readonly loads: readonly { readonly port: Port; readonly bytes: number }[];
}

export function transferOf(cluster: Cluster, phase: Phase): Transfer {
  let latency = 0;
  const loads = new Map<Port, number>();
  for (const { src, dst, bytes } of phase.messages) {
    const { tier, ports } = cluster.route(src, dst);
    latency = Math.max(latency, tier.latencySeconds);
    if (bytes === 0) continue;
    for (const port of ports) loads.set(port, (loads.get(port) ?? 0) + bytes);
  }
  let seconds = 0;
  for (const [port, bytes] of loads) seconds = Math.max(seconds, bytes / port.bytesPerSecond);
  return {
    name: phase.name,
    latencySeconds: phase.rounds * latency,
    seconds,
    loads: [...loads].map(([port, bytes]) => ({ port, bytes })),
  };
}

export function transfersOf(cluster: Cluster, spec: CollectiveSpec, algorithm?: Algorithm): Transfer[] {
  return phasesOf(withNodes(cluster, spec), algorithm).map((phase) => transferOf(cluster, phase));
}

/** Seconds of a collective that has the cluster to itself. */
export function collectiveSeconds(cluster: Cluster, spec: CollectiveSpec, algorithm?: Algorithm): number {
  return transfersOf(cluster, spec, algorithm).reduce((sum, t) => sum + t.latencySeconds + t.seconds, 0);
}

/** The algorithm that is fastest on an idle cluster; of equals the first of ALGORITHMS. */
export function fastestAlgorithm(cluster: Cluster, spec: CollectiveSpec): Algorithm {
  const known = withNodes(cluster, spec);
  let best = ALGORITHMS[spec.kind][0]!;
  let least = Number.POSITIVE_INFINITY;
  for (const algorithm of ALGORITHMS[spec.kind]) {
    if (!canRun(known, algorithm)) continue;
    const seconds = collectiveSeconds(cluster, known, algorithm);
    if (seconds < least) {
      best = algorithm;
      least = seconds;
    }
  }
  return best;
}

function withNodes(cluster: Cluster, spec: CollectiveSpec): CollectiveSpec {
  return spec.nodeOf === undefined ? { ...spec, nodeOf: (rank) => cluster.nodeOf(rank) } : spec;
}
