/**
 * The first exercise, ready to run: a transformer of three layers trained with FSDP2 on a fixed batch.
 *
 *   shardbook run --nproc 4 lessons/scripts/train-transformer.ts            100 steps
 *   shardbook run --nproc 4 lessons/scripts/train-transformer.ts -- 10      10 steps
 *
 * Every rank prints its first and last loss. With 'json' as second argument rank 0 prints its times as one line of JSON, with
 * 'memory' the peak of the last step beside the planner's.
 */
import {
  dist,
  F,
  fullyShard,
  initDeviceMesh,
  MemoryLedger,
  nn,
  optim,
  type Tensor,
  torch,
  transformerStepPlan,
} from 'shardbook';

const VOCABULARY = 10_000;
const [steps = '100', form = 'text'] = process.argv.slice(2);

class Transformer extends nn.Module {
  tok = new nn.Embedding(VOCABULARY, 512);
  pos = new nn.Embedding(1024, 512);
  layers = new nn.ModuleList(
    Array.from(
      { length: 3 },
      () => new nn.TransformerEncoderLayer(512, 8, { dimFeedforward: 2048, dropout: 0, batchFirst: true }),
    ),
  );
  out = new nn.Linear(512, VOCABULARY);

  forward(ids: Tensor): Tensor {
    let x: Tensor = this.tok(ids).add(this.pos(torch.arange(ids.shape[1]!)));
    for (const layer of this.layers) x = layer(x);
    return this.out(x);
  }
}

const started = performance.now();
const mesh = initDeviceMesh([dist.getWorldSize()]);
torch.manualSeed(0);
const model = new Transformer();
for (const layer of model.layers) fullyShard(layer, { mesh });
fullyShard(model, { mesh });
const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });

// Each rank its own batch, the same in every step.
torch.manualSeed(100 + dist.getRank());
const ids = torch.randint(0, VOCABULARY, [4, 128]);
const targets = torch.randint(0, VOCABULARY, [4, 128]);

const ledger = new MemoryLedger({ rank: dist.getRank() });
const losses: number[] = [];
const seconds: number[] = [];
for (let step = 0; step < Number(steps); step++) {
  if (form === 'memory' && step === Number(steps) - 1) {
    ledger.track(model).track(optimizer).start();
    ledger.resetPeak();
  }
  const begin = performance.now();
  const loss = F.crossEntropy(model(ids).view([-1, VOCABULARY]), targets.view([-1]));
  loss.backward();
  optimizer.step();
  optimizer.zeroGrad();
  losses.push(loss.item());
  seconds.push((performance.now() - begin) / 1000);
  if (form === 'text' && dist.getRank() === 0 && (step + 1) % 10 === 0)
    console.log(
      `step ${step + 1} of ${steps}: loss ${losses[step]!.toFixed(4)}, ${seconds[step]!.toFixed(2)} s`,
    );
}

ledger.stop();
if (form === 'memory') {
  const plan = transformerStepPlan({
    world: dist.getWorldSize(),
    batch: 4,
    seq: 128,
    vocab: VOCABULARY,
    width: 512,
    heads: 8,
    ffn: 2048,
    layers: 3,
    positions: 1024,
  });
  const { bytes, at } = ledger.peak;
  if (dist.getRank() === 0)
    console.log(JSON.stringify({ measured: bytes, at, planned: plan.peak, ratio: bytes / plan.peak }));
} else if (form === 'json') {
  if (dist.getRank() === 0) {
    const median = [...seconds].sort((a, b) => a - b)[Math.floor(seconds.length / 2)];
    console.log(
      JSON.stringify({ secondsPerStep: median, seconds: (performance.now() - started) / 1000, losses }),
    );
  }
} else {
  console.log(
    `loss ${losses[0]!.toFixed(4)} in the first step, ${losses.at(-1)!.toFixed(4)} in step ${steps}`,
  );
}
