/** The simulator against closed forms, which know nothing of it, and against figures worked out by hand. */
import { describe, expect, it } from 'vitest';
import { MemoryLedger, nn, optim, type Tensor, torch } from '../index.js';
import {
  ALGORITHMS,
  type Algorithm,
  bytesSent,
  Cluster,
  type CollectiveKind,
  collectiveSeconds,
  fastestAlgorithm,
  formulas,
  RankProgram,
  type SimulationResult,
  simulate,
} from './index.js';

const ALPHA = 3e-6;
const BANDWIDTH = 25e9;

/** One tier: every rank a link of its own. */
function flat(ranks: number, alpha = ALPHA, bandwidth = BANDWIDTH): Cluster {
  return new Cluster({
    ranks,
    device: { flopsPerSecond: 1e12, memoryBytes: 1e9, memoryBytesPerSecond: 1e12 },
    tiers: [{ name: 'link', ranks, latencySeconds: alpha, bytesPerSecond: bandwidth }],
  });
}

const all = (n: number): number[] => Array.from({ length: n }, (_, i) => i);

function programs(n: number, write: (program: RankProgram, rank: number) => void): RankProgram[] {
  return all(n).map((rank) => {
    const program = new RankProgram(rank, n);
    write(program, rank);
    return program;
  });
}

function timeOf(n: number, op: CollectiveKind, bytes: number, algorithm: Algorithm): number {
  const run = programs(n, (p) => void p.collective(op, bytes, { algorithm }));
  return simulate(flat(n), run).makespan;
}

describe('collectives', () => {
  const cases: [CollectiveKind, Algorithm, formulas.TimedAlgorithm][] = [
    ['allReduce', 'ring', 'ringAllReduce'],
    ['allReduce', 'recursiveDoubling', 'recursiveDoublingAllReduce'],
    ['allReduce', 'halvingDoubling', 'halvingDoublingAllReduce'],
    ['allReduce', 'naive', 'naiveAllReduce'],
    ['allGather', 'ring', 'ringAllGather'],
    ['reduceScatter', 'ring', 'ringReduceScatter'],
    ['broadcast', 'binomial', 'binomialBroadcast'],
    ['allToAll', 'pairwise', 'allToAll'],
  ];
  it.each(cases)('%s as %s takes as long as the closed form says', (op, algorithm, form) => {
    for (const world of [2, 3, 4, 7, 8, 16]) {
      if (/oubling/.test(algorithm) && (world & (world - 1)) !== 0) continue;
      for (const size of [1, 4096, 64e6]) {
        const expected = formulas.collectiveTime({
          algorithm: form,
          size,
          world,
          alpha: ALPHA,
          bandwidth: BANDWIDTH,
        });
        expect(timeOf(world, op, size, algorithm) / expected).toBeCloseTo(1, 9);
      }
    }
  });

  it('a double tree has the latency of the closed form, and its bandwidth on many ranks', () => {
    const form = (world: number, size: number): number =>
      formulas.collectiveTime({
        algorithm: 'treeAllReduce',
        size,
        world,
        alpha: ALPHA,
        bandwidth: BANDWIDTH,
      });
    for (const world of [8, 16, 64]) {
      expect(timeOf(world, 'allReduce', 0, 'tree')).toBeCloseTo(form(world, 0), 12);
      expect(timeOf(world, 'allReduce', 64e6, 'tree') / form(world, 64e6)).toBeCloseTo(1, 9);
    }
  });

  it('a hierarchical all-reduce is the sum of its levels, and better than a flat ring across slow links', () => {
    const [nodes, perNode, size] = [4, 8, 256e6];
    const cluster = Cluster.preset('h100', { nodes });
    const [inside, across] = cluster.spec.tiers;
    const expected = formulas.hierarchicalAllReduceTime({
      size,
      nodes,
      perNode,
      alphaIn: inside!.latencySeconds,
      bandwidthIn: inside!.bytesPerSecond,
      alphaOut: across!.latencySeconds,
      bandwidthOut: across!.bytesPerSecond,
    });
    const spec = { kind: 'allReduce', ranks: all(32), bytes: size } as const;
    expect(collectiveSeconds(cluster, spec, 'hierarchical')).toBeCloseTo(expected.total, 12);
    expect(collectiveSeconds(cluster, spec, 'ring')).toBeCloseTo(expected.flat, 12);
    expect(fastestAlgorithm(cluster, spec)).toBe('hierarchical');
  });

  it('bytes sent are those of the closed forms', () => {
    for (const world of [2, 4, 8]) {
      for (const kind of ['allReduce', 'allGather', 'reduceScatter', 'allToAll'] as const) {
        const expected = formulas.collectiveBytes(kind, 8000, world);
        for (const algorithm of ALGORITHMS[kind]) {
          if (!['ring', 'halvingDoubling', 'direct', 'pairwise'].includes(algorithm)) continue;
          const sent = bytesSent({ kind, ranks: all(world), bytes: 8000 }, algorithm);
          for (const bytes of sent) expect(bytes).toBeCloseTo(expected, 6);
        }
      }
      const gathered = bytesSent({ kind: 'gather', ranks: all(world), bytes: 100 }, 'direct');
      expect(gathered.reduce((a, b) => a + b)).toBe(formulas.collectiveBytes('gather', 100, world));
    }
  });

  it('"auto" takes the tree for small and the ring for large messages, about where the closed form crosses', () => {
    const cluster = flat(16);
    const crossing = formulas.ringTreeCrossover(16, { alpha: ALPHA, bandwidth: BANDWIDTH });
    const faster = (bytes: number): boolean => {
      const spec = { kind: 'allReduce', ranks: all(16), bytes } as const;
      return collectiveSeconds(cluster, spec, 'tree') < collectiveSeconds(cluster, spec, 'ring');
    };
    expect(faster(crossing * 0.99)).toBe(true);
    expect(faster(crossing * 1.01)).toBe(false);
  });

  it('refuses what an algorithm cannot do', () => {
    expect(() => timeOf(6, 'allReduce', 8, 'halvingDoubling')).toThrow('wanted a power of two');
    expect(() => timeOf(4, 'broadcast', 8, 'halvingDoubling')).toThrow(
      'wanted one of binomial, ring, direct',
    );
  });
});

describe('overlap', () => {
  it('prefetched gathers hide as the closed form says, at every depth', () => {
    const compute = [100, 60, 130, 80, 90];
    const gather = [50, 110, 70, 20, 95];
    for (const depth of [0, 1, 2, 3]) {
      const [program] = programs(1, (p) => {
        compute.forEach((c, i) => {
          if (i - 1 - depth >= 0) p.waitEvent(`computed ${i - 1 - depth}`, 'gather');
          const gathered = p.compute(gather[i]!, { stream: 'gather', label: 'gather' });
          p.wait(gathered);
          p.compute(c);
          p.record(`computed ${i}`);
        });
      });
      const expected = formulas.forwardOverlap(compute, gather, depth);
      expect(simulate(flat(1), [program!]).makespan).toBe(expected.total);
    }
  });

  it('gradient buckets hide behind backward as the closed form says', () => {
    const sizes = [40e6, 10e6, 30e6, 25e6, 5e6];
    const compute = [2e-3, 1e-3, 4e-3, 1e-3, 3e-3];
    const o = { sizes, compute, cap: 35e6, firstCap: 30e6, alpha: 0, bandwidth: 1 };
    const { buckets } = formulas.bucketOverlap(o);
    const world = 4;
    const run = programs(world, (p) => {
      let at = 0;
      for (const bucket of buckets) {
        for (const i of bucket) p.compute(compute[i]!);
        const bytes = bucket.reduce((sum, i) => sum + sizes[i]!, 0);
        p.collective('allReduce', bytes, { asyncOp: true, label: `bucket ${at++}` });
      }
    });
    // A ring of 4 ranks moves 1.5 bytes per byte at the link's speed and has 6 rounds.
    const expected = formulas.bucketOverlap({ ...o, alpha: 6 * ALPHA, bandwidth: BANDWIDTH / 1.5 });
    expect(simulate(flat(world), run).makespan).toBeCloseTo(expected.end, 9);
  });

  it('pipelines take the time of the closed form, with sending', () => {
    for (const [schedule, virtual] of [
      ['gpipe', 1],
      ['1f1b', 1],
      ['interleaved', 2],
    ] as const) {
      const o = { schedule, stages: 4, microBatches: 8, virtual };
      for (const send of [0, 0.25]) {
        const result = simulate(flat(4, send), pipeline(o));
        expect(result.makespan).toBeCloseTo(formulas.pipelineTime({ ...o, send }).total, 9);
        if (send === 0 && virtual === 1) {
          expect(1 - result.summary(0).compute / result.makespan).toBeCloseTo(
            formulas.pipelineBubble(o).share,
            9,
          );
        }
      }
    }
  });

  it('ring attention hides its hops as the closed form says', () => {
    const [cp, compute, hop] = [4, 5e-3, 3e-3];
    const cluster = flat(cp, 0, 1e9);
    const run = programs(cp, (p, rank) => {
      for (let i = 0; i < cp; i++) {
        const last = i === cp - 1;
        const next = last ? -1 : p.send((rank + 1) % cp, hop * 1e9, { asyncOp: true });
        const got = last ? -1 : p.recv((rank + cp - 1) % cp, hop * 1e9, { asyncOp: true });
        p.compute(compute);
        if (!last) for (const item of [next, got]) p.wait(item);
      }
    });
    expect(simulate(cluster, run).makespan).toBeCloseTo(formulas.ringOverlap(cp, compute, hop).overlapped, 9);
  });
});

/** The programs of a schedule: forward 1, backward 2, halved by two chunks; messages of no bytes. */
function pipeline(o: Required<formulas.PipelineOptions>): RankProgram[] {
  const { stages: p, virtual: v } = o;
  const last = p * v - 1;
  const order = formulas.pipelineOrder(o);
  return programs(p, (program, rank) => {
    for (const [kind, batch, chunk] of order[rank]!) {
      const stage = chunk * p + rank;
      const [from, to] = kind === 'F' ? [stage - 1, stage + 1] : [stage + 1, stage - 1];
      if (from >= 0 && from <= last)
        program.recv(from % p, 0, {
          tag: `${kind} ${batch} ${stage}`,
          stream: `in ${kind} ${batch} ${stage}`,
          independent: true,
        });
      program.compute((kind === 'F' ? 1 : 2) / v, { label: `${kind}${batch}` });
      if (to >= 0 && to <= last)
        program.send(to % p, 0, {
          tag: `${kind} ${batch} ${to}`,
          stream: `out ${kind} ${batch} ${stage}`,
          asyncOp: true,
        });
    }
  });
}

describe('contention', () => {
  it('two transfers on one port take twice as long, on two ports they do not', () => {
    const bytes = 25e9;
    const cluster = flat(4, 0);
    const send = (pairs: [number, number][]): SimulationResult =>
      simulate(
        cluster,
        programs(4, (p, rank) => {
          pairs.forEach(([from, to], tag) => {
            if (from === rank) p.send(to, bytes, { tag, stream: `s${tag}`, asyncOp: true });
            if (to === rank) p.recv(from, bytes, { tag, stream: `r${tag}`, asyncOp: true });
          });
        }),
      );
    expect(
      send([
        [0, 1],
        [2, 3],
      ]).makespan,
    ).toBeCloseTo(1, 9);
    expect(
      send([
        [0, 1],
        [2, 1],
      ]).makespan,
    ).toBeCloseTo(2, 9);
    expect(
      send([
        [0, 1],
        [1, 0],
      ]).makespan,
    ).toBeCloseTo(1, 9);
    // 0 to 2 shares its port with 0 to 1 only; max-min gives both half, and 3 to 1 the other half of 1's port.
    expect(
      send([
        [0, 1],
        [0, 2],
        [3, 1],
      ]).makespan,
    ).toBeCloseTo(2, 9);
  });

  it('a node with one network card shares it among its devices', () => {
    const spec = Cluster.preset('pcie', { nodes: 2 }).spec;
    const [, card] = spec.tiers;
    const run = programs(8, (p, rank) => {
      if (rank < 4) p.send(rank + 4, card!.bytesPerSecond);
      else p.recv(rank - 4, card!.bytesPerSecond);
    });
    expect(simulate(new Cluster(spec), run).makespan).toBeCloseTo(4 + card!.latencySeconds, 6);
    const own = { ...spec, tiers: [spec.tiers[0]!, { ...card!, devicesPerPort: 1 }] };
    expect(simulate(new Cluster(own), run).makespan).toBeCloseTo(1 + card!.latencySeconds, 6);
  });

  it('placement decides which links a group uses', () => {
    const cluster = Cluster.preset('h100', { nodes: 2, ranksPerNode: 4 });
    const spec = { kind: 'allReduce', ranks: [0, 1, 2, 3], bytes: 1e9 } as const;
    const apart = cluster.placed([0, 4, 1, 5, 2, 6, 3, 7]);
    const ratio = collectiveSeconds(apart, spec) / collectiveSeconds(cluster, spec);
    expect(ratio).toBeCloseTo(9, 0);
    expect(apart.nodeOf(1)).toBe(1);
  });
});

describe('simulate()', () => {
  it('gives the same times on every run, whatever the order of the programs', () => {
    const make = (): RankProgram[] =>
      programs(8, (p, rank) => {
        for (let i = 0; i < 20; i++) {
          p.compute(1e-4 * (1 + ((rank * 7 + i * 3) % 5)));
          p.collective('allReduce', 1e6 * (i + 1), {
            asyncOp: i % 2 === 0,
            group: i % 3 ? 'world' : 'other',
          });
        }
      });
    const spans = (run: RankProgram[]): string => JSON.stringify(simulate(flat(8), run).spans);
    expect(spans(make())).toBe(spans(make()));
    expect(simulate(flat(8), make().reverse()).makespan).toBe(simulate(flat(8), make()).makespan);
  });

  it('times compute by FLOPs or by memory traffic, whichever is longer, and by dtype and rank', () => {
    const cluster = new Cluster({
      ...Cluster.preset('h100').spec,
      speed: { 1: 0.5 },
    });
    expect(cluster.computeSeconds(0, 989e12, 0, 'bfloat16')).toBeCloseTo(1, 12);
    expect(cluster.computeSeconds(1, 989e12, 0, 'bfloat16')).toBeCloseTo(2, 12);
    expect(cluster.computeSeconds(0, 67e12, 0, 'float32')).toBeCloseTo(1, 12);
    expect(cluster.computeSeconds(0, 1, 3.35e12)).toBeCloseTo(1, 12);
  });

  it('1,024 ranks are no matter', () => {
    const cluster = Cluster.preset('h100', { nodes: 128 });
    const run = programs(1024, (p, rank) => {
      const node = Math.floor(rank / 8);
      for (let layer = 0; layer < 4; layer++) {
        p.compute({ flops: 1e12, dtype: 'bfloat16' });
        p.collective('allReduce', 1e8, {
          group: `tp ${node}`,
          ranks: all(8).map((i) => node * 8 + i),
        });
      }
      p.collective('allReduce', 1e9, { algorithm: 'hierarchical' });
    });
    const { makespan } = simulate(cluster, run);
    const layers =
      4 * (1e12 / 989e12 + collectiveSeconds(cluster, { kind: 'allReduce', ranks: all(8), bytes: 1e8 }));
    const end = collectiveSeconds(
      cluster,
      { kind: 'allReduce', ranks: all(1024), bytes: 1e9 },
      'hierarchical',
    );
    expect(makespan).toBeCloseTo(layers + end, 9);
  });

  it('names who does not come, who differs and who waits in a circle', () => {
    const simulated = (write: (p: RankProgram, rank: number) => void) => () =>
      simulate(flat(2), programs(2, write));
    expect(simulated((p, r) => r === 0 && void p.collective('barrier', 0))).toThrow('rank 1 did not call it');
    expect(simulated((p, r) => void p.collective(r ? 'barrier' : 'allReduce', 4))).toThrow(
      'is barrier on rank 1 and allReduce on others',
    );
    expect(simulated((p, r) => r === 0 && void p.send(1, 4))).toThrow('rank 1 does not receive it');
    expect(
      simulated((p, r) => {
        p.recv(1 - r, 4);
        p.send(1 - r, 4);
      }),
    ).toThrow('wait for each other in a circle');
    expect(() => Cluster.preset('h10')).toThrow('did you mean "h100"');
  });
});

describe('memory', () => {
  it('a ledger of a real training step has the closed form of the model state', () => {
    const model = new nn.Sequential(new nn.Linear(24, 48), new nn.Linear(48, 12));
    const params = model.parameters().reduce((sum, p) => sum + p.numel(), 0);
    const optimizer = new optim.AdamW(model.parameters());
    const ledger = new MemoryLedger().track(model).track(optimizer);
    ledger.run(() => {
      const out = model.call(torch.ones([4, 24])) as Tensor;
      out.sum().backward();
      optimizer.step();
    });
    const {
      param,
      grad,
      optim: moments,
    } = formulas.modelState({
      params,
      world: 1,
      strategy: 'ddp',
      param: 'float32',
      grad: 'float32',
      master: null,
    });
    const { Parameter, Gradient, Optstate } = ledger.categories;
    expect([Parameter, Gradient]).toEqual([param, grad]);
    // One step counter per parameter besides the moments.
    expect(Optstate! - moments).toBeLessThanOrEqual(4 * 8);
  });
});
