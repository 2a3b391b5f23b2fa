/**
 * How a transformer's parameters, batch and traffic fall on a mesh of data, context, tensor and pipeline parallelism, before
 * anything is built. Column and row cuts belong to the tp axis: it is the only one that splits the mathematics. The data and context axes
 * together shard what is stored (FSDP gathers a weight before it is used, so which dimension it cuts changes nothing).
 */
import { ShardbookError } from '../../base/index.js';
import { type Placement, Replicate, Shard, StridedShard } from '../dtensor/index.js';
import { code, el, figure, line, textTable } from './html.js';
import { lengthOf, list, rangesAt } from './slices.js';
import { bytesText, columns } from './text.js';

/** Sizes of a transformer. */
export interface TransformerShape {
  layers: number;
  hidden: number;
  heads: number;
  /** Heads of keys and values; default `heads`. */
  kvHeads?: number;
  /** Inner size of the gated MLP. */
  ffn: number;
  vocab: number;
  /** Whether the head shares the embedding's weight; default false. */
  tied?: boolean;
}

/** Ranks per kind of parallelism. */
export interface ParallelSizes {
  dp?: number;
  cp?: number;
  tp?: number;
  pp?: number;
}

export interface DesignOptions {
  model: TransformerShape;
  parallel: ParallelSizes;
  /** Sequences per step, over all dp ranks. */
  batch: number;
  /** Tokens of a sequence. */
  sequence: number;
  /** Bytes of a parameter, gradient and activation in computation; default 2 (bf16). */
  bytes?: number;
  /** Bytes per parameter that the optimizer keeps; default 12 (fp32 copy and two moments of AdamW). */
  optimizerBytes?: number;
}

/** One kind of parameter of the model. */
export interface ParameterDesign {
  readonly name: string;
  /** How many of them one rank's pipeline stage has. */
  readonly count: number;
  /** As nn stores it: [out, in]. */
  readonly shape: readonly number[];
  /** On the mesh (shard, tp), as FSDP2 over tensor parallelism leaves it. */
  readonly placements: readonly Placement[];
  readonly localShape: readonly number[];
  /** What tensor parallelism does with it. */
  readonly style: 'colwise' | 'rowwise' | 'replicated';
}

/** Bytes and collectives that a design costs. */
export interface TrafficDesign {
  readonly axis: string;
  readonly what: string;
  /** Bytes that leave each rank in one step. */
  readonly bytes: number;
  readonly formula: string;
}

const mimeKey: unique symbol = Symbol.for('shardbook.toMime') as never;

/** A layout with what it costs; `display` draws it. */
export class PlacementDesign {
  constructor(
    readonly options: DesignOptions,
    readonly ranks: number,
    readonly parameters: readonly ParameterDesign[],
    /** The batch of tokens on the mesh (dp, cp): the ranks of an axis that shards it see different data. */
    readonly batch: {
      readonly shape: readonly number[];
      readonly placements: readonly Placement[];
      readonly localShape: readonly number[];
    },
    /** Bytes per rank by kind. */
    readonly memory: Readonly<Record<'parameters' | 'gradients' | 'optimizer' | 'activations', number>>,
    readonly traffic: readonly TrafficDesign[],
    readonly advice: readonly string[],
  ) {}

  get memoryTotal(): number {
    return Object.values(this.memory).reduce((a, b) => a + b, 0);
  }

  get trafficTotal(): number {
    return this.traffic.reduce((n, t) => n + t.bytes, 0);
  }

  get title(): string {
    const { dp = 1, cp = 1, tp = 1, pp = 1 } = this.options.parallel;
    return `placement on dp=${dp}, cp=${cp}, tp=${tp}, pp=${pp} (${this.ranks} ranks)`;
  }

  #parameterRows(): string[][] {
    return this.parameters.map((p) => [
      p.name,
      `${p.count} x`,
      list(p.shape),
      p.style,
      `(${p.placements.map(String).join(', ')})`,
      list(p.localShape),
    ]);
  }

  #memoryRows(): string[][] {
    return [...Object.entries(this.memory), ['total', this.memoryTotal] as const].map(([kind, bytes]) => [
      kind,
      bytesText(bytes),
    ]);
  }

  #trafficRows(): string[][] {
    return this.traffic.map((t) => [t.axis, t.what, bytesText(t.bytes), t.formula]);
  }

  toString(): string {
    const { batch } = this;
    return [
      this.title,
      'parameters, on the mesh (dp x cp, tp)',
      columns([['name', '', 'shape', 'style', 'placements', 'local'], ...this.#parameterRows()], '  '),
      `batch ${list(batch.shape)} as (${batch.placements.map(String).join(', ')}) on (dp, cp), local ${list(batch.localShape)}`,
      'memory per rank',
      columns(this.#memoryRows(), '  '),
      'traffic per rank and step',
      this.traffic.length === 0 ? '  none' : columns(this.#trafficRows(), '  '),
      ...(this.advice.length === 0 ? [] : ['advice', ...this.advice.map((text) => `  ${text}`)]),
    ].join('\n');
  }

  [mimeKey](): Record<string, string> {
    const { batch } = this;
    const html = figure(
      this.title,
      line(code(this.title)),
      textTable(
        'parameters, on the mesh (dp x cp, tp)',
        ['name', 'count', 'shape', 'style', 'placements', 'local shape'],
        this.#parameterRows(),
      ),
      line(
        `batch ${list(batch.shape)} as (${batch.placements.map(String).join(', ')}) on (dp, cp), local ${list(batch.localShape)}`,
      ),
      textTable('memory per rank', ['kind', 'size'], this.#memoryRows()),
      this.traffic.length === 0
        ? line('no traffic')
        : textTable('traffic per rank and step', ['axis', 'what', 'bytes', 'formula'], this.#trafficRows()),
      el(
        'ul',
        { style: 'margin:4px 0;padding-left:20px;' },
        this.advice.map((text) => el('li', {}, text)),
      ),
    );
    return { 'text/html': html, 'text/plain': String(this) };
  }
}

/**
 * Lays a transformer out over parallelisms of the given sizes.
 *
 * @example designPlacements({ model: { layers: 28, hidden: 3584, heads: 28, kvHeads: 4, ffn: 18944, vocab: 152064 }, parallel: { dp: 4, tp: 2 }, batch: 8, sequence: 32768 })
 */
export function designPlacements(options: DesignOptions): PlacementDesign {
  const { dp = 1, cp = 1, tp = 1, pp = 1 } = options.parallel;
  for (const [name, size] of Object.entries({ dp, cp, tp, pp })) {
    if (Number.isInteger(size) && size >= 1) continue;
    throw new ShardbookError({
      code: 'SB_BAD_ARGUMENT',
      message: `Cannot design placements: the size of ${name} is ${size}, wanted a whole number from 1`,
    });
  }
  const shards = dp * cp;
  const parameters = parametersOf(options, shards, tp, pp);
  const bytes = options.bytes ?? 2;
  const numel = (shape: readonly number[]): number => shape.reduce((a, b) => a * b, 1);
  const stored = parameters.reduce((n, p) => n + p.count * numel(p.localShape), 0);
  /** What a rank computes with: cut by tp and pp, gathered over the shards. */
  const gathered = parameters.reduce(
    (n, p) => n + (p.count * numel(p.shape)) / (p.style === 'replicated' ? 1 : tp),
    0,
  );
  const memory = {
    parameters: stored * bytes,
    gradients: stored * bytes,
    optimizer: stored * (options.optimizerBytes ?? 12),
    activations: activationBytes(options, bytes),
  };
  return new PlacementDesign(
    options,
    dp * cp * tp * pp,
    parameters,
    batchOf(options, dp, cp),
    memory,
    trafficOf(options, gathered * bytes, bytes),
    adviceOf(options),
  );
}

function parametersOf(options: DesignOptions, shards: number, tp: number, pp: number): ParameterDesign[] {
  const { model } = options;
  const { hidden, ffn, vocab } = model;
  const kv = ((model.kvHeads ?? model.heads) * hidden) / model.heads;
  const layers = Math.ceil(model.layers / pp);
  // FSDP2 cuts dimension 0; where tp has cut it before, its part is a strided one.
  const colwise =
    tp > 1 && shards > 1 ? [StridedShard(0, tp), Shard(0)] : [shards > 1 ? Shard(0) : Replicate(), Shard(0)];
  const fsdp = shards > 1 ? Shard(0) : Replicate();
  const places: Readonly<Record<ParameterDesign['style'], readonly Placement[]>> = {
    colwise: tp > 1 ? colwise : [fsdp, Replicate()],
    rowwise: tp > 1 ? [fsdp, Shard(1)] : [fsdp, Replicate()],
    replicated: [fsdp, Replicate()],
  };
  const make = (
    name: string,
    count: number,
    shape: number[],
    style: ParameterDesign['style'],
  ): ParameterDesign => ({
    name,
    count,
    shape,
    style,
    placements: places[style],
    localShape: rangesAt(shape, [shards, tp], places[style], [0, 0]).map(lengthOf),
  });
  return [
    make('embedding', 1, [vocab, hidden], 'rowwise'),
    make('q', layers, [hidden, hidden], 'colwise'),
    make('k, v', 2 * layers, [kv, hidden], 'colwise'),
    make('attention output', layers, [hidden, hidden], 'rowwise'),
    make('mlp gate, up', 2 * layers, [ffn, hidden], 'colwise'),
    make('mlp down', layers, [hidden, ffn], 'rowwise'),
    make('norms', 2 * layers + 1, [hidden], 'replicated'),
    ...(model.tied ? [] : [make('head', 1, [vocab, hidden], 'colwise')]),
  ].map((p) => (p.name === 'embedding' && tp > 1 ? { ...p, ...cutRows(p, fsdp, shards, tp) } : p));
}

/** A vocabulary-parallel embedding is cut along its rows: `Shard(0)` of tp under FSDP's. */
function cutRows(
  p: ParameterDesign,
  fsdp: Placement,
  shards: number,
  tp: number,
): Pick<ParameterDesign, 'placements' | 'localShape'> {
  const placements = shards > 1 ? [StridedShard(0, tp), Shard(0)] : [fsdp, Shard(0)];
  return { placements, localShape: rangesAt(p.shape, [shards, tp], placements, [0, 0]).map(lengthOf) };
}

function batchOf(options: DesignOptions, dp: number, cp: number): PlacementDesign['batch'] {
  const shape = [options.batch, options.sequence, options.model.hidden];
  const placements = [dp > 1 ? Shard(0) : Replicate(), cp > 1 ? Shard(1) : Replicate()];
  return { shape, placements, localShape: rangesAt(shape, [dp, cp], placements, [0, 0]).map(lengthOf) };
}

/** Tokens that one rank computes on in a step. */
function localTokens({ batch, sequence, parallel: { dp = 1, cp = 1 } }: DesignOptions): number {
  return Math.ceil(batch / dp) * Math.ceil(sequence / cp);
}

/** 34 bytes per token, hidden value and layer at two bytes each, attention scores recomputed, cut by tp with sequence parallelism. */
function activationBytes(options: DesignOptions, bytes: number): number {
  const { tp = 1, pp = 1 } = options.parallel;
  const layers = Math.ceil(options.model.layers / pp);
  return (17 * bytes * localTokens(options) * options.model.hidden * layers) / tp;
}

function trafficOf(options: DesignOptions, gathered: number, bytes: number): TrafficDesign[] {
  const { model } = options;
  const { dp = 1, cp = 1, tp = 1, pp = 1 } = options.parallel;
  const out: TrafficDesign[] = [];
  const layers = Math.ceil(model.layers / pp);
  const tokens = localTokens(options);
  const shards = dp * cp;
  if (shards > 1)
    out.push({
      axis: cp > 1 && dp > 1 ? 'dp x cp' : dp > 1 ? 'dp' : 'cp',
      what: 'parameters gathered twice, gradients reduce-scattered',
      bytes: (3 * gathered * (shards - 1)) / shards,
      formula: `3 x ${shards - 1}/${shards} x parameters of a tp rank`,
    });
  if (tp > 1)
    out.push({
      axis: 'tp',
      what: 'activations: all-reduce after attention and MLP, forward and backward',
      bytes: (4 * layers * 2 * (tp - 1) * tokens * model.hidden * bytes) / tp,
      formula: `4 x layers x 2 x ${tp - 1}/${tp} x tokens x hidden x bytes`,
    });
  if (cp > 1) {
    const kv = ((model.kvHeads ?? model.heads) * model.hidden) / model.heads;
    out.push({
      axis: 'cp',
      what: 'keys and values round the ring, with their gradients in backward',
      bytes: (3 * layers * 2 * tokens * kv * bytes * (cp - 1)) / tp,
      formula: `3 x layers x 2 x tokens x kv size x bytes x ${cp - 1}${tp > 1 ? ` / ${tp}` : ''}`,
    });
  }
  if (pp > 1)
    out.push({
      axis: 'pp',
      what: 'activations to the next stage, gradients to the one before',
      bytes: 2 * tokens * model.hidden * bytes,
      formula: '2 x tokens x hidden x bytes',
    });
  return out;
}

/** Bytes that keys and values take round the ring in one layer's forward: what leaves each rank. */
export function ringBytes(options: {
  batch: number;
  sequence: number;
  /** Size of the keys of a token: heads of keys and values times the size of a head. */
  kvSize: number;
  cp: number;
  bytes: number;
}): number {
  const { batch, sequence, kvSize, cp, bytes } = options;
  return 2 * batch * Math.ceil(sequence / cp) * kvSize * bytes * (cp - 1);
}

function adviceOf({ model, parallel, batch, sequence }: DesignOptions): string[] {
  const { dp = 1, cp = 1, tp = 1, pp = 1 } = parallel;
  const out: string[] = [];
  const kvHeads = model.kvHeads ?? model.heads;
  if (model.heads % tp !== 0)
    out.push(`${model.heads} heads do not divide over tp=${tp}: each rank needs whole heads`);
  if (kvHeads % tp !== 0)
    out.push(`${kvHeads} heads of keys and values do not divide over tp=${tp}: they have to be repeated`);
  if (model.vocab % tp !== 0)
    out.push(
      `the vocabulary of ${model.vocab} is cut unevenly over tp=${tp}: pad it to ${Math.ceil(model.vocab / tp) * tp}`,
    );
  if (cp > 1 && sequence % (2 * cp) !== 0)
    out.push(
      `a sequence of ${sequence} does not divide by 2 x cp = ${2 * cp}: causal attention cannot be balanced head to tail`,
    );
  if (cp === 1 && sequence > 16384)
    out.push(`sequences of ${sequence} tokens: activations dominate, context parallelism cuts them`);
  if (batch % dp !== 0) out.push(`a batch of ${batch} does not divide over dp=${dp}`);
  if (batch < dp) out.push(`a batch of ${batch} leaves ${dp - batch} of ${dp} dp ranks without data`);
  if (model.layers % pp !== 0)
    out.push(`${model.layers} layers do not divide over pp=${pp}: stages differ in length`);
  if (tp > 8) out.push(`tp=${tp}: its all-reduces are on the critical path, keep it inside a node`);
  return out;
}
