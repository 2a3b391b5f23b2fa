/** A record of every call, for whoever subscribes. Costs nothing while nobody does. */
export interface CommEvent {
  /** Global rank of the caller. */
  rank: number;
  op: string;
  group: string;
  groupRanks: readonly number[];
  /** Sequence number within the group; 0 for messages. */
  seq: number;
  shapes: readonly (readonly number[])[];
  dtype: string | undefined;
  /** Bytes of this rank's contribution. */
  bytes: number;
  async: boolean;
}

const listeners = new Set<(event: CommEvent) => void>();

/** Hears every collective and message of this rank. Returns a function that unsubscribes. */
export function onComm(listener: (event: CommEvent) => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function emitComm(make: () => CommEvent): void {
  if (listeners.size === 0) return;
  const event = make();
  for (const listener of listeners) listener(event);
}
