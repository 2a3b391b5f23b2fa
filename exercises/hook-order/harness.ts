import { nn, type Tensor, torch } from 'shardbook';

interface Submission {
  watch(model: nn.Sequential, log: string[]): { remove(): void } | Promise<{ remove(): void }>;
}

/** Two passes under watch, then one without. Marks of its own say what came between. */
export async function watched({ watch }: Submission, layers: number, requiresGrad: boolean) {
  torch.manualSeed(3);
  const model = new nn.Sequential(
    ...Array.from({ length: layers }, () => new nn.Linear(3, 3, { bias: false })),
  );
  const log = ['begin'];
  const handle = await watch(model, log);
  const weights = [...model.parameters()];
  for (const [i, weight] of weights.entries()) {
    weight.registerHook(() => {
      log.push(`computed ${i}`);
    });
  }
  const x = torch.arange(6, { dtype: torch.float32 }).reshape([2, 3]).requiresGrad_(requiresGrad);
  const outputs: Tensor[] = [];
  for (let pass = 0; pass < 3; pass++) {
    if (pass === 2) handle.remove();
    log.push(`pass ${pass}`);
    const y = model.call(x) as Tensor;
    outputs.push(y.detach());
    y.sum().backward();
  }
  return { log: log.map(String), outputs, grads: weights.map((weight) => weight.grad) };
}
