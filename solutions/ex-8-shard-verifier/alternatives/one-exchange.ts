import { type DeviceMesh, DTensor, dist, type nn, type optim, type Tensor, torch } from 'shardbook';

type Check = 'uncovered' | 'types' | 'placements' | 'shapes' | 'values' | 'grads' | 'optimizer';
type Finding = { check: Check; name: string; ranks: number[]; reason: string };
type Own = { check: Check; name: string; reason: string };

const ORDER: readonly Check[] = [
  'uncovered',
  'types',
  'placements',
  'shapes',
  'values',
  'grads',
  'optimizer',
];

/** All checks look first, one exchange follows; rows are counted by hand. */
export class ShardVerifier {
  constructor(
    private model: nn.Module,
    private mesh: DeviceMesh,
    private reference: Readonly<Record<string, Tensor>>,
  ) {}

  checkUncovered = (): Finding[] => this.only('uncovered');
  checkTypes = (): Finding[] => this.only('types');
  checkPlacements = (): Finding[] => this.only('placements');
  checkShapes = (): Finding[] => this.only('shapes');
  checkValues = (): Finding[] => this.only('values');
  checkGrads = (): Finding[] => this.only('grads');
  checkOptimizerState = (optimizer: optim.Optimizer): Finding[] => this.only('optimizer', optimizer);

  report(optimizer?: optim.Optimizer) {
    const all = this.gather(this.own(optimizer));
    const findings: Finding[] = [];
    for (const check of ORDER) {
      const accused = new Set(findings.map(({ name }) => name));
      findings.push(...all.filter((finding) => finding.check === check && !accused.has(finding.name)));
    }
    const table = ['check | name | ranks | reason'];
    for (const { check, name, ranks, reason } of findings)
      table.push([check, name, ranks.join(' '), reason].join(' | '));
    const status: 0 | 1 = findings.length > 0 ? 1 : 0;
    return { findings, table: table.join('\n'), status };
  }

  private only(check: Check, optimizer?: optim.Optimizer): Finding[] {
    return this.gather(this.own(optimizer).filter((own) => own.check === check));
  }

  private own(optimizer?: optim.Optimizer): Own[] {
    const own: Own[] = [];
    const parameters = Object.fromEntries(this.model.namedParameters());
    for (const name of new Set([...Object.keys(parameters), ...Object.keys(this.reference)])) {
      const p = parameters[name];
      const whole = this.reference[name];
      if (p === undefined || whole === undefined) {
        own.push({ check: 'uncovered', name, reason: p === undefined ? 'gone' : 'nobody shards it' });
        continue;
      }
      const found = this.judge(p, whole);
      if (found !== undefined) own.push({ check: found[0], name, reason: found[1] });
      if (p.grad !== null) {
        const wrong = this.judge(p.grad, whole, true);
        if (wrong !== undefined) own.push({ check: 'grads', name, reason: wrong[1] });
      }
      const state = optimizer?.state.get(p);
      for (const key of ['exp_avg', 'exp_avg_sq', 'max_exp_avg_sq', 'momentum_buffer']) {
        const moments = state?.[key];
        if (!torch.isTensor(moments)) continue;
        const wrong = this.judge(moments, whole, true);
        if (wrong === undefined) continue;
        own.push({ check: 'optimizer', name, reason: `${key}: ${wrong[1]}` });
        break;
      }
    }
    return own;
  }

  private judge(t: Tensor, whole: Tensor, withoutValues = false): [Check, string] | undefined {
    if (!(t instanceof DTensor)) return ['types', 'it is not sharded'];
    if (!t.deviceMesh.equals(this.mesh)) return ['types', 'another mesh'];
    const texts = t.placements.map(String);
    if (texts.at(-1) !== 'S(0)' || (texts.length === 2 && texts[0] !== 'R'))
      return ['placements', `placed ${texts}`];
    const parts = this.mesh.shape.at(-1)!;
    const me = this.mesh.getCoordinate()!.at(-1)!;
    const rows = whole.shape[0]!;
    const most = Math.ceil(rows / parts);
    const from = Math.min(rows, me * most);
    const count = Math.min(most, rows - from);
    const local = t.toLocal();
    if (local.shape[0] !== count || local.shape.slice(1).join() !== whole.shape.slice(1).join())
      return ['shapes', `${local.shape[0]} rows where ${count} are due`];
    if (withoutValues || count === 0) return undefined;
    const same = whole.narrow(0, from, count).eq(local.detach()).all().item();
    return Number(same) === 1 ? undefined : ['values', `rows ${from} to ${from + count - 1} differ`];
  }

  private gather(own: Own[]): Finding[] {
    const all = Array.from({ length: dist.getWorldSize() }, (): unknown => undefined);
    dist.allGatherObject(all, own);
    const findings: Finding[] = [];
    for (const [rank, list] of (all as Own[][]).entries()) {
      for (const { check, name, reason } of list) {
        const known = findings.find((finding) => finding.check === check && finding.name === name);
        if (known === undefined) findings.push({ check, name, reason, ranks: [rank] });
        else known.ranks.push(rank);
      }
    }
    return findings;
  }
}
