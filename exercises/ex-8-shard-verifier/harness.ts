import {
  DeviceMesh,
  DTensor,
  dist,
  fullyShard,
  initDeviceMesh,
  nn,
  optim,
  type Placement,
  Replicate,
  Shard,
  type Tensor,
  torch,
} from 'shardbook';

interface Finding {
  check: string;
  name: string;
  ranks: number[];
  reason: string;
}

interface Verifier {
  report(optimizer?: optim.Optimizer): Awaitable<{ findings: Finding[]; table: string; status: number }>;
  checkOptimizerState(optimizer: optim.Optimizer): Awaitable<Finding[]>;
}

/** A check that waits for something may be asynchronous. */
type Awaitable<T> = T | Promise<T>;

interface Submission {
  readonly ShardVerifier: new (
    model: nn.Module,
    mesh: DeviceMesh,
    reference: Readonly<Record<string, Tensor>>,
  ) => Verifier;
}

/** `ranks`: where it is planted; default everywhere. */
interface Fault {
  kind: string;
  name: string;
  ranks?: number[];
}

class Model extends nn.Module {
  declare embedding: nn.Embedding;
  declare hidden: nn.Linear;
  declare norm: nn.LayerNorm;
  declare output: nn.Linear;

  constructor(rows: number, width: number, out: number) {
    super();
    this.embedding = new nn.Embedding(rows, width);
    this.hidden = new nn.Linear(width, width);
    this.norm = new nn.LayerNorm([width]);
    this.output = new nn.Linear(width, out);
  }

  forward(ids: Tensor): Tensor {
    return this.output.call(
      this.norm.call(torch.tanh(this.hidden.call(this.embedding.call(ids)) as Tensor)) as Tensor,
    );
  }
}

function makeMesh(axes: number[]): DeviceMesh {
  return axes.length === 1
    ? initDeviceMesh('cpu', axes)
    : initDeviceMesh('cpu', axes, { meshDimNames: ['replicate', 'shard'] });
}

/** The module that holds a parameter, and the parameter's own name in it. */
function holderOf(model: nn.Module, name: string): [nn.Module, string] {
  const parts = name.split('.');
  const last = parts.pop()!;
  return [model.getSubmodule(parts.join('.')), last];
}

function put(model: nn.Module, name: string, value: Tensor): void {
  const [holder, last] = holderOf(model, name);
  Reflect.set(
    holder,
    last,
    new nn.Parameter(value, (holder as unknown as Record<string, Tensor>)[last]!.requiresGrad),
  );
}

const ON_TWO_AXES = [new Replicate(), new Shard(0)];

/** What lies as a parameter does, but for what is said. */
function lying(
  p: DTensor,
  mesh = p.deviceMesh,
  placements: readonly Placement[] = p.placements,
  local: Tensor = p.localTensor.detach().clone(),
): DTensor {
  const of = { runCheck: false, shape: [...p.shape], stride: [...p.strides] };
  return DTensor.fromLocal(local, mesh, [...placements], of);
}

/** The same with a row too many here. */
function longer(p: DTensor): DTensor {
  const [first = 0, ...rest] = p.localTensor.shape;
  return lying(p, p.deviceMesh, p.placements, torch.zeros([first + 1, ...rest]));
}

function plant(model: Model, adam: optim.Optimizer, meshes: Meshes, { kind, name, ranks }: Fault): void {
  const [, other, reversed] = meshes;
  const get = (): DTensor => {
    const [holder, last] = holderOf(model, name);
    return (holder as unknown as Record<string, DTensor>)[last]!;
  };
  const here = ranks === undefined || ranks.includes(dist.getRank());
  // Collectives are for all, whoever is wrong afterwards.
  const whole = ['replaced', 'grad', 'optimizer', 'moment', 'momentPlacement'].includes(kind)
    ? get().fullTensor().detach()
    : undefined;
  if (!here) return;
  switch (kind) {
    case 'uncovered':
      Reflect.set(model, name, new nn.Linear(2, 3));
      return;
    case 'tied':
      model.output.weight = model.embedding.weight;
      return;
    case 'replaced':
      put(model, name, whole!.clone());
      return;
    case 'mesh':
      put(model, name, lying(get(), other, ON_TWO_AXES));
      return;
    case 'reversed':
      put(model, name, lying(get(), reversed));
      return;
    case 'placement': {
      const p = get();
      const placements = p.placements.map(() => new Replicate());
      put(
        model,
        name,
        DTensor.fromLocal(p.localTensor.detach().clone(), p.deviceMesh, placements, { runCheck: false }),
      );
      return;
    }
    case 'shape':
      put(model, name, longer(get()));
      return;
    case 'value':
      torch.noGrad(() => {
        const local = get().localTensor;
        const flat = local.reshape([-1]);
        flat.narrow(0, flat.numel() - 1, 1).add_(2 ** -10);
      });
      return;
    case 'nan':
      torch.noGrad(() => void get().localTensor.reshape([-1]).narrow(0, 0, 1).fill_(Number.NaN));
      return;
    case 'bit':
      torch.noGrad(
        () =>
          void get()
            .localTensor.reshape([-1])
            .narrow(0, 0, 1)
            .mul_(1 + 2 ** -23),
      );
      return;
    case 'columns': {
      const shape = [...get().localTensor.shape];
      shape[shape.length - 1]! += 1;
      put(model, name, lying(get(), get().deviceMesh, get().placements, torch.zeros(shape)));
      return;
    }
    case 'turned': {
      const local = torch.zeros([...get().localTensor.shape].reverse());
      put(model, name, lying(get(), get().deviceMesh, get().placements, local));
      return;
    }
    case 'axis':
      // Only the first of two axes lies otherwise.
      put(model, name, lying(get(), get().deviceMesh, [new Shard(0), new Shard(0)]));
      return;
    case 'gradMesh':
      get().grad = lying(get(), other, ON_TWO_AXES);
      return;
    case 'gradReversed':
      get().grad = lying(get(), reversed);
      return;
    case 'gradShape':
      get().grad = longer(get());
      return;
    case 'zeros':
      torch.noGrad(() => void get().localTensor.zero_());
      return;
    case 'grad':
      get().grad =
        ranks === undefined
          ? whole!
          : DTensor.fromLocal(
              whole!,
              get().deviceMesh,
              get().placements.map(() => new Replicate()),
              { runCheck: false },
            );
      return;
    case 'optimizer':
      adam.state.get(get())!['exp_avg_sq'] = whole!;
      return;
    case 'moment':
      adam.state.get(get())!['exp_avg'] = whole!;
      return;
    case 'momentLocal':
      adam.state.get(get())!['exp_avg'] = get().localTensor.detach().clone();
      return;
    case 'momentReversed':
      adam.state.get(get())!['exp_avg'] = lying(get(), reversed);
      return;
    case 'momentShape':
      adam.state.get(get())!['exp_avg_sq'] = longer(get());
      return;
    case 'momentPlacement':
      adam.state.get(get())!['exp_avg'] = DTensor.fromLocal(
        whole!,
        get().deviceMesh,
        get().placements.map(() => new Replicate()),
        { runCheck: false },
      );
      return;
    default:
      throw new Error(`no fault of the kind "${kind}"`);
  }
}

function shown(findings: readonly Finding[]): (string | number[])[][] {
  return findings.map(({ check, name, ranks, reason }) => [
    String(check),
    String(name),
    [...ranks],
    typeof reason === 'string' ? reason.trim() : '',
  ]);
}

/** A tensor as it can be handed over: where it lies, and this rank's part of it. */
interface Laid {
  local: Tensor;
  requiresGrad: boolean;
  /** Of a `DTensor`: the number of its mesh, the dimension for each axis (-1: replicated), and shape and strides of the whole. */
  lies?: { mesh: number; dims: number[]; shape: number[]; stride: number[] };
}

/** Optimizer state: tensors, and what is none. */
type Moments = [key: string, value: Laid | { plain: unknown }][];

interface State {
  /** Parameters as they were sharded, in order; the local parts, gradients and moments as they are now. */
  sharded: { name: string; part: Tensor; grad: Laid | null; moments: Moments }[];
  /** Parameters that stand under a name instead of the sharded one. */
  put: { name: string; value: Laid; grad: Laid | null; moments: Moments }[];
  /** Names of parameters, and those of which they are only another name. */
  tied: [name: string, to: string][];
  /** Layers that nobody sharded, with inputs and outputs. */
  added: [name: string, inputs: number, outputs: number][];
  /** Whole values by name, before the faults. */
  reference: Record<string, Tensor>;
}

type Sizes = [rows: number, width: number, out: number];

/** The model's, one with an axis more, and all ranks in one axis, the last one first. */
type Meshes = [own: DeviceMesh, other: DeviceMesh, reversed: DeviceMesh];

/** The model, wrapped, with its optimizer. */
function build(axes: readonly number[], [rows, width, out]: Sizes, frozen: readonly string[]) {
  torch.manualSeed(9);
  const model = new Model(rows, width, out);
  for (const [name, p] of model.namedParameters()) if (frozen.includes(name)) p.requiresGrad_(false);
  const mesh = makeMesh([...axes]);
  const world = dist.getWorldSize();
  const lastFirst = Array.from({ length: world }, (_, i) => world - 1 - i);
  const meshes: Meshes = [mesh, initDeviceMesh('cpu', [1, world]), new DeviceMesh('cpu', lastFirst)];
  fullyShard(model.hidden, { mesh });
  fullyShard(model, { mesh });
  const adam = new optim.AdamW(
    [...model.parameters()].filter((p) => p.requiresGrad),
    { lr: 0.01 },
  );
  return { model, meshes, adam };
}

function laid(t: Tensor, meshes: Meshes): Laid {
  const requiresGrad = t.requiresGrad;
  if (!(t instanceof DTensor)) return { local: t.detach(), requiresGrad };
  const dims = t.placements.map((placement) => (placement instanceof Shard ? placement.dim : -1));
  const mesh = meshes.findIndex((each) => each.equals(t.deviceMesh));
  const lies = { mesh, dims, shape: [...t.shape], stride: [...t.strides] };
  return { local: t.localTensor.detach(), requiresGrad, lies };
}

function lay({ local, lies }: Laid, meshes: Meshes): Tensor {
  if (lies === undefined) return local.clone();
  const placements = lies.dims.map((dim) => (dim < 0 ? new Replicate() : new Shard(dim)));
  const of = { runCheck: false, shape: [...lies.shape], stride: [...lies.stride] };
  return DTensor.fromLocal(local.clone(), meshes[lies.mesh]!, placements, of);
}

/**
 * The state of a model in which faults were planted. This is asked beside the solution and not beside a submission, which gets the state:
 * what was planted is what its tool must say, and never comes near it. `trained`: steps before, so that there are gradients and moments.
 */
export function planted(
  _: unknown,
  axes: number[],
  sizes: Sizes,
  trained: number,
  frozen: string[],
  faults: Fault[],
): State {
  const { model, meshes, adam } = build(axes, sizes, frozen);
  const [rows] = sizes;
  for (let step = 0; step < trained; step++) {
    adam.zeroGrad();
    (model.call(torch.arange(rows).reshape([1, rows])) as Tensor).pow(2).mean().backward();
    adam.step();
  }
  const sharded = new Map(model.namedParameters());
  const reference: Record<string, Tensor> = {};
  for (const [name, p] of sharded) reference[name] = (p as DTensor).fullTensor().detach().clone();
  for (const fault of faults) plant(model, adam, meshes, fault);
  const gradOf = ({ grad }: Tensor): Laid | null => (grad === null ? null : laid(grad, meshes));
  const momentsOf = (p: Tensor): Moments =>
    Object.entries(adam.state.get(p) ?? {}).map(([key, value]) => [
      key,
      torch.isTensor(value) ? laid(value, meshes) : { plain: value },
    ]);
  const all = model.namedParameters('', true, false);
  const firstNames = new Map([...all].reverse().map(([name, p]) => [p, name]));
  return {
    sharded: [...sharded].map(([name, p]) => ({
      name,
      part: (p as DTensor).localTensor.detach(),
      grad: gradOf(p),
      moments: momentsOf(p),
    })),
    put: all.flatMap(([name, p]) =>
      sharded.has(name) && firstNames.get(p) === name && sharded.get(name) !== p
        ? [{ name, value: laid(p, meshes), grad: gradOf(p), moments: momentsOf(p) }]
        : [],
    ),
    tied: all.flatMap(([name, p]): [string, string][] =>
      firstNames.get(p) === name ? [] : [[name, firstNames.get(p)!]],
    ),
    added: all.flatMap(([name, p]): [string, number, number][] =>
      sharded.has(name) || !name.endsWith('.weight')
        ? []
        : [[name.replace(/\.weight$/, ''), p.shape[1]!, p.shape[0]!]],
    ),
    reference,
  };
}

/** A model in a given state, and what the tool says of it. */
export async function verified(
  { ShardVerifier }: Submission,
  axes: number[],
  sizes: Sizes,
  withOptimizer: boolean,
  frozen: string[],
  { sharded, put: others, tied, added, reference }: State,
  methods: string[],
) {
  const { model, meshes, adam } = build(axes, sizes, frozen);
  const give = (p: Tensor, grad: Laid | null, moments: Moments): void => {
    p.grad = grad === null ? null : lay(grad, meshes);
    if (moments.length > 0)
      adam.state.set(
        p,
        Object.fromEntries(
          moments.map(([key, value]) => [key, 'plain' in value ? value.plain : lay(value, meshes)]),
        ),
      );
  };
  const parameters = new Map(model.namedParameters());
  for (const { name, part, grad, moments } of sharded) {
    const p = parameters.get(name) as DTensor;
    torch.noGrad(() => void p.localTensor.copy_(part));
    give(p, grad, moments);
  }
  for (const { name, value, grad, moments } of others) {
    put(model, name, lay(value, meshes));
    const [holder, last] = holderOf(model, name);
    give((holder as unknown as Record<string, Tensor>)[last]!, grad, moments);
  }
  for (const [name, inputs, outputs] of added) Reflect.set(model, name, new nn.Linear(inputs, outputs));
  for (const [name, to] of tied) {
    const [holder, last] = holderOf(model, name);
    const [from, its] = holderOf(model, to);
    Reflect.set(holder, last, (from as unknown as Record<string, Tensor>)[its]!);
  }
  const verifier = new ShardVerifier(model, meshes[0], { ...reference });
  const report = await verifier.report(withOptimizer ? adam : undefined);
  const alone: ReturnType<typeof shown>[] = [];
  for (const method of methods) {
    const check = (
      verifier as unknown as Record<string, (optimizer: optim.Optimizer) => Awaitable<Finding[]>>
    )[method];
    alone.push(shown(await check!.call(verifier, adam)));
  }
  const lines = String(report.table).split('\n');
  return {
    findings: shown(report.findings),
    status: report.status,
    /** Whether a line of the table has the name of each finding, and there are as many such lines as findings. */
    table:
      report.findings.every(({ name }) => lines.some((line) => line.includes(name))) &&
      lines.filter((line) => report.findings.some(({ name }) => line.includes(name))).length >=
        report.findings.length,
    alone,
  };
}
