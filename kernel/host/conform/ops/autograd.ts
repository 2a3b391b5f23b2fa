/** ops_numerics: autograd, hooks and their log, recompute. */
import { callIn, dtypeNamed, method, type TensorLike } from '../access.js';
import type { Machine } from '../machine.js';
import { resolve } from '../resolve.js';
import { plainDeep } from '../values.js';
import { op, rawOp } from './registry.js';

type Grad = TensorLike | null;

op('ag.grad', 'outputs inputs grad_outputs retain_graph create_graph allow_unused', (a) => {
  const options: Record<string, unknown> = {};
  if (a.has('grad_outputs')) options['gradOutputs'] = a.get('grad_outputs');
  if (a.has('retain_graph')) options['retainGraph'] = a.get('retain_graph');
  if (a.has('create_graph')) options['createGraph'] = a.get('create_graph');
  if (a.has('allow_unused')) options['allowUnused'] = a.get('allow_unused');
  return Array.from(callIn('autograd', 'grad', a.get('outputs'), a.get('inputs'), options) as Iterable<Grad>);
});
op('ag.backward_many', 'tensors grads retain_graph', (a) => {
  const options = a.has('retain_graph') ? [{ retainGraph: a.get('retain_graph') }] : [];
  callIn('autograd', 'backward', a.get('tensors'), a.get('grads'), ...options);
});

function logOf(machine: Machine): unknown[] {
  const log = (machine.state.get('ag.log') as unknown[] | undefined) ?? [];
  machine.state.set('ag.log', log);
  return log;
}

function copyOf(grad: Grad): Grad {
  return grad === null || grad === undefined ? null : (method(method(grad, 'detach'), 'clone') as TensorLike);
}

op('ag.hook', 't label scale add', (a, machine) => {
  const log = logOf(machine);
  return method(a.get('t'), 'registerHook', (grad: TensorLike) => {
    log.push([a.get('label'), copyOf(grad)]);
    if (!a.has('scale') && !a.has('add')) return undefined;
    return method(method(grad, 'mul', a.number('scale', 1)), 'add', a.number('add', 0));
  });
});
op('ag.post_accumulate', 't label', (a, machine) => {
  const log = logOf(machine);
  return method(
    a.get('t'),
    'registerPostAccumulateGradHook',
    (p: TensorLike) => void log.push([a.get('label'), copyOf(p.grad)]),
  );
});
op('ag.multi_hook', 'tensors label mode', (a, machine) => {
  const log = logOf(machine);
  const label = a.get('label');
  const mode = a.get('mode', 'all');
  const hook =
    mode === 'all'
      ? (grads: Grad[]) => void log.push([label, grads.map(copyOf)])
      : (grad: Grad) => void log.push([label, copyOf(grad)]);
  return callIn('autograd', 'graph.registerMultiGradHook', a.get('tensors'), hook, { mode });
});
op('ag.final_callback', 't label', (a, machine) => {
  const log = logOf(machine);
  return method(a.get('t'), 'registerHook', () => {
    callIn('autograd', 'queueCallback', () => void log.push([a.get('label')]));
  });
});
rawOp('ag.gradcheck', (machine, [name, inputs, args = []], kwargs) => {
  const options = plainDeep({ eps: 1e-6, atol: 1e-5, rtol: 1e-3, ...kwargs, args: undefined }) as Record<
    string,
    unknown
  >;
  delete options['args'];
  const more = (kwargs['args'] ?? args) as unknown[];
  const fn = (...x: unknown[]) => resolve(String(name))(machine, [...x, ...more], {});
  return callIn('autograd', 'gradcheck', fn, inputs, { ...options, raiseException: false });
});

op('ag.module_hook', 'mod kind label prepend scale', (a, machine) => {
  const log = logOf(machine);
  const [module, kind, label, scale] = [
    a.get<unknown>('mod'),
    a.get<string>('kind'),
    a.get<string>('label'),
    a.get<number | null>('scale', null),
  ];
  const prepend = a.get('prepend', false);
  const scaled = (grads: readonly Grad[]) =>
    grads.map((g) => (g === null ? null : (method(g, 'mul', scale) as TensorLike)));
  const names = (kwargs: object) => void log.push([label, kind, Object.keys(kwargs).map(snakeCase).sort()]);
  switch (kind) {
    case 'pre':
      return method(
        module,
        'registerForwardPreHook',
        (_: unknown, args: readonly unknown[]) => {
          log.push([label, kind]);
          return scale === null ? undefined : [method(args[0], 'mul', scale), ...args.slice(1)];
        },
        { prepend },
      );
    case 'pre_kwargs':
      return method(
        module,
        'registerForwardPreHook',
        (_: unknown, _args: unknown, kwargs: object) => names(kwargs),
        { prepend, withKwargs: true },
      );
    case 'forward_kwargs':
      return method(
        module,
        'registerForwardHook',
        (_: unknown, _args: unknown, kwargs: object) => names(kwargs),
        { prepend, withKwargs: true },
      );
    case 'forward':
      return method(
        module,
        'registerForwardHook',
        (_: unknown, _args: unknown, output: unknown) => {
          log.push([label, kind]);
          return scale === null ? undefined : method(output, 'mul', scale);
        },
        { prepend },
      );
    case 'backward_pre':
      return method(
        module,
        'registerFullBackwardPreHook',
        (_: unknown, gradOutput: readonly Grad[]) => {
          log.push([label, kind]);
          return scale === null ? undefined : scaled(gradOutput);
        },
        { prepend },
      );
    case 'backward':
      return method(
        module,
        'registerFullBackwardHook',
        (_: unknown, gradInput: readonly Grad[]) => {
          log.push([label, kind]);
          return scale === null ? undefined : scaled(gradInput);
        },
        { prepend },
      );
    default:
      throw new Error(`"${kind}" is no kind of module hook`);
  }
});

function snakeCase(name: string): string {
  return name.replace(/[A-Z]/g, (letter) => `_${letter.toLowerCase()}`);
}

op('ag.log', '', (_, machine) => logOf(machine).splice(0));

rawOp('ag.checkpoint', (_, [module, ...args], kwargs) => {
  const preserveRngState = (kwargs['preserve_rng_state'] ?? true) as boolean;
  return callIn('torch', 'utils.checkpoint.checkpoint', module, ...args, {
    useReentrant: false,
    preserveRngState,
  });
});
op('ag.checkpoint_sequential', 'mod segments x', (a) => {
  const parts = Array.from(a.get<Iterable<unknown>>('mod'));
  const options = { useReentrant: false };
  return callIn(
    'torch',
    'utils.checkpoint.checkpointSequential',
    parts,
    a.number('segments'),
    a.get('x'),
    options,
  );
});

const calls = new WeakMap<object, number>();
op('ag.count_calls', 'mod', (a) => {
  const module = a.get<object>('mod');
  calls.set(module, 0);
  method(module, 'registerForwardPreHook', () => void calls.set(module, (calls.get(module) ?? 0) + 1));
});
op('ag.calls', 'mod', (a) => calls.get(a.get<object>('mod')) ?? 0);

rawOp('ag.saved_as', (machine, [dtype, name, ...args], kwargs) => {
  const wanted = dtypeNamed(String(dtype));
  const pack = (t: TensorLike) => ({
    dtype: t.dtype,
    value: method(t, 'isFloatingPoint') === true ? method(t, 'to', wanted) : t,
  });
  const unpack = (p: { dtype: unknown; value: unknown }) => method(p.value, 'to', p.dtype);
  return callIn('autograd', 'graph.savedTensorsHooks', pack, unpack, () =>
    resolve(String(name))(machine, args, kwargs),
  );
});
