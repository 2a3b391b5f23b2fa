/** ops_fsdp: small modules from specs, and how they are filled. */
import { DTensor, distributeTensor, F, nn, noGrad, type Tensor, torch } from '../../../runtime/index.js';
import { dtypeName, dtypeNamed } from '../access.js';
import { fill } from './core.js';
import { buildModule, namedParameters } from './modules.js';
import { op } from './registry.js';

type Spec = Readonly<Record<string, unknown>>;
export type FlowStep = string | Readonly<Record<string, string>>;

const ACTS: Readonly<Record<string, (x: Tensor) => Tensor>> = {
  relu: (x) => F.relu(x),
  tanh: (x) => torch.tanh(x),
  sigmoid: (x) => torch.sigmoid(x),
  gelu: (x) => F.gelu(x, { approximate: 'tanh' }),
};

interface NetSpec {
  children: Readonly<Record<string, Spec>>;
  flow: readonly FlowStep[];
  params?: Readonly<Record<string, number[]>>;
  buffers?: Readonly<Record<string, number[]>>;
  tie?: readonly (readonly [string, string])[];
  freeze?: readonly string[];
}

/** A module whose forward is a list of steps on a running value. */
export class Net extends nn.Module {
  flow: readonly FlowStep[];

  constructor(spec: NetSpec) {
    super();
    for (const [name, shape] of Object.entries(spec.params ?? {}))
      this.registerParameter(name, new nn.Parameter(torch.zeros(shape)));
    for (const [name, shape] of Object.entries(spec.buffers ?? {}))
      this.registerBuffer(name, torch.zeros(shape));
    for (const [name, child] of Object.entries(spec.children)) this.addModule(name, buildNet(child));
    for (const [to, from] of spec.tie ?? []) {
      const path = to.split('.');
      const leaf = path.pop()!;
      Reflect.set(this.getSubmodule(path.join('.')), leaf, this.getParameter(from));
    }
    for (const [name, p] of this.namedParameters())
      if ((spec.freeze ?? []).some((f) => name === f || name.startsWith(`${f}.`))) p.requiresGrad_(false);
    this.flow = spec.flow;
  }

  forward(x: Tensor): Tensor {
    return this.run(this.flow, x);
  }

  run(flow: readonly FlowStep[], input: Tensor): Tensor {
    let x = input;
    const kept = new Map<string, Tensor>();
    for (const step of flow) {
      if (typeof step === 'string') {
        x = (this.getSubmodule(step) as unknown as (x: Tensor) => Tensor)(x);
        continue;
      }
      const [what, name] = Object.entries(step)[0] as [string, string];
      if (what === 'act') x = ACTS[name]!(x);
      else if (what === 'save') kept.set(name, x);
      else if (what === 'add') x = x.add(kept.get(name)!);
      else if (what === 'mul') x = x.mul(ownOf(this, name));
      else if (what === 'addp') x = x.add(ownOf(this, name));
      else throw new Error(`"${what}" is no step of a flow`);
    }
    return x;
  }
}

/** Not a method: a spec may give a parameter any name. */
function ownOf(net: Net, name: string): Tensor {
  const state = nn.stateOf(net);
  return (state.parameters.get(name) ?? state.buffers.get(name))!;
}

function buildNet(spec: Spec): nn.Module {
  const [kind, args] = Object.entries(spec)[0] as [string, unknown];
  if (kind === 'Net') return new Net(args as NetSpec);
  if (kind === 'Sequential') return new nn.Sequential(...(args as Spec[]).map(buildNet));
  if (kind === 'List') return new nn.ModuleList((args as Spec[]).map(buildNet));
  return buildModule(spec) as nn.Module;
}

function fillNet(module: nn.Module, seed: number, scale: number): nn.Module {
  noGrad(() => {
    for (const [i, [, p]] of namedParameters(module).entries()) {
      const full = fill(p.shape, seed + i, scale, dtypeName(p.dtype)) as unknown as Tensor;
      const parameter = p as unknown as Tensor;
      parameter.copy_(parameter instanceof DTensor ? cut(full, parameter) : full);
    }
    for (const [i, [, b]] of module.namedBuffers().entries())
      if (b.dtype.isFloatingPoint)
        b.copy_(fill(b.shape, seed + 500 + i, scale, dtypeName(b.dtype)) as unknown as Tensor);
  });
  return module;
}

/** This rank's part of a whole tensor, without communication. */
export function cut(full: Tensor, like: DTensor): DTensor {
  return distributeTensor(full, like.deviceMesh, like.placements, { srcDataRank: null });
}

op('net', 'spec seed scale dtype', (a) => {
  const module = buildNet(a.get('spec'));
  if (a.has('dtype')) module.to(dtypeNamed(a.get('dtype')) as typeof torch.float32);
  return fillNet(module, a.number('seed', 0), a.number('scale', 0.5));
});
op('net.meta', 'spec', (a) => torch.device('meta', () => buildNet(a.get('spec'))));
op('net.fill', 'mod seed scale', (a) => fillNet(a.get('mod'), a.number('seed', 0), a.number('scale', 0.5)));
op('net.set_ones', 'mod value', (a) => {
  const module = a.get<nn.Module>('mod');
  noGrad(() => {
    for (const p of module.parameters()) p.fill_(a.number('value', 1));
  });
  return module;
});
op('net.set_param', 'mod name value', (a) => {
  const module = a.get<nn.Module>('mod');
  noGrad(() => void module.getParameter(a.get('name')).copy_(a.get<Tensor>('value')));
  return module;
});
