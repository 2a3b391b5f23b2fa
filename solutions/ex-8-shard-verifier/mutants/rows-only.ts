// fails: wrong in shapes, "does not say: shapes"
import {
  computeLocalShapeAndGlobalOffset,
  type DeviceMesh,
  DTensor,
  dist,
  type nn,
  type optim,
  type Placement,
  Replicate,
  Shard,
  type Tensor,
  torch,
} from 'shardbook';

export interface Finding {
  check: 'uncovered' | 'types' | 'placements' | 'shapes' | 'values' | 'grads' | 'optimizer';
  name: string;
  ranks: number[];
  reason: string;
}

/** Says what of a sharded model does not lie as it should. */
export class ShardVerifier {
  readonly #expected: Placement[];
  readonly #parameters: Map<string, Tensor>;
  /** Names that a report has a finding of; the same on all ranks. */
  readonly #accused = new Set<string>();

  constructor(
    readonly model: nn.Module,
    readonly mesh: DeviceMesh,
    readonly reference: Readonly<Record<string, Tensor>>,
  ) {
    this.#expected = mesh.ndim === 1 ? [new Shard(0)] : [new Replicate(), new Shard(0)];
    this.#parameters = new Map(model.namedParameters());
  }

  checkUncovered(): Finding[] {
    const missing = Object.keys(this.reference).filter((name) => !this.#parameters.has(name));
    const more = [...this.#parameters.keys()].filter((name) => !Object.hasOwn(this.reference, name));
    return this.#exchange('uncovered', [
      ...missing.map((name): [string, string] => [
        name,
        'the model has no such parameter, or under another name',
      ]),
      ...more.map((name): [string, string] => [name, 'it was not there when the model was sharded']),
    ]);
  }

  checkTypes(): Finding[] {
    return this.#look('types', (p) => {
      if (!(p instanceof DTensor)) return `a plain tensor of shape [${p.shape.join(', ')}]`;
      return p.deviceMesh.equals(this.mesh) ? undefined : 'it lies on another mesh';
    });
  }

  checkPlacements(): Finding[] {
    return this.#look('placements', (p) =>
      !(p instanceof DTensor) || this.#liesRight(p) ? undefined : `it lies as ${p.placements.join(', ')}`,
    );
  }

  checkShapes(): Finding[] {
    return this.#look('shapes', (p, name) => {
      if (!(p instanceof DTensor)) return undefined;
      const { shape } = this.#slice(name);
      const got = p.localTensor.shape;
      return got[0] === shape[0] ? undefined : `it holds [${got.join(', ')}], not [${shape.join(', ')}]`;
    });
  }

  checkValues(): Finding[] {
    return this.#look('values', (p, name) => {
      const { shape, offset } = this.#slice(name);
      if (!(p instanceof DTensor) || p.localTensor.shape.join() !== shape.join()) return undefined;
      let want = this.reference[name]!;
      for (const [dim, size] of shape.entries()) want = want.narrow(dim, offset[dim]!, size);
      return torch.equal(p.localTensor, want) ? undefined : 'its part differs from the reference';
    });
  }

  checkGrads(): Finding[] {
    return this.#look('grads', ({ grad }, name) => (grad === null ? undefined : this.#differs(grad, name)));
  }

  checkOptimizerState(optimizer: optim.Optimizer): Finding[] {
    return this.#look('optimizer', (p, name) => {
      const shapes = [this.reference[name]!.shape.join(), this.#slice(name).shape.join()];
      for (const [key, value] of Object.entries(optimizer.state.get(p) ?? {})) {
        if (!torch.isTensor(value) || !shapes.includes(value.shape.join())) continue;
        const problem = this.#differs(value, name);
        if (problem !== undefined) return `${key}: ${problem}`;
      }
      return undefined;
    });
  }

  report(optimizer?: optim.Optimizer): { findings: Finding[]; table: string; status: 0 | 1 } {
    const checks = [
      () => this.checkUncovered(),
      () => this.checkTypes(),
      () => this.checkPlacements(),
      () => this.checkShapes(),
      () => this.checkValues(),
      () => this.checkGrads(),
      () => (optimizer === undefined ? [] : this.checkOptimizerState(optimizer)),
    ];
    const findings = checks.flatMap((check) => {
      const found = check();
      for (const { name } of found) this.#accused.add(name);
      return found;
    });
    this.#accused.clear();
    const lines = findings.map(
      ({ check, name, ranks, reason }) => `${check}  ${name}  ranks ${ranks.join(', ')}: ${reason}`,
    );
    return { findings, table: lines.join('\n'), status: findings.length === 0 ? 0 : 1 };
  }

  /** This rank looks at its parameters; then all hear what all found. */
  #look(check: Finding['check'], judge: (p: Tensor, name: string) => string | undefined): Finding[] {
    const own: [string, string][] = [];
    for (const [name, p] of this.#parameters) {
      if (!Object.hasOwn(this.reference, name)) continue;
      const reason = judge(p, name);
      if (reason !== undefined) own.push([name, reason]);
    }
    return this.#exchange(check, own);
  }

  #exchange(check: Finding['check'], own: [string, string][]): Finding[] {
    const all: unknown[] = Array.from({ length: dist.getWorldSize() }, () => null);
    dist.allGatherObject(all, own);
    const findings = new Map<string, Finding>();
    for (const [rank, list] of (all as [string, string][][]).entries())
      for (const [name, reason] of list) {
        if (this.#accused.has(name)) continue;
        const finding = findings.get(name) ?? { check, name, ranks: [], reason };
        finding.ranks.push(rank);
        findings.set(name, finding);
      }
    return [...findings.values()];
  }

  #differs(t: Tensor, name: string): string | undefined {
    if (!(t instanceof DTensor)) return `a plain tensor of shape [${t.shape.join(', ')}]`;
    if (!t.deviceMesh.equals(this.mesh)) return 'it lies on another mesh';
    if (!this.#liesRight(t)) return `it lies as ${t.placements.join(', ')}`;
    return t.localTensor.shape.join() === this.#slice(name).shape.join()
      ? undefined
      : 'its part has another shape';
  }

  #liesRight({ placements }: DTensor): boolean {
    return placements.join() === this.#expected.join();
  }

  /** Which part of the reference this rank must hold. */
  #slice(name: string): { shape: readonly number[]; offset: readonly number[] } {
    return computeLocalShapeAndGlobalOffset(this.reference[name]!.shape, this.mesh, this.#expected);
  }
}
