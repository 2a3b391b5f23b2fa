/** Distributed tensors: the operations of the recorder's spmd_ops and ops_dtensor. */
import {
  apply,
  callIn,
  construct,
  dtypeName,
  dtypeNamed,
  lookUp,
  member,
  method,
  type TensorLike,
} from '../access.js';
import { placementIn, placementOut } from '../values.js';
import { fullTensor, toNumber } from './core.js';
import { clipGradNorm, namedParameters } from './modules.js';
import { op } from './registry.js';

type Texts = readonly unknown[];

/** Placements, given as texts or as they are. */
const placementsIn = (list: Texts): unknown[] =>
  list.map((p) => (typeof p === 'string' ? placementIn(p) : p));

const distribute = (t: unknown, mesh: unknown, placements: Texts, ...options: unknown[]): unknown =>
  callIn('dist', 'distributeTensor', t, mesh, placementsIn(placements), ...options);
const fromLocal = (t: unknown, mesh: unknown, placements: Texts, options: object): unknown =>
  method(lookUp('dist', 'DTensor'), 'fromLocal', t, mesh, placementsIn(placements), options);
const factory = (name: string, ...args: unknown[]): unknown => callIn('dtensor', name, ...args);

// ---------------------------------------------------------------- making them
op('dtensor.distribute', 't mesh placements', (a) =>
  distribute(a.get('t'), a.get('mesh'), a.get('placements')),
);
op('dtensor.distribute_src', 't mesh placements src', (a) =>
  distribute(a.get('t'), a.get('mesh'), a.get('placements'), { srcDataRank: a.get<unknown>('src', null) }),
);
op('dtensor.from_local', 't mesh placements shape', (a) =>
  fromLocal(a.get('t'), a.get('mesh'), a.get('placements'), a.has('shape') ? { shape: a.get('shape') } : {}),
);
op('dtensor.from_local_grad', 't mesh placements grad_placements', (a) =>
  fromLocal(a.get('t'), a.get('mesh'), a.get('placements'), {
    gradPlacements: placementsIn(a.get('grad_placements')),
  }),
);
op('dtensor.from_local_check', 't mesh placements', (a) =>
  fromLocal(a.get('t'), a.get('mesh'), a.get('placements'), { runCheck: true }),
);
for (const name of ['zeros', 'ones']) {
  op(`dtensor.${name}`, 'shape mesh placements', (a) =>
    factory(name, a.get('shape'), {
      deviceMesh: a.get('mesh'),
      placements: placementsIn(a.get('placements')),
    }),
  );
}
op('dtensor.new_full', 'shape value mesh placements', (a) =>
  factory('full', a.get('shape'), a.number('value'), {
    deviceMesh: a.get('mesh'),
    placements: placementsIn(a.get('placements')),
  }),
);
op('dtensor.param', 't mesh placements', (a) =>
  construct('nn', 'Parameter', distribute(a.get('t'), a.get('mesh'), a.get('placements'))),
);
op('dtensor.distribute_module', 'mod mesh plan', (a) => {
  const module = a.get<unknown>('mod');
  const plan = a.get<Record<string, Texts>>('plan');
  for (const [name, parameter] of namedParameters(module)) {
    const at = name.lastIndexOf('.');
    const owner = at < 0 ? module : method(module, 'getSubmodule', name.slice(0, at));
    const made = distribute(method(parameter, 'detach'), a.get('mesh'), plan[name] ?? plan['*']!);
    method(
      owner,
      'registerParameter',
      name.slice(at + 1),
      construct('nn', 'Parameter', made, parameter.requiresGrad),
    );
  }
  return module;
});
op('dtensor.leaf', 'd', (a) => method(method(a.get('d'), 'detach'), 'requiresGrad_', true));

// ---------------------------------------------------------------- looking at them
op('dtensor.to_local', 'd grad_placements', (a) =>
  a.has('grad_placements')
    ? method(a.get('d'), 'toLocal', { gradPlacements: placementsIn(a.get('grad_placements')) })
    : method(a.get('d'), 'toLocal'),
);
op('dtensor.full', 'd', (a) => method(a.get('d'), 'fullTensor'));
op('dtensor.full_grad', 'd grad_placements', (a) =>
  method(a.get('d'), 'fullTensor', { gradPlacements: placementsIn(a.get('grad_placements')) }),
);
op('dtensor.full_list', 'ds', (a) => a.get<unknown[]>('ds').map((d) => method(d, 'fullTensor')));
op('dtensor.placements', 'd', (a) => (member(a.get('d'), 'placements') as unknown[]).map(placementOut));
op('dtensor.info', 'd', (a) => {
  const d = a.get<TensorLike>('d');
  return {
    shape: [...d.shape],
    local_shape: [...(member(d, 'localTensor') as TensorLike).shape],
    placements: (member(d, 'placements') as unknown[]).map(placementOut),
    dtype: dtypeName(d.dtype),
    numel: method(d, 'numel'),
    ndim: d.shape.length,
    stride: method(d, 'stride'),
    requires_grad: d.requiresGrad,
  };
});
op('dtensor.local_shape_and_offset', 'shape mesh placements', (a) => {
  const found = factory(
    'computeLocalShapeAndGlobalOffset',
    a.get('shape'),
    a.get('mesh'),
    placementsIn(a.get('placements')),
  );
  return [member(found, 'shape'), member(found, 'offset')];
});
op(
  'dtensor.is_dtensor',
  't',
  (a) => a.get<unknown>('t') instanceof (lookUp('dist', 'DTensor') as new () => object),
);
op('dtensor.same_mesh', 'd mesh', (a) => method(member(a.get('d'), 'deviceMesh'), 'equals', a.get('mesh')));

// ---------------------------------------------------------------- moving and training
op('dtensor.redistribute', 'd placements mesh', (a) =>
  method(a.get('d'), 'redistribute', a.get<unknown>('mesh', null), placementsIn(a.get('placements'))),
);
op('dtensor.redistribute_dtype', 'd placements forward backward', (a) => {
  const dtype = (name: string): unknown => (a.has(name) ? dtypeNamed(a.get(name)) : null);
  return method(a.get('d'), 'redistribute', placementsIn(a.get('placements')), {
    forwardDtype: dtype('forward'),
    backwardDtype: dtype('backward'),
  });
});
op('dtensor.set_grad', 'p g', (a) => {
  a.get<{ grad: unknown }>('p').grad = a.get<unknown>('g');
});
op('dtensor.loss_parallel', 'logits target reduction ignore_index', (a) =>
  callIn('dist', 'lossParallel', () => {
    const reduction: string = a.get('reduction', 'mean');
    const loss = callIn('F', 'crossEntropy', a.get('logits'), a.get('target'), {
      reduction,
      ignoreIndex: a.number('ignore_index', -100),
    });
    method(reduction === 'none' ? method(loss, 'sum') : loss, 'backward');
    return loss;
  }),
);
op('dtensor.train', 'mod optimizer xs ys clip', (a) => {
  const [module, optimizer] = [a.get<unknown>('mod'), a.get<unknown>('optimizer')];
  const ys = a.get<unknown[]>('ys');
  const whole = (t: unknown): number => toNumber(method(fullTensor(t as TensorLike), 'detach'));
  return a.get<unknown[]>('xs').map((x, i) => {
    const loss = callIn('F', 'mseLoss', apply(module, x), ys[i], { reduction: 'sum' });
    method(loss, 'backward');
    const norm = a.number('clip', 0) ? whole(clipGradNorm(module, a.number('clip'))) : null;
    method(optimizer, 'step');
    method(optimizer, 'zeroGrad');
    return [whole(loss), norm];
  });
});
