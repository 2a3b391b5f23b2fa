import {
  type DeviceMesh,
  DTensor,
  dist,
  initDeviceMesh,
  Partial,
  type Placement,
  Replicate,
  Shard,
  type Tensor,
} from 'shardbook';

type Place = 'R' | 'S(0)' | 'S(1)' | 'P(sum)';
type Way = 'rows' | 'columns' | 'inner';

/** A function that waits for something may be asynchronous; what is measured is not. */
type Awaitable<T> = T | Promise<T>;

interface Submission {
  createTensors(mesh: DeviceMesh, a: Tensor, b: Tensor, c: Tensor): Awaitable<DTensor[]>;
  convert(t: DTensor, to: Place): DTensor;
  measure(body: () => unknown): unknown;
  multiply(a: Tensor, b: Tensor, mesh: DeviceMesh, way: Way): Awaitable<DTensor>;
  compare(a: Tensor, b: Tensor, mesh: DeviceMesh): unknown;
}

const meshOfAll = (): DeviceMesh => initDeviceMesh('cpu', [dist.getWorldSize()]);

function placementOf(place: Place): Placement {
  if (place === 'R') return Replicate();
  return place === 'P(sum)' ? Partial() : Shard(Number(place[2]));
}

/** What it is, whole and here. */
function shown(t: unknown) {
  if (!(t instanceof DTensor)) return { placements: 'no DTensor' };
  return { placements: t.placements.join(', '), shape: [...t.shape], local: t.toLocal().detach().clone() };
}

function made(local: Tensor, from: Place, shape: readonly number[]): DTensor {
  return DTensor.fromLocal(local, meshOfAll(), [placementOf(from)], { shape });
}

export async function created({ createTensors }: Submission, a: Tensor, b: Tensor, c: Tensor) {
  const tensors = await createTensors(meshOfAll(), a, b, c);
  return { count: tensors.length, tensors: [...tensors].map(shown) };
}

export async function converted(
  { convert }: Submission,
  local: Tensor,
  shape: number[],
  from: Place,
  to: Place,
) {
  return shown(await convert(made(local, from, shape), to));
}

/** `then`: the same conversion a second time, and one from `to` to this. */
export function measured(
  submission: Submission,
  local: Tensor,
  shape: number[],
  from: Place,
  to: Place,
  then: Place | null,
) {
  const t = made(local, from, shape);
  return submission.measure(() => {
    const first = submission.convert(t, to);
    if (then === null) return;
    submission.convert(t, to);
    submission.convert(first, then);
  });
}

export async function multiplied({ multiply }: Submission, a: Tensor, b: Tensor, way: Way) {
  return shown(await multiply(a, b, meshOfAll(), way));
}

export function compared({ compare }: Submission, a: Tensor, b: Tensor) {
  return compare(a, b, meshOfAll());
}
