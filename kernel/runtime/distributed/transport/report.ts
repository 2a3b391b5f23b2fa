/** The texts of failures that concern several ranks. Every rank writes the same text from the same table. */
import { ShardbookError } from '../../base/index.js';
import { Cell, Kind, Row, State } from './layout.js';
import type { Table } from './table.js';

/** What a rank says about the call that it is stuck in. */
export interface CallInfo {
  /** As the user wrote it: `allReduce`, `send`. */
  op: string;
  group: string;
  /** Tensors as errors write them: `f32[3, 4]`. */
  tensor?: string;
  /** Further arguments: `sum`, `src 0`. */
  detail?: string;
  place?: string;
}

interface Waiting extends CallInfo {
  rank: number;
  kind: number;
  groupId: number;
  seq: number;
  peer: number;
  tag: number;
}

/** Reads what the stuck ranks wait for, and says who keeps whom waiting. */
export function stuckError(
  table: Table,
  stuck: readonly number[],
  blamed: readonly number[],
): ShardbookError {
  const waiting = stuck.map((rank) => readWaiting(table, rank));
  const culprit = blamed.find((rank) => table.lastWords(rank) !== '');
  const lines = Array.from({ length: table.worldSize }, (_, rank) => {
    const own = waiting.find((w) => w.rank === rank);
    return `rank ${rank}: ${own ? describeWait(table, own) : describeOther(table, rank)}`;
  });
  const { text: divergence, help } = firstDivergence(table, waiting);
  const who = `${list(stuck, 'rank')} ${stuck.length === 1 ? 'waits' : 'wait'}`;
  const what = [...new Set(waiting.map(shortCall))].join(', ');
  if (culprit !== undefined) {
    return new ShardbookError({
      code: peerCode(table.lastWords(culprit)),
      message: `Cannot finish ${what}: ${who} for rank ${culprit}, which ${table.lastWords(culprit)}`,
      notes: lines,
      help: `mend what stopped rank ${culprit}; the others failed only because they waited for it`,
    });
  }
  return new ShardbookError({
    code: 'SB_DEADLOCK',
    message: `Cannot finish ${what}: ${who} and nobody can wake ${stuck.length === 1 ? 'it' : 'them'} (deadlock)`,
    notes: [...lines, ...(divergence === undefined ? [] : [`first difference: ${divergence}`])],
    help,
  });
}

/** Who comes late to a deadlock, after those in it were told, hears of it by its name all the same. */
export function peerCode(lastWords: string): 'SB_DEADLOCK' | 'SB_PEER_FAILED' {
  return /^(failed with|gave up an earlier call:) SB_DEADLOCK\b/.test(lastWords)
    ? 'SB_DEADLOCK'
    : 'SB_PEER_FAILED';
}

function shortCall(call: { op: string; kind: number; seq: number }): string {
  return call.kind === Kind.collective ? `${call.op} #${call.seq}` : call.op;
}

function readWaiting(table: Table, rank: number): Waiting {
  let info: CallInfo = { op: 'an operation', group: '?' };
  try {
    info = JSON.parse(table.description(rank)) as CallInfo;
  } catch {
    // A rank that could not describe itself in time is still part of the report.
  }
  return {
    ...info,
    rank,
    kind: table.get(rank, Row.kind),
    groupId: table.get(rank, Row.group),
    seq: table.get(rank, Row.seq),
    peer: table.get(rank, Row.peer),
    tag: table.get(rank, Row.tag),
  };
}

function describeWait(table: Table, w: Waiting): string {
  const args = [
    w.tensor,
    w.detail,
    w.kind === Kind.store ? undefined : `group ${w.group}`,
    w.tag !== 0 && w.kind !== Kind.collective && w.kind !== Kind.store ? `tag ${w.tag}` : undefined,
  ];
  const inside = args.filter((part) => part !== undefined && part !== '').join(', ');
  const place = w.place === undefined ? '' : ` at ${w.place}`;
  const forWhom = awaited(table, w);
  return `waits in ${shortCall(w)} (${inside})${place}${forWhom}`;
}

function awaited(table: Table, w: Waiting): string {
  if (w.kind === Kind.recvAny) return ' for any rank';
  if (w.kind === Kind.store) return ' for any rank to set it';
  if (w.kind !== Kind.collective) return ` for rank ${w.peer}`;
  const missing = absentees(table, w);
  return missing.length === 0 ? '' : ` for ${list(missing, 'rank')}`;
}

/** Members who have not called the collective that `w` waits in. */
function absentees(table: Table, w: Waiting): number[] {
  return table
    .members(w.groupId)
    .filter((member) => member !== w.rank && issued(table, w.groupId, member) < w.seq);
}

function issued(table: Table, group: number, rank: number): number {
  return Atomics.load(table.words, table.layout.cell(group, rank) + Cell.issued);
}

function describeOther(table: Table, rank: number): string {
  const state = table.get(rank, Row.state);
  const lastWords = table.lastWords(rank);
  if (state === State.running || state === State.asleep) return 'runs';
  if (lastWords !== '') return lastWords;
  return 'has finished its work';
}

interface Divergence {
  text?: string;
  help: string;
}

/** What came first, as far as it can be told: what nobody can answer any more goes before what others are only late for. */
function firstDivergence(table: Table, waiting: readonly Waiting[]): Divergence {
  const collectives = waiting
    .filter((w) => w.kind === Kind.collective)
    .sort((a, b) => a.seq - b.seq || a.groupId - b.groupId);
  return (
    skipped(table, collectives) ??
    unanswered(waiting) ??
    crossedMessages(waiting) ??
    elsewhere(table, waiting, collectives) ??
    messagesOnly(waiting)
  );
}

/** A collective that a rank, done with its work, never called. */
function skipped(table: Table, collectives: readonly Waiting[]): Divergence | undefined {
  for (const w of collectives) {
    // A rank that runs may still come to it.
    const absent = absentees(table, w).filter((rank) => isDone(table, rank));
    if (absent.length === 0) continue;
    return {
      text: `${callersOf(table, w)}, ${list(absent, 'rank')} did not`,
      help: `${list(absent, 'rank')} skipped ${shortCall(w)}${at(w)}: every member of the group must call it`,
    };
  }
  return undefined;
}

/** A message whose other side is done with its work. */
function unanswered(waiting: readonly Waiting[]): Divergence | undefined {
  // Alone, the help on messages says as much.
  if (waiting.every(isMessage)) return undefined;
  const w = waiting.find(
    (one) => isMessage(one) && one.peer >= 0 && !waiting.some((other) => other.rank === one.peer),
  );
  if (w === undefined) return undefined;
  const sends = w.kind === Kind.send;
  return {
    text: `rank ${w.rank} called ${shortCall(w)}${at(w)}, rank ${w.peer} has no ${sends ? 'recv' : 'send'} for it any more`,
    help: sends
      ? `give the send of rank ${w.rank} a matching recv on rank ${w.peer}`
      : `give the recv of rank ${w.rank} a matching send on rank ${w.peer}`,
  };
}

/** A send and a recv between the same two ranks that differ in group or tag. */
function crossedMessages(waiting: readonly Waiting[]): Divergence | undefined {
  for (const w of waiting) {
    if (w.kind !== Kind.send) continue;
    const other = waiting.find(
      (one) =>
        one.rank === w.peer && (one.kind === Kind.recvAny || (one.kind === Kind.recv && one.peer === w.rank)),
    );
    if (other === undefined) continue;
    const key = (one: Waiting) => `group ${one.group}, tag ${one.tag}`;
    return {
      text: `rank ${w.rank} sends to rank ${w.peer} in ${key(w)}${at(w)}, rank ${other.rank} receives in ${key(other)}${at(other)}`,
      help: 'match every send with one recv of the same tag and group',
    };
  }
  return undefined;
}

/** A collective whose missing members wait in something else. */
function elsewhere(
  table: Table,
  waiting: readonly Waiting[],
  collectives: readonly Waiting[],
): Divergence | undefined {
  for (const w of collectives) {
    const absent = absentees(table, w);
    const instead = waiting.find((other) => absent.includes(other.rank));
    if (instead === undefined) continue;
    return {
      text: `${callersOf(table, w)}, ${list(absent, 'rank')} did not (rank ${instead.rank} is in ${shortCall(instead)}${at(instead)})`,
      help: 'call collectives and messages in the same order on every rank',
    };
  }
  return undefined;
}

function messagesOnly(waiting: readonly Waiting[]): Divergence {
  if (waiting.every((w) => w.kind === Kind.send)) {
    return {
      help: 'a send returns when its receiver has taken the message: let one side receive first, or use isend or batchIsendIrecv',
    };
  }
  if (waiting.every((w) => w.kind === Kind.recv || w.kind === Kind.recvAny)) {
    return {
      help: 'every one of these ranks receives and none of them sends: give each recv a matching send',
    };
  }
  if (waiting.some((w) => w.kind === Kind.store)) {
    return { help: 'set the key on one rank before another waits for it, or give the wait a timeout' };
  }
  return {
    help: 'match every send with one recv of the same tag and group, in an order that both sides can follow',
  };
}

function isMessage({ kind }: Waiting): boolean {
  return kind === Kind.send || kind === Kind.recv || kind === Kind.recvAny;
}

function isDone(table: Table, rank: number): boolean {
  const state = table.get(rank, Row.state);
  return state === State.idle || state === State.dead;
}

const at = ({ place }: Waiting): string => (place === undefined ? '' : ` at ${place}`);

function callersOf(table: Table, w: Waiting): string {
  const absent = absentees(table, w);
  const callers = table.members(w.groupId).filter((member) => !absent.includes(member));
  return `${list(callers, 'rank')} called ${shortCall(w)} of group ${w.group}${at(w)}`;
}

/** "rank 1", "ranks 0, 1 and 3". */
export function list(ranks: readonly number[], noun: string): string {
  if (ranks.length === 1) return `${noun} ${ranks[0]}`;
  return `${noun}s ${ranks.slice(0, -1).join(', ')} and ${ranks[ranks.length - 1]}`;
}
