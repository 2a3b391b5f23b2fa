/**
 * The most memory that a step of a fully sharded transformer takes on a rank, in closed form: what this runtime keeps, tensor
 * by tensor. The ledger measures the same by running it.
 *
 * The model: embedding of tokens and of learned positions, encoder layers (norm after, ReLU, no dropout), a head with bias;
 * a group per layer and the root's; mean cross entropy; Adam.
 */

export interface TransformerStep {
  world: number;
  /** Of this rank. */
  batch: number;
  seq: number;
  vocab: number;
  width: number;
  heads: number;
  ffn: number;
  layers: number;
  positions: number;
  /** Moments of the optimizer; default 2. */
  moments?: number;
  /** Keep whole layers after forward. */
  reshardAfterForward?: boolean;
}

/** Bytes by what they are, and their peak. */
export interface TransformerStepPlan {
  /** Bytes of padded shards and of the optimizer's moments. */
  state: number;
  /** Bytes of the root's whole parameters, and of a layer's. */
  root: number;
  layer: number;
  activations: number;
  /** Bytes alive at each candidate for the peak. */
  moments: Readonly<Record<string, number>>;
  peak: number;
}

const BYTES = 4;
const INDEX = 8;

type Shape = readonly [rows: number, rest: number];

/** The peak memory of one training step of a transformer under FSDP, in closed form. */
export function transformerStepPlan(o: TransformerStep): TransformerStepPlan {
  const { world, width: d, ffn: f, layers, vocab: v, heads } = o;
  const layerShapes: Shape[] = [
    [3 * d, d],
    [3 * d, 1],
    [d, d],
    [d, 1],
    [f, d],
    [f, 1],
    [d, f],
    [d, 1],
    [d, 1],
    [d, 1],
    [d, 1],
    [d, 1],
  ];
  const rootShapes: Shape[] = [
    [v, d],
    [o.positions, d],
    [v, d],
    [v, 1],
  ];
  const piece = (shapes: readonly Shape[]): number =>
    shapes.reduce((sum, [rows, rest]) => sum + Math.ceil(rows / world) * rest, 0) * BYTES;
  const [layerPiece, rootPiece] = [piece(layerShapes), piece(rootShapes)];
  const parameters = layers * layerShapes.length + rootShapes.length;
  // Each parameter has a step count of its own beside the moments.
  const state = (1 + (o.moments ?? 2)) * (layers * layerPiece + rootPiece) + BYTES * parameters;
  const [layer, root] = [world * layerPiece, world * rootPiece];
  const tokens = o.batch * o.seq;
  const perLayer = BYTES * (9 * tokens * d + tokens * f + o.batch * heads * o.seq + 4 * tokens);
  const inputs = INDEX * (tokens + o.seq);
  const activations = layers * perLayer + BYTES * tokens * d + inputs;
  const logits = BYTES * tokens * v;
  const kept = o.reshardAfterForward === false ? layers * layer : 0;
  const floats = (n: number): number => BYTES * n;
  const headGrads = floats(v * d + v);
  const rootGrads = floats(2 * v * d + v + o.positions * d);
  const layerGrads = floats(layerShapes.reduce((sum, [rows, rest]) => sum + rows * rest, 0));
  // The layer before is on its way while the last one computes backward.
  const coming = kept > 0 || layers === 1 ? 0 : layer;
  const own = kept > 0 ? 0 : layer;
  const moments = {
    // Log-probabilities, their gradient and the logits'.
    'softmax backward': state + root + kept + activations + 3 * logits,
    // In the last layer's MLP: gradients of the second matrix, of its bias and norm, of the hidden rows before and after.
    'relu backward':
      state +
      root +
      kept +
      headGrads +
      own +
      coming +
      floats(d * f + 3 * d + 2 * tokens * f + tokens * d) +
      activations -
      floats(2 * tokens * d + 2 * tokens),
    ...inner(),
    // The first layer's reduction is under way while the token table's gradient is computed.
    'embedding backward':
      state +
      root +
      headGrads +
      floats(o.positions * d + v * d + tokens * d) +
      layer +
      layers * layerPiece +
      INDEX * tokens,
    // All gradients of the root and their flat buffer; the layers' are shards by now.
    'root reduced': state + rootGrads + root + layers * layerPiece,
  };
  /** With `done` layers behind it in backward, the last of which is still being reduced. */
  function inner(): Record<string, number> {
    const found: Record<string, number> = {};
    for (let done = 0; done < layers; done++) {
      const reducing = done === 0 ? 0 : layer + layerPiece;
      const base = state + root + kept + headGrads + reducing + Math.max(0, done - 1) * layerPiece;
      const left = activations - done * perLayer - floats(tokens * d);
      const next = kept > 0 || done === layers - 1 ? 0 : layer;
      // Its own gradients are nearly all there, the next layer is on its way.
      found[`attention backward, layer ${layers - 1 - done}`] =
        base + own + next + layerGrads + floats(5 * tokens * d) + left - perLayer;
      // Its gathered parameters are copied out of the flat buffer.
      if (done > 0 && kept === 0)
        found[`gathered again, layer ${layers - 1 - done}`] = base + 2 * layer + left + floats(tokens * d);
    }
    return found;
  }
  return { state, root, layer, activations, moments, peak: Math.max(...Object.values(moments)) };
}
