import type { DeviceMesh, DTensor, Tensor } from 'shardbook';

export type Place = 'R' | 'S(0)' | 'S(1)' | 'P(sum)';
export type Way = 'rows' | 'columns' | 'inner';

export interface Links {
  readonly latencySeconds: number;
  readonly bytesPerSecond: number;
}

export interface Cost {
  collective: 'allGather' | 'allReduce' | 'reduceScatter' | 'allToAll' | 'none';
  received: number;
  seconds: number;
}

export interface Measured {
  counts: Record<string, number>;
  bytes: number;
}

/** `a` sharded along dimension 0, `b` replicated, the pending sum of all ranks' `c`. */
export function createTensors(
  mesh: DeviceMesh,
  a: Tensor,
  b: Tensor,
  c: Tensor,
): [DTensor, DTensor, DTensor] {
  // TODO: two of them are whole tensors, one is a part.
  throw new Error(`not begun: ${mesh.size()} ranks, ${[a, b, c].map((t) => t.describe()).join(', ')}`);
}

/** `t` lying as `to` says. */
export function convert(t: DTensor, to: Place): DTensor {
  // TODO
  throw new Error(`not begun: ${t.describe()} to ${to}`);
}

/** What a conversion costs, for float32 and sizes that divide. */
export function predict(shape: readonly number[], from: Place, to: Place, ranks: number, links: Links): Cost {
  // TODO: which collective, how many bytes, how many steps?
  throw new Error(
    `not begun: [${shape.join(', ')}] from ${from} to ${to}, ${ranks} ranks, ${links.latencySeconds} s`,
  );
}

/** What `body` communicates on this rank. */
export function measure(body: () => unknown): Measured {
  // TODO: CommDebugMode.
  throw new Error(`not begun: ${typeof body}`);
}

/** The product of two whole matrices, cut in one of three ways. */
export function multiply(a: Tensor, b: Tensor, mesh: DeviceMesh, way: Way): DTensor {
  // TODO: how does each factor lie?
  throw new Error(`not begun: ${a.describe()}, ${b.describe()}, ${mesh.size()} ranks, ${way}`);
}

/** Bytes that this rank hands over to replicate the product, for each way. */
export function compare(a: Tensor, b: Tensor, mesh: DeviceMesh): Record<Way, number> {
  // TODO: multiply, measure, convert.
  throw new Error(`not begun: ${a.describe()}, ${b.describe()}, ${mesh.size()} ranks`);
}
