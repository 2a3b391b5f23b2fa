/** The model of the first exercise on one rank: a step of training, timed beside PyTorch's (`torch_peer.py step`). */
import { F, nn, optim, type Tensor, torch } from '../runtime/index.js';

const [VOCABULARY, WIDTH, HEADS, LAYERS, HIDDEN, POSITIONS] = [10_000, 512, 8, 3, 2048, 1024];
const [BATCH, LENGTH] = [4, 128];

class Transformer extends nn.Module {
  tok = new nn.Embedding(VOCABULARY, WIDTH);
  pos = new nn.Embedding(POSITIONS, WIDTH);
  layers = new nn.ModuleList(
    Array.from(
      { length: LAYERS },
      () => new nn.TransformerEncoderLayer(WIDTH, HEADS, HIDDEN, { dropout: 0, batchFirst: true }),
    ),
  );
  out = new nn.Linear(WIDTH, VOCABULARY);

  forward(ids: Tensor): Tensor {
    let x: Tensor = this.tok(ids).add(this.pos(torch.arange(ids.shape[1]!)));
    for (const layer of this.layers) x = (layer as nn.TransformerEncoderLayer)(x);
    return this.out(x);
  }
}

/** One step on a fixed batch, to be called again and again; returns the loss. */
export function trainingStep(): () => number {
  torch.manualSeed(0);
  const model = new Transformer();
  const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-4 });
  const ids = torch.randint(0, VOCABULARY, [BATCH, LENGTH]);
  const targets = torch.randint(0, VOCABULARY, [BATCH, LENGTH]);
  return () => {
    const loss = F.crossEntropy(model.forward(ids).view(-1, VOCABULARY), targets.view(-1));
    loss.backward();
    optimizer.step();
    optimizer.zeroGrad();
    return loss.item() as number;
  };
}
