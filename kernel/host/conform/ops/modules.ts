/** Modules built from specs, and what programs ask of them. */
import {
  apply,
  callIn,
  camelCase,
  construct,
  isTensor,
  lookUp,
  MissingOperation,
  member,
  method,
  type TensorLike,
} from '../access.js';
import { normalise } from '../calls.js';
import { parametersOf } from '../resolve.js';
import { plainDeep } from '../values.js';
import { fill, fillInts, fullTensor, noGrad, toNumber } from './core.js';
import { op, rawOp } from './registry.js';
import { transformerClasses } from './transformer.js';

type Spec = Readonly<Record<string, unknown>>;

/** `{"Linear": [2, 3]}`, `{"Linear": {"in_features": ...}}`, `{"Sequential": [specs]}`, `{"Block": {...}}`, `{"TinyTransformer": {...}}`. */
export function buildModule(spec: Spec): unknown {
  const [entry] = Object.entries(spec);
  if (entry === undefined) throw new Error('the module spec is empty');
  const [kind, args] = entry;
  if (kind === 'Sequential') return construct('nn', 'Sequential', ...(args as Spec[]).map(buildModule));
  const named = Array.isArray(args) ? {} : (args as Record<string, unknown>);
  const positional = Array.isArray(args) ? args : [];
  if (kind === 'Block' || kind === 'TinyTransformer') {
    return new (transformerClasses()[kind])(
      named as unknown as Record<string, number>,
      positional as number[],
    );
  }
  if (lookUp('nn', kind) === undefined) throw new MissingOperation(`nn.${kind}`);
  return construct('nn', kind, ...normalise(`nn.${kind}`, positional, named));
}

/** `[name, parameter]` in order, shared parameters once. */
export function namedParameters(module: unknown): [string, TensorLike][] {
  return Array.from(method(module, 'namedParameters') as Iterable<[string, TensorLike]>);
}

op('module', 'spec seed scale', (a) => {
  const module = buildModule(a.get('spec'));
  noGrad(() => {
    namedParameters(module).forEach(([, parameter], i) => {
      method(parameter, 'copy_', fill(parameter.shape, a.number('seed', 0) + i, a.number('scale', 0.5)));
    });
  });
  return module;
});
op('mod.default', 'spec', (a) => buildModule(a.get('spec')));

rawOp('call', (_, [module, ...args], kwargs) => {
  const options = Object.fromEntries(
    Object.entries(kwargs).map(([key, value]) => [camelCase(key), plainDeep(value)]),
  );
  return apply(module, ...args.map(plainDeep), ...(Object.keys(options).length > 0 ? [options] : []));
});

op('submodule', 'mod path', (a) => method(a.get('mod'), 'getSubmodule', a.get('path')));
op('param', 'mod path', (a) => method(a.get('mod'), 'getParameter', a.get('path')));
op('params', 'mod', (a) => Object.fromEntries(namedParameters(a.get('mod'))));
op('grads', 'mod', (a) =>
  Object.fromEntries(namedParameters(a.get('mod')).map(([name, p]) => [name, p.grad])),
);
op('full_params', 'mod', (a) =>
  Object.fromEntries(namedParameters(a.get('mod')).map(([name, p]) => [name, fullTensor(p)])),
);
op('full_grads', 'mod', (a) =>
  Object.fromEntries(
    namedParameters(a.get('mod')).map(([name, p]) => [name, p.grad === null ? null : fullTensor(p.grad)]),
  ),
);

export function crossEntropy(logits: TensorLike, target: TensorLike): TensorLike {
  const flat = method(logits, 'reshape', [-1, logits.shape.at(-1)]);
  return callIn('F', 'crossEntropy', flat, method(target, 'reshape', [-1])) as TensorLike;
}

op('cross_entropy', 'logits target', (a) => crossEntropy(a.get('logits'), a.get('target')));

export function clipGradNorm(
  target: unknown,
  maxNorm: number,
  normType = 2,
  errorIfNonfinite?: boolean,
): TensorLike {
  const options = { normType, ...(errorIfNonfinite === undefined ? {} : { errorIfNonfinite }) };
  return fullTensor(callIn('optim', 'clipGradNorm_', parameterList(target), maxNorm, options) as TensorLike);
}

/** The parameters of a module, or the tensors of a list. */
export function parameterList(target: unknown): TensorLike[] {
  const found = parametersOf(target);
  return isTensor(found) ? [found] : Array.from(found as Iterable<TensorLike>);
}

op('clip_grad_norm', 'mod max_norm norm_type', (a) =>
  clipGradNorm(a.get('mod'), a.number('max_norm'), a.number('norm_type', 2)),
);

op('optim_state', 'optimizer', (a) => {
  const optimizer = a.get<unknown>('optimizer');
  const state = member(optimizer, 'state') as Map<unknown, Record<string, unknown>>;
  return parameterGroups(optimizer).flatMap((group) =>
    (group['params'] as unknown[]).map((parameter) => ({ ...state.get(parameter) })),
  );
});

export function parameterGroups(optimizer: unknown): Record<string, unknown>[] {
  return member(optimizer, 'paramGroups') as Record<string, unknown>[];
}

op('train_lm', 'mod optimizer steps batch seq vocab data_seed per_rank clip accumulate', (a, machine) => {
  const [module, optimizer] = [a.get<unknown>('mod'), a.get<unknown>('optimizer')];
  const [batch, seq, accumulate] = [a.number('batch'), a.number('seq'), a.number('accumulate', 1)];
  const own = a.get('per_rank', true) ? machine.rank : 0;
  const out: (number | null)[][] = [];
  for (let i = 0; i < a.number('steps'); i++) {
    let total = 0;
    for (let part = 0; part < accumulate; part++) {
      if (accumulate > 1 && typeof member(module, 'setRequiresGradientSync') === 'function') {
        method(module, 'setRequiresGradientSync', part === accumulate - 1);
      }
      const ids = fillInts(
        [batch, seq + 1],
        a.number('data_seed') + 1000 * i + 100 * part + own,
        0,
        a.number('vocab'),
      );
      const inputs = method(ids, 'narrow', 1, 0, seq);
      const targets = method(ids, 'narrow', 1, 1, seq) as TensorLike;
      const loss = method(
        crossEntropy(apply(module, inputs) as TensorLike, targets),
        'div',
        accumulate,
      ) as TensorLike;
      method(loss, 'backward');
      total += toNumber(method(loss, 'detach'));
    }
    const clip = a.get<number | null>('clip', null);
    const norm = clip ? toNumber(clipGradNorm(module, clip)) : null;
    method(optimizer, 'step');
    method(optimizer, 'zeroGrad');
    out.push([total, norm]);
  }
  return out;
});

// ---------------------------------------------------------------- ops_numerics: modules
op('mod.names', 'mod what', (a) => {
  const what = a.get<string>('what');
  if (what === 'state_dict') return Object.keys(method(a.get('mod'), 'stateDict') as object);
  const named = method(a.get('mod'), camelCase(`named_${what}`)) as Iterable<[string, unknown]>;
  return Array.from(named, ([name]) => name);
});
op('mod.tie', 'mod dst src', (a) => {
  const [module, path] = [a.get<unknown>('mod'), a.get<string>('dst').split('.')];
  const leaf = path.pop()!;
  const parent = method(module, 'getSubmodule', path.join('.'));
  (parent as Record<string, unknown>)[leaf] = method(module, 'getParameter', a.get('src'));
  return module;
});
op('mod.training', 'mod', (a) => {
  const named = method(a.get('mod'), 'namedModules') as Iterable<[string, unknown]>;
  return Object.fromEntries(Array.from(named, ([name, module]) => [name, member(module, 'training')]));
});
op('mod.numel', 'mod trainable_only', (a) =>
  parameterList(a.get('mod'))
    .filter((p) => p.requiresGrad || !a.get('trainable_only', false))
    .reduce((total, p) => total + p.shape.reduce((n, size) => n * size, 1), 0),
);
rawOp('mod.init', (_, [tensor, name, ...args], kwargs) => {
  const fn = lookUp('nn', `init.${camelCase(String(name))}`);
  if (typeof fn !== 'function') throw new MissingOperation(`nn.init.${String(name)}`);
  return apply(fn, ...normalise(`nn.init.${String(name)}`, [tensor, ...args], kwargs));
});
op('mod.to_vector', 'mod', (a) => callIn('nn', 'utils.parametersToVector', parameterList(a.get('mod'))));
op('mod.from_vector', 'mod v', (a) =>
  callIn('nn', 'utils.vectorToParameters', a.get('v'), parameterList(a.get('mod'))),
);
op('mod.param_flags', 'mod', (a) =>
  Object.fromEntries(
    namedParameters(a.get('mod')).map(([name, p]) => [name, [p.requiresGrad, p.grad !== null]]),
  ),
);
