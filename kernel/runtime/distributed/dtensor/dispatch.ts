/**
 * Operations on DTensors: find the plan (cached by op, parameters and specs), move the inputs, run the op on the local tensors,
 * wrap what comes out. Runs below autograd; backward rules come through here again with their own operations.
 */
import { assert, Setting, ShardbookError } from '../../base/index.js';
import {
  applyInplace,
  applyOp,
  DType,
  type OpCall,
  type OpName,
  type OpParams,
  type OpResult,
  registerSubclass,
  runKernel,
  Storage,
  Tensor,
  torch,
  viewStrides,
} from '../../tensor/index.js';
import type { DeviceMesh } from '../mesh/index.js';
import { DTensor } from './dtensor.js';
import { localShape } from './layout.js';
import { Replicate, samePlacements } from './placements.js';
import { type Propagation, propagate } from './propagate.js';
import { redistributeLocal } from './redistribute.js';
import { rules } from './rules/index.js';
import type { AxisRule, Chosen, Composition, MeshRule, Rule, RuleCall } from './rules/rule.js';
import { DTensorSpec, type TensorMeta } from './spec.js';

/** Everything about a call that does not depend on values. */
interface Plan {
  readonly call: RuleCall;
  readonly rule: AxisRule<OpName> | MeshRule<OpName>;
  readonly propagation: Propagation;
  readonly chosen: Chosen;
  /** Inputs that must move, by position. */
  readonly moves: readonly { at: number; from: DTensorSpec; to: DTensorSpec }[];
  /** null: the call's own. */
  readonly params: OpParams[OpName] | null;
  readonly outs: readonly (DTensorSpec | null)[];
  readonly many: boolean;
}

/** A dispatched operation, for whoever explains. */
export interface DispatchEvent {
  readonly call: RuleCall;
  readonly propagation: Propagation;
}

const caches = new WeakMap<DeviceMesh, Map<string, Plan>>();
const custom = new Map<OpName, Rule>();
let generation = 0;
const watcher = new Setting<((event: DispatchEvent) => void) | null>(null);
const implicit = new Setting(false);
const dry = new Setting(false);

/** Rules that users add; they come before the table's. */
export function setCustomRule(name: OpName, rule: Rule | null): void {
  if (rule) custom.set(name, rule);
  else custom.delete(name);
  generation++;
}

export function ruleFor(name: OpName): Rule | undefined {
  return custom.get(name) ?? (rules[name] as Rule | undefined);
}

/** Tells `watch` of every operation on DTensors while `body` runs. */
function watchDispatch<R>(watch: (event: DispatchEvent) => void, body: () => R): R {
  return watcher.during(watch, body);
}

/** As watchDispatch, and nothing is computed or sent: results have shapes and placements only. */
export function dryRun<R>(watch: (event: DispatchEvent) => void, body: () => R): R {
  return dry.during(true, () => watchDispatch(watch, body));
}

/** Plain tensors in operations with DTensors count as replicated while `body` runs. */
export function implicitReplication<R>(body: () => R): R {
  return implicit.during(true, body);
}

// ---------------------------------------------------------------- the handler

function handle(call: OpCall): OpResult {
  const rule = ruleFor(call.name);
  if (rule?.kind === 'compose') return compose(call, rule);
  const plan = planFor(call, rule);
  const { mesh } = plan.call;
  watcher.value?.({ call: plan.call, propagation: plan.propagation });
  if (dry.value) return dryResult(call, plan);
  const locals = call.inputs.map((input) => (input instanceof DTensor ? input.localTensor : input));
  const participates = mesh.isMember;
  if (participates) {
    for (const { at, from, to } of plan.moves) locals[at] = redistributeLocal(locals[at]!, from, to);
  }
  const { outs } = plan;
  const result = participates ? runPart(call, plan, locals) : outsideResult(plan);
  if (call.inplace) return call.inputs[0]!;
  if (plan.many) {
    assert(Array.isArray(result), `${call.name} has several results`);
    return result.map((part, i) => wrap(part, outs[i] ?? null, call, locals));
  }
  return wrap(result as Tensor, outs[0] ?? null, call, locals);
}

function runPart(call: OpCall, plan: Plan, locals: (Tensor | null)[]): OpResult {
  const params = plan.params ?? call.params;
  const run = (inputs: readonly (Tensor | null)[], own: OpParams[OpName]): OpResult =>
    call.inplace
      ? applyInplace(call.name, inputs, own as never)
      : (applyOp(
          call.name,
          call.name === 'view' ? [viewable(inputs[0]!, own as OpParams['view'])] : inputs,
          own as never,
        ) as OpResult);
  const { runLocal } = plan.rule;
  if (!runLocal) return run(locals, params);
  const own = call.params === plan.call.params ? plan.call : { ...plan.call, params: call.params };
  return runLocal(own, plan.chosen, { inputs: locals, params }, run);
}

/** The whole may be viewed so, but its part lies otherwise in memory where a cut made it anew. */
function viewable(local: Tensor, { shape }: OpParams['view']): Tensor {
  if (local.isContiguous() || viewStrides(local.shape, local.strides, shape) !== null) return local;
  return local.contiguous();
}

function wrap(
  part: Tensor,
  spec: DTensorSpec | null,
  call: OpCall,
  locals: readonly (Tensor | null)[],
): Tensor {
  if (spec === null || part instanceof DTensor) return part;
  const out = new DTensor(part, spec);
  const [source, local] = [call.inputs[0], locals[0]];
  // A view of the local tensor is a view of the whole.
  if (
    source instanceof DTensor &&
    local &&
    part.versionCounter === local.versionCounter &&
    source.localTensor === local
  )
    out.versionCounter = source.versionCounter;
  return out;
}

function dryResult(call: OpCall, plan: Plan): OpResult {
  if (call.inplace) return call.inputs[0]!;
  const results = plan.outs.map((spec, i) => {
    const { shape, dtype } = plan.call.outputs[i]!;
    const own = spec ? localShape(shape, spec.mesh, spec.placements) : [...shape];
    const local = torch.empty(own, { dtype, device: 'meta' });
    return spec ? new DTensor(local, spec) : local;
  });
  return plan.many ? results : results[0]!;
}

/** Ranks outside the mesh hold nothing. */
function outsideResult(plan: Plan): OpResult {
  const nothing = (spec: DTensorSpec | null): Tensor =>
    new Tensor({ storage: Storage.allocate(0), shape: [0], dtype: (spec ?? plan.call.outputs[0]!).dtype });
  return plan.many ? plan.outs.map(nothing) : nothing(plan.outs[0] ?? null);
}

/** The op as several, each with a plan of its own; plain tensors of a fitting size are replicated first. */
function compose(call: OpCall, rule: Composition<OpName>): OpResult {
  const mesh = meshOf(call);
  const inputs = call.inputs.map((input) =>
    input === null || input.wrapped || input instanceof DTensor
      ? input
      : new DTensor(input, specOf(call, input, mesh)!),
  );
  const result = rule.run(inputs, call.params);
  if (!call.inplace) return result;
  applyInplace('copy', [call.inputs[0]!, result as Tensor], {} as never);
  return call.inputs[0]!;
}

// ---------------------------------------------------------------- plans

function planFor(call: OpCall, rule: Rule | undefined): Plan {
  const mesh = meshOf(call);
  let cache = caches.get(mesh);
  if (!cache) {
    cache = new Map();
    caches.set(mesh, cache);
  }
  const specs = call.inputs.map((input) => specOf(call, input, mesh));
  const key = keyOf(call, rule, specs);
  let plan = cache.get(key);
  if (!plan) {
    plan = makePlan(call, rule, specs, mesh);
    cache.set(key, plan);
  }
  return plan;
}

function meshOf(call: OpCall): DeviceMesh {
  let mesh: DeviceMesh | null = null;
  for (const input of call.inputs) {
    if (!(input instanceof DTensor)) continue;
    if (mesh === null) mesh = input.deviceMesh;
    else if (mesh !== input.deviceMesh && !mesh.equals(input.deviceMesh)) {
      throw new ShardbookError({
        code: 'SB_DTENSOR_MESH',
        message: `Cannot run "${call.name}" on ${shownInputs(call)}: they live on different meshes`,
        help: 'bring them to one mesh: fullTensor() gathers, distributeTensor() places anew',
      });
    }
  }
  assert(mesh, `${call.name} has no DTensor`);
  return mesh;
}

function shownInputs(call: OpCall): string {
  return call.inputs
    .filter((input): input is Tensor => input !== null && !input.wrapped)
    .map((input) => input.describe())
    .join(' and ');
}

function specOf(call: OpCall, input: Tensor | null, mesh: DeviceMesh): DTensorSpec | null {
  if (input === null || input.wrapped) return null;
  if (input instanceof DTensor) return input.spec;
  if (input.numel() !== 1 && !implicit.value) {
    throw new ShardbookError({
      code: 'SB_DTENSOR_MIXED',
      message: `Cannot run "${call.name}" on ${shownInputs(call)}: ${input.describe()} is a plain tensor, the others are DTensors`,
      help: 'make it a DTensor with distributeTensor() or DTensor.fromLocal(), or run inside implicitReplication(() => ...) when it is the same on every rank',
    });
  }
  return new DTensorSpec(
    mesh,
    mesh.shape.map(() => Replicate()),
    input.shape,
    input.strides,
    input.dtype,
  );
}

/** Parameters that only scale values: no rule asks for them, and they may differ from step to step. */
const VALUES = new Set([
  'alpha',
  'beta',
  'value',
  'eps',
  'scale',
  'threshold',
  'negativeSlope',
  'min',
  'max',
]);
const VALUE_MATTERS = new Set<OpName>(['constantPad', 'fill', 'fullLike', 'maskedFill']);

function keyOf(call: OpCall, rule: Rule | undefined, specs: readonly (DTensorSpec | null)[]): string {
  let key = `${call.name}${call.inplace ? '_' : ''}${generation}`;
  const full =
    VALUE_MATTERS.has(call.name) || (rule !== undefined && ('localParams' in rule || 'runLocal' in rule));
  const { params } = call;
  for (const name in params) {
    const value = (params as Readonly<Record<string, unknown>>)[name];
    if (value === null) key += ',null';
    else if (!full && VALUES.has(name)) key += ',#';
    else if (value instanceof DType) key += `,${value.name}`;
    else key += `,${String(value)}`;
  }
  for (let i = 0; i < specs.length; i++) {
    const spec = specs[i];
    const input = call.inputs[i];
    key += spec ? `;${spec.id}` : input ? `;${input.dtype.name}` : ';';
  }
  return key;
}

function makePlan(
  call: OpCall,
  rule: Rule | undefined,
  specs: readonly (DTensorSpec | null)[],
  mesh: DeviceMesh,
): Plan {
  if (rule === undefined || rule.kind === 'refuse' || rule.kind === 'compose') throw refused(call, rule);
  const { metas, many } = wholeResults(call, specs);
  const ruleCall: RuleCall = {
    name: call.name,
    params: call.params,
    inputs: specs,
    outputs: metas,
    mesh,
    inplace: call.inplace,
  };
  const propagation = propagate(ruleCall, rule);
  const { chosen: best } = propagation;
  const chosen: Chosen = { inputs: best.in, outputs: best.out };
  const moves = best.in.flatMap((to, at) => {
    const from = specs[at];
    return from && to && !samePlacements(from.placements, to.placements) ? [{ at, from, to }] : [];
  });
  const shapes = best.out.map((spec) => (spec ? localShape(spec.shape, mesh, spec.placements) : null));
  return {
    call: ruleCall,
    rule,
    propagation,
    chosen,
    moves,
    params: rule.localParams ? rule.localParams(ruleCall, chosen, shapes) : null,
    outs: best.out,
    many,
  };
}

function refused(call: OpCall, rule: Rule | undefined): ShardbookError {
  const shown = shownInputs(call);
  if (rule?.kind === 'refuse') {
    return new ShardbookError({
      code: 'SB_DTENSOR_OP',
      message: `Cannot run "${call.name}" on ${shown}: ${rule.why}`,
      help: rule.help,
    });
  }
  return new ShardbookError({
    code: 'SB_DTENSOR_OP',
    message: `Cannot run "${call.name}" on ${shown}: the operation has no sharding rule`,
    help: 'gather with fullTensor(), work on toLocal() inside localMap(), or give it a rule with registerSharding()',
  });
}

/** Shapes, strides and dtypes of the whole results, from running the op on tensors without memory. */
function wholeResults(
  call: OpCall,
  specs: readonly (DTensorSpec | null)[],
): { metas: TensorMeta[]; many: boolean } {
  if (call.inplace) return { metas: [specs[0]!], many: false };
  if (call.name === 'toCopy') {
    const spec = specs[0]!;
    const { dtype } = call.params as OpParams['toCopy'];
    return { metas: [{ shape: spec.shape, strides: spec.strides, dtype }], many: false };
  }
  const inputs = call.inputs.map((input, i) => {
    const spec = specs[i];
    return spec ? blank(spec) : input;
  });
  const result = runKernel(call.name, inputs, call.params as never);
  const list = Array.isArray(result) ? result : [result];
  return {
    metas: list.map(({ shape, strides, dtype }) => ({ shape, strides, dtype })),
    many: Array.isArray(result),
  };
}

function blank(spec: DTensorSpec): Tensor {
  const { shape, strides, dtype } = spec;
  const span = shape.reduce((n, size, d) => n + Math.max(0, size - 1) * strides[d]!, 1);
  return new Tensor({ storage: Storage.meta(span * dtype.itemsize), shape, strides, dtype, device: 'meta' });
}

registerSubclass(DTensor, handle);
