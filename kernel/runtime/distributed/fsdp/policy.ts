/** What a user may choose for a `fullyShard` call besides the mesh. */
import { ShardbookError } from '../../base/index.js';
import { DType } from '../../tensor/index.js';

export interface MixedPrecisionOptions {
  /** Dtype of the unsharded parameters, so of computing and of the all-gather; null: the original. */
  paramDtype?: DType | null;
  /** Dtype of the gradient reduction and of what is accumulated without it; null: the dtype of computing. */
  reduceDtype?: DType | null;
  /** Floating outputs of each wrapped module are cast to it; null: as they are. */
  outputDtype?: DType | null;
  /** Cast floating inputs of each wrapped module to `paramDtype`; true unless told otherwise. */
  castForwardInputs?: boolean;
}

/** Which dtype is used where. Sharded parameters and gradients always keep the original dtype. */
export class MixedPrecisionPolicy {
  readonly paramDtype: DType | null;
  readonly reduceDtype: DType | null;
  readonly outputDtype: DType | null;
  readonly castForwardInputs: boolean;

  constructor(options: MixedPrecisionOptions = {}) {
    this.paramDtype = checked('paramDtype', options.paramDtype);
    this.reduceDtype = checked('reduceDtype', options.reduceDtype);
    this.outputDtype = checked('outputDtype', options.outputDtype);
    this.castForwardInputs = options.castForwardInputs ?? true;
  }
}

function checked(name: string, dtype: DType | null | undefined): DType | null {
  if (dtype === undefined || dtype === null) return null;
  if (dtype instanceof DType && dtype.isFloatingPoint) return dtype;
  throw new ShardbookError({
    code: 'SB_FSDP_POLICY',
    message: `Cannot make a MixedPrecisionPolicy: ${name} is ${dtype instanceof DType ? dtype.name : typeof dtype}, wanted a floating-point dtype`,
    help: 'pass a dtype such as torch.bfloat16',
  });
}

/** Keeps everything on the device. */
export class OffloadPolicy {}

/**
 * Keeps sharded parameters, gradients and optimizer state in host memory and moves them over for the all-gather and after the
 * reduce-scatter. Numbers are the same; the ledger and the virtual clock show the difference.
 */
export class CPUOffloadPolicy extends OffloadPolicy {
  readonly pinMemory: boolean;
  constructor(options: { pinMemory?: boolean } | boolean = {}) {
    super();
    this.pinMemory = typeof options === 'boolean' ? options : (options.pinMemory ?? true);
  }
}

/** Names the data-parallel axes of a mesh that has others as well. */
export class DataParallelMeshDims {
  readonly shardNames: readonly string[];
  readonly replicateNames: readonly string[];
  constructor(options: {
    shard?: string | readonly string[] | null;
    replicate?: string | readonly string[] | null;
  }) {
    this.shardNames = listOf(options.shard);
    this.replicateNames = listOf(options.replicate);
    if (this.shardNames.length + this.replicateNames.length === 0) {
      throw new ShardbookError({
        code: 'SB_FSDP_MESH',
        message: 'Cannot make DataParallelMeshDims: neither shard nor replicate is given',
        help: "pass the names of axes: { shard: 'dp' }",
      });
    }
  }
}

function listOf(names: string | readonly string[] | null | undefined): readonly string[] {
  if (names === undefined || names === null) return [];
  return typeof names === 'string' ? [names] : [...names];
}
