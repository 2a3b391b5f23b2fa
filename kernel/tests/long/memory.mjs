/**
 * A synchronous loop of 10,000 steps keeps a flat memory profile: no event loop turns, so nothing but the garbage collector
 * can free tensors. Every loop runs in a process of its own. Prints one line per check and closes with `N passed, N failed`.
 */
import { spawnSync } from 'node:child_process';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = join(dirname(fileURLToPath(import.meta.url)), '..', '..', '..');
const STEPS = 10_000;
const MIB = 2 ** 20;
const mib = (bytes) => Math.round(bytes / MIB);

/** What a step does; `bytes` is what it allocates, so that a leak of one tensor a step cannot hide. */
const LOOPS = {
  'elementwise operations on 512 KiB': {
    setup: ({ torch }) => {
      const x = torch.randn([128 * 1024]);
      return () => x.mul(2).add(1).relu().sum();
    },
    limitMib: 256,
  },
  'training steps with AdamW': {
    setup: ({ torch, nn, F, optim }) => {
      torch.manualSeed(0);
      const model = new nn.Sequential(
        new nn.Linear(64, 256),
        new nn.GELU(),
        new nn.LayerNorm(256),
        new nn.Linear(256, 32),
      );
      const optimizer = new optim.AdamW(model.parameters(), { lr: 1e-3 });
      const [x, y] = [torch.randn([32, 64]), torch.randint(0, 32, [32])];
      return () => {
        F.crossEntropy(model(x), y).backward();
        optimizer.step();
        optimizer.zeroGrad();
      };
    },
    limitMib: 256,
  },
  'attention and its gradient': {
    setup: ({ torch, F }) => {
      const [q, k, v] = [0, 1, 2].map(() => torch.randn([1, 2, 32, 32]).requiresGrad_());
      return () => {
        q.grad = k.grad = v.grad = null;
        F.scaledDotProductAttention(q, k, v, { isCausal: true }).sum().backward();
      };
    },
    limitMib: 256,
  },
  'gradients that nobody asks for': {
    setup: ({ torch }) => {
      const w = torch.randn([256, 256]).requiresGrad_();
      const x = torch.randn([16, 256]);
      return () => x.matmul(w).tanh().get(0).sum();
    },
    limitMib: 256,
  },
};

/** In the child: runs one loop and prints the resident size over its course as JSON. */
async function measure(name) {
  const runtime = await import(pathToFileURL(join(root, 'dist', 'index.js')).href);
  const step = LOOPS[name].setup(runtime);
  const base = process.memoryUsage().rss;
  const samples = [];
  for (let i = 1; i <= STEPS; i++) {
    step();
    if (i % 100 === 0) samples.push(process.memoryUsage().rss);
  }
  process.stdout.write(JSON.stringify({ base, samples }));
}

function judge(name) {
  const child = spawnSync(process.execPath, [fileURLToPath(import.meta.url), name], {
    encoding: 'utf8',
    timeout: 300_000,
  });
  if (child.status !== 0)
    return `exit code ${child.status ?? child.signal}: ${child.stderr.trim().split('\n').at(-1)}`;
  const { base, samples } = JSON.parse(child.stdout);
  const peak = (part) => Math.max(...part);
  // The first fifth is warming up: compiled code, the collector's young generation finding its size.
  const early = peak(samples.slice(samples.length / 5, (3 * samples.length) / 5));
  const late = peak(samples.slice((3 * samples.length) / 5));
  const report = `base ${mib(base)}, peak ${mib(peak(samples))}, steps 2,000-6,000 ${mib(early)}, 6,000-10,000 ${mib(late)} MiB`;
  if (late > early + 32 * MIB) return `grows: ${report}`;
  const limit = LOOPS[name].limitMib;
  if (peak(samples) > base + limit * MIB) return `more than ${limit} MiB above the start: ${report}`;
  process.stdout.write(`ok    ${name}: ${report}\n`);
  return undefined;
}

const [, , wanted] = process.argv;
if (wanted !== undefined) await measure(wanted);
else {
  const faults = Object.keys(LOOPS).map((name) => {
    const fault = judge(name);
    if (fault !== undefined) process.stdout.write(`FAIL  ${name}: ${fault}\n`);
    return fault;
  });
  const failed = faults.filter((fault) => fault !== undefined).length;
  process.stdout.write(`${faults.length - failed} passed, ${failed} failed\n`);
  process.exitCode = failed === 0 ? 0 : 1;
}
