/**
 * How long a run takes on a cluster on paper. What every rank began and waited for, in its own order, is put into the simulator:
 * computing takes no time, messages and collectives take what the links give. No clock is read, so a run has one time only.
 *
 * A rank cannot make itself faster than it is: data is handed out when it waits for it (`Exchange.wait`), and from there on all that
 * it begins comes after what it waited for.
 */
import { Cluster, RankProgram, simulate } from 'shardbook';
import type { CollectiveRecord, Exchange } from './exchange.js';

export interface VirtualTime {
  /** Until the last rank is done. */
  readonly seconds: number;
  /** Until each rank is done. */
  readonly ranks: readonly number[];
}

export interface VirtualLinks {
  /** Of a message; default 10 microseconds. */
  readonly latencySeconds?: number;
  /** Of each rank's port, in each direction; default 1 GB/s. */
  readonly bytesPerSecond?: number;
}

/** One node in which every rank has a port of its own. */
export function flatCluster(ranks: number, links: VirtualLinks = {}): Cluster {
  const { latencySeconds = 1e-5, bytesPerSecond = 1e9 } = links;
  return Cluster.of({ ranksPerNode: ranks, inside: { name: 'link', latencySeconds, bytesPerSecond } });
}

/** The virtual time of a finished run; on `flatCluster` where no other is given. */
export function virtualTime(exchange: Exchange, cluster = flatCluster(exchange.worldSize)): VirtualTime {
  const { worldSize, schedule, transfers } = exchange;
  const programs = Array.from({ length: worldSize }, (_, rank) => new RankProgram(rank, worldSize));
  // What a rank began, as items of its program.
  const items = new Map<string, { item: number; blocks: boolean }>();
  // Only a rendezvous waits for the other side: else a message goes on its way when it is sent.
  const together = schedule === 'rendezvous';
  for (const entry of exchange.log) {
    const { kind, rank, handle } = entry;
    const program = programs[rank]!;
    const name = `${rank}/${handle}`;
    if (kind === 'wait') {
      const begun = items.get(name);
      if (begun?.blocks === true) program.wait(begun.item);
    } else if (kind === 'collective') {
      const record = entry.collective;
      // Groups are made once, before anything is timed.
      if (record === undefined || record.op === 'newGroup') continue;
      const item = addCollective(program, record);
      items.set(name, { item, blocks: true });
    } else {
      if (entry.message === undefined) continue;
      const { from, to, bytes } = transfers[entry.message]!;
      const options = { tag: entry.message, stream: `message ${entry.message}`, asyncOp: true };
      const item =
        kind === 'send'
          ? program.send(to, bytes, options)
          : program.recv(from, bytes, { ...options, independent: !together });
      items.set(name, { item, blocks: kind === 'recv' || together });
    }
  }
  const result = simulate(cluster, programs);
  return { seconds: result.makespan, ranks: programs.map(({ rank }) => result.clock(rank)) };
}

type Kind = Parameters<RankProgram['collective']>[0];

/** The simulator's name for what is on the wire; what has none moves next to nothing. */
function kindOf(op: string): Kind {
  const name = op.replace(/(Single|Coalesced|Object|ObjectList)$/, '');
  return KINDS.find((kind) => kind === name) ?? 'barrier';
}

const KINDS: readonly Kind[] = [
  'allReduce',
  'reduce',
  'broadcast',
  'allGather',
  'reduceScatter',
  'allToAll',
  'gather',
  'scatter',
];

function addCollective(program: RankProgram, record: CollectiveRecord): number {
  const { op, group, ranks, root, sends } = record;
  const kind = kindOf(op);
  const own = sends?.[ranks.indexOf(program.rank)];
  return program.collective(kind, bytesOf(kind, record), {
    ranks,
    group: `${group}|${ranks.join()}`,
    asyncOp: true,
    ...(root === undefined ? {} : { root }),
    ...(own === undefined ? {} : { sends: own }),
  });
}

/** As the simulator counts: all that is gathered or reduced, one part of a gather or a scatter. */
function bytesOf(kind: Kind, { ranks, bytes, sends }: CollectiveRecord): number {
  const size = ranks.length;
  const most = Math.max(0, ...bytes);
  switch (kind) {
    case 'allGather':
      return bytes.reduce((sum, own) => sum + own, 0);
    case 'scatter':
      return most / size;
    case 'allToAll':
      return Math.max(0, ...(sends ?? []).map((own) => own.reduce((sum, part) => sum + part, 0)));
    case 'barrier':
      return 0;
    default:
      return most;
  }
}
