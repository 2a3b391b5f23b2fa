/** ops_fsdp: training on hashed data, logs of collectives, module calls and hooks. */
import {
  type CommEvent,
  DistributedDataParallel,
  DTensor,
  F,
  nn,
  noGrad,
  onComm,
  type Tensor,
  torch,
} from '../../../runtime/index.js';
import { apply, member, method } from '../access.js';
import type { Machine } from '../machine.js';
import { fill, fillInts, toNumber } from './core.js';
import { clipped } from './fsdp.js';
import type { Args } from './registry.js';
import { op } from './registry.js';

// ---------------------------------------------------------------- training
interface DataSpec {
  kind: 'lm' | 'mse';
  rows: number;
  seed: number;
  vocab: number;
  seq: number;
  in: number[];
  out: number[];
}

function batch(data: DataSpec, k: number, index: number | null, shards: number): [Tensor, Tensor] {
  const { rows } = data;
  const seed = data.seed + 10 * k;
  let x: Tensor;
  let y: Tensor;
  if (data.kind === 'lm') {
    const ids = fillInts([shards * rows, data.seq + 1], seed, 0, data.vocab) as unknown as Tensor;
    x = ids.narrow(1, 0, data.seq);
    y = ids.narrow(1, 1, data.seq);
  } else {
    x = fill([shards * rows, ...data.in], seed, 2) as unknown as Tensor;
    y = fill([shards * rows, ...data.out], seed + 5, 2) as unknown as Tensor;
  }
  if (index === null) return [x, y];
  return [x.narrow(0, index * rows, rows), y.narrow(0, index * rows, rows)];
}

function lossOf(data: DataSpec, given: Tensor, y: Tensor): Tensor {
  const small = given.dtype === torch.bfloat16 || given.dtype === torch.float16;
  const out = small ? given.to(torch.float32) : given;
  if (data.kind === 'lm') return F.crossEntropy(out.reshape(-1, out.shape.at(-1)!), y.reshape(-1));
  return F.mseLoss(out, y.to(out.dtype));
}

const own = (a: Args): [index: number | null, shards: number] => [
  a.has('index') ? a.number('index') : null,
  a.number('shards', 1),
];

op('train', 'mod optimizer data steps index shards accumulate sync clip scheduler first', (a) => {
  const [module, optimizer] = [a.get<unknown>('mod'), a.get<unknown>('optimizer')];
  const data = a.get<DataSpec>('data');
  const [index, shards] = own(a);
  const accumulate = a.number('accumulate', 1);
  const out: (number | null)[][] = [];
  const start = a.number('first', 0);
  for (let i = start; i < start + a.number('steps'); i++) {
    let total = 0;
    for (let part = 0; part < accumulate; part++) {
      const last = part === accumulate - 1;
      const [x, y] = batch(data, i * accumulate + part, index, shards);
      const run = (): void => {
        const loss = lossOf(data, apply(module, x) as Tensor, y).div(accumulate);
        loss.backward();
        total += toNumber(loss.detach());
      };
      const quiet = a.get('sync', 'last') === 'last' && accumulate > 1;
      if (quiet && typeof member(module, 'setRequiresGradientSync') === 'function') {
        method(module, 'setRequiresGradientSync', last);
        run();
      } else if (quiet && !last && module instanceof DistributedDataParallel) module.noSync(run);
      else run();
    }
    const norm = a.has('clip') ? clipped(module, a.number('clip'), 2, false) : null;
    method(optimizer, 'step');
    if (a.has('scheduler')) method(a.get('scheduler'), 'step');
    method(optimizer, 'zeroGrad');
    out.push([total, norm]);
  }
  return out;
});

function backwardOnce(a: Args, scale: number): number {
  const data = a.get<DataSpec>('data');
  const [x, y] = batch(data, a.number('k', 0), ...own(a));
  const loss = lossOf(data, apply(a.get('mod'), x) as Tensor, y);
  loss.mul(scale).backward();
  return toNumber(loss.detach());
}

op('train.backward', 'mod data k index shards scale', (a) => backwardOnce(a, a.number('scale', 1)));
op('ddp.no_sync_backward', 'mod data k index shards', (a) =>
  a.get<DistributedDataParallel>('mod').noSync(() => backwardOnce(a, 1)),
);
op('train.forward', 'mod data k index shards grad', (a) => {
  const [x] = batch(a.get<DataSpec>('data'), a.number('k', 0), ...own(a));
  const run = (): unknown => apply(a.get('mod'), x);
  return a.get('grad', false) ? run() : noGrad(run);
});

// ---------------------------------------------------------------- logs
const FAMILY: Readonly<Record<string, string>> = {
  allGather: 'all_gather',
  allGatherSingle: 'all_gather',
  allGatherCoalesced: 'all_gather',
  reduceScatter: 'reduce_scatter',
  reduceScatterSingle: 'reduce_scatter',
  reduceScatterCoalesced: 'reduce_scatter',
  allReduce: 'all_reduce',
  allReduceCoalesced: 'all_reduce',
  allToAll: 'all_to_all',
  allToAllSingle: 'all_to_all',
  broadcast: 'broadcast',
  scatter: 'scatter',
  gather: 'gather',
  send: 'send',
  isend: 'send',
  recv: 'recv',
  irecv: 'recv',
};

interface Log {
  entries: unknown[];
  stop: () => void;
  handles: { remove(): void }[];
}

function beginLog(machine: Machine): Log {
  const entries: unknown[] = [];
  const stop = onComm((event: CommEvent) => {
    const family = FAMILY[event.op];
    if (family !== undefined) entries.push([family, event.bytes, event.groupRanks.length]);
  });
  const log: Log = { entries, stop, handles: [] };
  machine.state.set('log', log);
  return log;
}

function endLog(machine: Machine): unknown[] {
  const log = machine.state.get('log') as Log;
  log.stop();
  for (const handle of log.handles) handle.remove();
  return log.entries;
}

op('comm.log_begin', '', (_, machine) => void beginLog(machine));
op('comm.log_end', '', (_, machine) => endLog(machine));
op('trace.begin', 'mod paths', (a, machine) => {
  const log = beginLog(machine);
  for (const path of a.get<string[]>('paths')) {
    const sub = a.get<nn.Module>('mod').getSubmodule(path);
    log.handles.push(
      sub.registerForwardPreHook(() => void log.entries.push(['F', path])),
      sub.registerForwardHook((_m, _args, output) => {
        const out = output as Tensor;
        if (out.requiresGrad) out.registerHook(() => void log.entries.push(['B', path]));
      }),
    );
  }
});
op('trace.end', '', (_, machine) => endLog(machine));

op('count.begin', 'mod paths', (a, machine) => {
  const calls: Record<string, number> = {};
  const handles = a.get<string[]>('paths').map((path) => {
    calls[path] = 0;
    return a
      .get<nn.Module>('mod')
      .getSubmodule(path)
      .registerForwardPreHook(() => void calls[path]!++);
  });
  machine.state.set('count', { calls, handles });
});
op('count.end', '', (_, machine) => {
  const { calls, handles } = machine.state.get('count') as {
    calls: Record<string, number>;
    handles: { remove(): void }[];
  };
  for (const handle of handles) handle.remove();
  return { ...calls };
});

function probes(machine: Machine): unknown[] {
  let list = machine.state.get('probes') as unknown[] | undefined;
  if (!list) {
    list = [];
    machine.state.set('probes', list);
  }
  return list;
}

const shown = (t: Tensor): [string, number[]] =>
  t instanceof DTensor ? ['dtensor', [...t.localTensor.shape]] : ['plain', [...t.shape]];

op('hook.probe', 'mod path label when prepend param', (a, machine) => {
  const list = probes(machine);
  const sub = a.get<nn.Module>('mod').getSubmodule(a.get('path'));
  const name = a.get('param', 'weight');
  const see = (): void => {
    list.push([a.get('label'), ...shown(nn.stateOf(sub).parameters.get(name)!)]);
  };
  const prepend = a.get('prepend', false);
  if (a.get('when') === 'pre') sub.registerForwardPreHook(see, { prepend });
  else sub.registerForwardHook(see, { prepend });
});
op('hook.post_accumulate', 'mod names', (a, machine) => {
  const list = probes(machine);
  for (const name of a.get<string[]>('names'))
    a.get<nn.Module>('mod')
      .getParameter(name)
      .registerPostAccumulateGradHook((p) => void list.push([name, ...shown(p.grad!)]));
});
op('hook.log', '', (_, machine) => [...probes(machine)]);
