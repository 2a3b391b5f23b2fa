import { AutogradFunction, dist, type FunctionContext, type Tensor } from 'shardbook';

// Each layer as one function, with all of its backward written out.

function flat(t: Tensor): Tensor {
  const rows = t.shape.slice(0, -1).reduce((product, size) => product * size, 1);
  return t.reshape([rows, t.shape[t.shape.length - 1]!]);
}

/** Gradients of weight and bias; they are of this rank's features alone. */
function ownGradients(ctx: FunctionContext, x: Tensor, grad: Tensor): (Tensor | null)[] {
  const [, weight, bias] = ctx.needsInputGrad;
  return [weight ? flat(grad).transpose(0, 1).matmul(flat(x)) : null, bias ? flat(grad).sum(0) : null];
}

class Columns extends AutogradFunction {
  static override forward(ctx: FunctionContext, x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
    ctx.saveForBackward(x, weight);
    const y = x.matmul(weight.transpose(0, 1));
    return bias === null ? y : y.add(bias);
  }
  static override backward(ctx: FunctionContext, grad: Tensor): (Tensor | null)[] {
    const [x, weight] = ctx.savedTensors as [Tensor, Tensor];
    let gradX: Tensor | null = null;
    if (ctx.needsInputGrad[0]) {
      gradX = grad.matmul(weight).contiguous();
      dist.allReduce(gradX);
    }
    return [gradX, ...ownGradients(ctx, x, grad)];
  }
}

class Rows extends AutogradFunction {
  static override forward(ctx: FunctionContext, x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
    ctx.saveForBackward(x, weight);
    const y = x.matmul(weight.transpose(0, 1)).contiguous();
    dist.allReduce(y);
    return bias === null ? y : y.add(bias);
  }
  static override backward(ctx: FunctionContext, grad: Tensor): (Tensor | null)[] {
    const [x, weight] = ctx.savedTensors as [Tensor, Tensor];
    return [ctx.needsInputGrad[0] ? grad.matmul(weight) : null, ...ownGradients(ctx, x, grad)];
  }
}

export function columnParallel(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  return Columns.apply(x, weight, bias) as Tensor;
}

export function rowParallel(x: Tensor, weight: Tensor, bias: Tensor | null): Tensor {
  return Rows.apply(x, weight, bias) as Tensor;
}
