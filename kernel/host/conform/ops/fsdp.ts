/** ops_fsdp: fully_shard, its states and layouts, DDP, activation checkpointing. */
import {
  CPUOffloadPolicy,
  type DDPOptions,
  type DeviceMesh,
  DistributedDataParallel,
  DTensor,
  type FSDPModule,
  type FullyShardOptions,
  fullyShard,
  initDeviceMesh,
  MixedPrecisionPolicy,
  nn,
  noGrad,
  registerFsdpForwardMethod,
  Shard,
  type Tensor,
  torch,
} from '../../../runtime/index.js';
import { callIn, camelCase, dtypeName, dtypeNamed, member, type TensorLike } from '../access.js';
import { placementOut, plainDeep } from '../values.js';
import { fullTensor, toNumber } from './core.js';
import { cut, type FlowStep, type Net } from './fsdp-modules.js';
import { namedParameters, parameterList } from './modules.js';
import { op, rawOp } from './registry.js';

type Sharded = nn.Module & FSDPModule;
type Dtype = typeof torch.float32;

const localOf = (t: Tensor): Tensor => (t instanceof DTensor ? t.localTensor : t);
const dtypeIn = (name: unknown): Dtype | null => (name ? (dtypeNamed(String(name)) as Dtype) : null);

// ---------------------------------------------------------------- values
op('digest', 'values', (a) => {
  const out: Record<string, unknown> = {};
  for (const [name, given] of Object.entries(a.get<Record<string, TensorLike | null>>('values'))) {
    if (given === null) {
      out[name] = null;
      continue;
    }
    const full = fullTensor(given) as unknown as Tensor;
    const flat = full.detach().to(torch.float64).reshape(-1);
    out[name] = {
      shape: [...full.shape],
      dtype: full.dtype.name,
      sum: toNumber(flat.sum()),
      abs: toNumber(flat.abs().sum()),
      head: (flat.tolist() as number[]).slice(0, 3),
    };
  }
  return out;
});
op('local.values', 'values', (a) =>
  Object.fromEntries(
    Object.entries(a.get<Record<string, Tensor | null>>('values')).map(([name, t]) => [
      name,
      t === null ? null : localOf(t).detach().clone(),
    ]),
  ),
);
op('digest_local', 'values', (a) =>
  Object.fromEntries(
    Object.entries(a.get<Record<string, Tensor>>('values')).map(([name, t]) => {
      const local = localOf(t).detach();
      const flat = local.to(torch.float64).reshape(-1);
      const placements = t instanceof DTensor ? t.placements.map(placementOut) : 'plain';
      const first = flat.numel() > 0 ? toNumber(flat.get(0)) : null;
      return [name, [placements, [...local.shape], toNumber(flat.sum()), first]];
    }),
  ),
);
rawOp('list', (_, items) => items.map(plainDeep));
op('keys', 'd', (a) => {
  const d = a.get<unknown>('d');
  return d instanceof Map ? [...d.keys()] : Object.keys(d as object);
});
op('zero_grad', 'mod', (a) => {
  for (const p of parameterList(a.get('mod'))) p.grad = null;
});

// ---------------------------------------------------------------- fully_shard
interface PlanEntry {
  paths: string | string[];
  reshard?: boolean | number;
  param_dtype?: string;
  reduce_dtype?: string;
  output_dtype?: string;
  cast_forward_inputs?: boolean;
  ignored?: string[];
  shard_dim?: Record<string, number>;
  offload?: boolean;
}

function policyOf(e: Omit<PlanEntry, 'paths'>): MixedPrecisionPolicy {
  return new MixedPrecisionPolicy({
    paramDtype: dtypeIn(e.param_dtype),
    reduceDtype: dtypeIn(e.reduce_dtype),
    outputDtype: dtypeIn(e.output_dtype),
    castForwardInputs: e.cast_forward_inputs ?? true,
  });
}

op('fsdp.apply', 'mod plan mesh', (a, machine) => {
  const module = a.get<nn.Module>('mod');
  const mesh = a.get<DeviceMesh | null>('mesh', null) ?? initDeviceMesh([machine.world]);
  for (const entry of a.get<PlanEntry[]>('plan')) {
    const options: FullyShardOptions = { mesh, mpPolicy: policyOf(entry), allowOptimizedParams: true };
    if (entry.reshard !== undefined) options.reshardAfterForward = entry.reshard;
    if (entry.ignored) options.ignoredParams = entry.ignored.map((name) => module.getParameter(name));
    if (entry.shard_dim) {
      const dims = new Map<Tensor, number>(
        Object.entries(entry.shard_dim).map(([name, dim]) => [module.getParameter(name), dim]),
      );
      options.shardPlacementFn = (p) => (dims.has(p) ? Shard(dims.get(p)!) : null);
    }
    if (entry.offload) options.offloadPolicy = new CPUOffloadPolicy({ pinMemory: false });
    if (Array.isArray(entry.paths))
      fullyShard(
        entry.paths.map((path) => module.getSubmodule(path)),
        options,
      );
    else fullyShard(module.getSubmodule(entry.paths), options);
  }
  return module;
});

const SHARD_ARGS = 'mesh reshard_after_forward param_dtype reduce_dtype output_dtype cast_forward_inputs';

function shardOne(
  module: nn.Module,
  a: { get<T>(name: string, fallback?: T): T },
  mesh: DeviceMesh,
): nn.Module {
  const options: FullyShardOptions = {
    mesh,
    allowOptimizedParams: true,
    mpPolicy: policyOf({
      param_dtype: a.get('param_dtype', ''),
      reduce_dtype: a.get('reduce_dtype', ''),
      output_dtype: a.get('output_dtype', ''),
      cast_forward_inputs: a.get('cast_forward_inputs', true),
    }),
    reshardAfterForward: a.get<boolean | number | null>('reshard_after_forward', null),
  };
  return fullyShard(module, options);
}

op('fsdp.fully_shard', `mod ${SHARD_ARGS}`, (a, machine) =>
  shardOne(a.get('mod'), a, a.get<DeviceMesh | null>('mesh', null) ?? initDeviceMesh([machine.world])),
);
op('fsdp.shard_blocks', `mod mesh root ${SHARD_ARGS.replace('mesh ', '')}`, (a, machine) => {
  const module = a.get<nn.Module>('mod');
  const mesh = a.get<DeviceMesh | null>('mesh', null) ?? initDeviceMesh([machine.world]);
  for (const block of member(module, 'blocks') as Iterable<nn.Module>) shardOne(block, a, mesh);
  return a.get('root', true) ? shardOne(module, a, mesh) : module;
});
op('fsdp.set_requires_gradient_sync', 'mod on', (a) =>
  a.get<Sharded>('mod').setRequiresGradientSync(a.get('on')),
);
op('fsdp.unshard', 'mod', (a) => void a.get<Sharded>('mod').unshard());
op('fsdp.reshard', 'mod', (a) => a.get<Sharded>('mod').reshard());
op('fsdp.unshard_async', 'mod', (a) => a.get<Sharded>('mod').unshard({ asyncOp: true }));
op('fsdp.register_forward', 'mod method', (a) =>
  registerFsdpForwardMethod(a.get('mod'), camelCase(a.get('method'))),
);
op('fsdp.add_method', 'mod name flow', (a) => {
  const module = a.get<Net>('mod');
  const flow = a.get<FlowStep[]>('flow');
  Reflect.set(module, camelCase(a.get('name')), (x: Tensor) => module.run(flow, x));
  return module;
});

op('fsdp.layout', 'mod grads', (a) => {
  const out: unknown[] = [];
  for (const [name, p] of namedParameters(a.get('mod'))) {
    const t = (a.get('grads', false) ? p.grad : p) as unknown as Tensor | null;
    if (t === null) continue;
    const spread = t instanceof DTensor;
    out.push([
      name,
      dtypeName(t.dtype),
      [...t.shape],
      spread ? t.placements.map(placementOut) : 'plain',
      spread ? [...t.deviceMesh.shape] : null,
      [...localOf(t).shape],
    ]);
  }
  return out;
});

type State = Map<unknown, Record<string, unknown>>;
const bytes = (t: Tensor): number => localOf(t).numel() * t.dtype.itemsize;
const isTensor = (value: unknown): value is Tensor => torch.isTensor(value);

op('fsdp.memory', 'mod optimizer', (a) => {
  const params = a.get<nn.Module>('mod').parameters();
  const sum = (tensors: readonly Tensor[]): number => tensors.reduce((total, t) => total + bytes(t), 0);
  const optimizer = a.get<unknown>('optimizer', null);
  let state = 0;
  if (optimizer !== null) {
    for (const own of (member(optimizer, 'state') as State).values()) {
      for (const [key, value] of Object.entries(own)) {
        if (isTensor(value)) state += bytes(value);
        // Where PyTorch has a float32 scalar we may have a number.
        else if (key === 'step') state += 4;
      }
    }
  }
  return { params: sum(params), grads: sum(params.flatMap((p) => p.grad ?? [])), state };
});
op('fsdp.state_layout', 'mod optimizer', (a) => {
  const all = member(a.get('optimizer'), 'state') as State;
  return Object.fromEntries(
    a
      .get<nn.Module>('mod')
      .namedParameters()
      .map(([name, p]) => {
        const own = Object.entries(all.get(p) ?? {}).map(([key, value]) => {
          if (!isTensor(value)) return [key, value];
          if (value.shape.length === 0) return [key, toNumber(value)];
          return [key, [[...value.shape], [...localOf(value).shape], dtypeName(value.dtype)]];
        });
        return [name, Object.fromEntries(own)];
      }),
  );
});
op('fsdp.load_full', 'mod source assign', (a) => {
  const full = new Map(a.get<nn.Module>('source').namedParameters());
  const module = a.get<nn.Module>('mod');
  const dict = Object.fromEntries(
    module.namedParameters().map(([name, p]) => [name, cut(full.get(name)!.detach(), p as DTensor)]),
  );
  module.loadStateDict(dict, { assign: a.get('assign', false) });
});
op('fsdp.load_state_dict', 'mod state strict', (a) => {
  const result = a
    .get<nn.Module>('mod')
    .loadStateDict(a.get<Record<string, unknown>>('state'), { strict: a.get('strict', true) });
  return [result.missingKeys, result.unexpectedKeys];
});
rawOp('call_forward', (_, [module, ...args]) =>
  (module as nn.Module).forward(...(args.map(plainDeep) as never[])),
);
rawOp('call_no_grad', (_, [module, ...args]) =>
  noGrad(() => (module as nn.Module).call(...(args.map(plainDeep) as never[])) as unknown),
);

// ---------------------------------------------------------------- norms
op('local.norm', 'mod kind', (a) => {
  const grads = a
    .get<nn.Module>('mod')
    .parameters()
    .flatMap((p) => (p.grad === null ? [] : [localOf(p.grad)]));
  const flat = torch.cat(grads.map((g) => g.reshape(-1)));
  return toNumber(torch.linalg.vectorNorm(flat, numberOf(a.get('kind', 2))));
});
const numberOf = (value: unknown): number => (value === 'inf' ? Infinity : Number(value));

export function clipped(
  module: unknown,
  maxNorm: number,
  normType: number,
  errorIfNonfinite: boolean,
): number {
  const norm = callIn('optim', 'clipGradNorm_', parameterList(module), maxNorm, {
    normType,
    errorIfNonfinite,
  });
  return toNumber(fullTensor(norm as TensorLike));
}
op('clip.grads', 'mod max_norm norm_type error_if_nonfinite', (a) =>
  clipped(
    a.get('mod'),
    numberOf(a.get('max_norm')),
    numberOf(a.get('norm_type', 2)),
    a.get('error_if_nonfinite', false),
  ),
);

// ---------------------------------------------------------------- DDP, activation checkpointing
rawOp('ddp.wrap', (_, [module], kwargs) => {
  const options = Object.fromEntries(
    Object.entries(kwargs).map(([key, value]) => [camelCase(key), plainDeep(value)]),
  ) as DDPOptions;
  return new DistributedDataParallel(module as nn.Module, options);
});
op('ac.wrap', 'mod paths style', (a) => {
  const module = a.get<nn.Module>('mod');
  for (const path of a.get<string[]>('paths')) {
    const sub = module.getSubmodule(path);
    if (a.get('style', 'inside') === 'inside') {
      const forward = sub.forward.bind(sub) as (...args: unknown[]) => unknown;
      Reflect.set(sub, 'forward', (...args: unknown[]) =>
        torch.utils.checkpoint.checkpoint(forward, ...args, { useReentrant: false }),
      );
    } else module.setSubmodule(path, nn.checkpointWrapper(sub));
  }
  return module;
});
