/** What `exercise new` writes: a small exercise that is complete, so that its author changes what works instead of filling gaps. */
import { existsSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ShardbookError } from 'shardbook';
import { makeFolder } from '../../kernel/host/folders/index.js';
import { NAME, NAME_WANTED } from '../mapping.js';

/** Writes `exercises/ID` and `solutions/ID` below `root`; returns the files, relative to it. */
export function newExercise(root: string, id: string): string[] {
  // It begins a name of TypeScript.
  if (!NAME.test(id) || /^\d/.test(id)) {
    throw new ShardbookError({
      code: 'SB_EXERCISE_NAME',
      message: `Cannot make an exercise "${id}": ${NAME_WANTED}, with a letter first`,
    });
  }
  for (const folder of ['exercises', 'solutions']) {
    if (!existsSync(join(root, folder, id))) continue;
    throw new ShardbookError({
      code: 'SB_EXERCISE_EXISTS',
      message: `Cannot make an exercise "${id}": ${folder}/${id} is there already`,
      help: 'take another name, or remove that folder first',
    });
  }
  const files = template(id);
  for (const [name, text] of Object.entries(files)) {
    makeFolder(dirname(join(root, name)));
    writeFileSync(join(root, name), text);
  }
  return Object.keys(files);
}

function template(id: string): Record<string, string> {
  const name = id.replace(/-(\w)/g, (_, letter: string) => letter.toUpperCase());
  const title = `${id[0]!.toUpperCase()}${id.slice(1).replace(/-/g, ' ')}`;
  const head = `import { dist, type Tensor } from 'shardbook';\n\n/** The mean of all ranks' \`t\`, in a new tensor. */\nexport function ${name}(t: Tensor): Tensor {\n`;
  const solution = (body: string): string => `${head}${body}}\n`;
  const e = `exercises/${id}`;
  const s = `solutions/${id}`;
  return {
    [`${e}/exercise.yaml`]: `id: ${id}
title: ${title}
export: ${name}
imports: [shardbook]
# links: a comm with send and recv; dist: process groups; none: nothing.
comm: dist
worlds: [1, 2, 3, 5]
limits:
  caseSeconds: 10
  memoryMb: 512
# File order is running order. A check is blocked, not failed, when one it requires has not passed.
checks:
  - id: mean
    title: Every rank gets the mean
    weight: 3
  - id: input-unchanged
    title: The input stays as it was
    requires: [mean]
  - id: one-collective
    title: One collective is enough
    requires: [mean]
  - id: fresh
    title: Other shapes and scales
    requires: [mean]
    visibility: hidden
    message: It fails for shapes or scales that the other checks do not try
`,
    [`${e}/task.md`]: `# ${title}

## What you will be able to do

- Say what every rank holds after an all-reduce.

## Task

Write \`${name}(t)\` in \`starter.ts\`. It returns the mean of all ranks' \`t\`, in a new tensor.

\`\`\`typescript
import { dist, torch } from 'shardbook';

const t = torch.ones([2]);
dist.allReduce(t);
\`\`\`

## Questions

1. How many bytes does a rank send?
`,
    [`${e}/hints.md`]:
      '# Hints\n\n## Where to begin\n\n`dist.allReduce` sums in place.\n\n## The rest\n\nDivide by `dist.getWorldSize()`.\n',
    [`${e}/starter.ts`]: `import type { Tensor } from 'shardbook';\n\n/** The mean of all ranks' \`t\`, in a new tensor. */\nexport function ${name}(t: Tensor): Tensor {\n  throw new Error(\`not begun on \${t.shape.length} dimensions\`);\n}\n`,
    [`${s}/reference.ts`]: solution(
      '  const sum = t.clone();\n  dist.allReduce(sum);\n  return sum.div(dist.getWorldSize());\n',
    ),
    [`${s}/notes.md`]: `# Notes on the solution\n\nWhy the copy: \`allReduce\` works in place.\n\n## Surviving mutants\n`,
    [`${s}/checks.ts`]: checks(),
    [`${s}/alternatives/average.ts`]: solution(
      '  const mean = t.clone();\n  dist.allReduce(mean, { op: dist.ReduceOp.AVG });\n  return mean;\n',
    ),
    [`${s}/alternatives/scaled-first.ts`]: solution(
      '  const share = t.div(dist.getWorldSize());\n  dist.allReduce(share);\n  return share;\n',
    ),
    [`${s}/mutants.yaml`]: MUTANTS,
  };
}

const MUTANTS = `# Solutions with one mistake each: what is other than in the solution that they begin from, and what must come of it.
sum-for-mean:
  fails: wrong in mean, "is a division by the world size missing"
  edits:
    - find: return sum.div(dist.getWorldSize());
      replace: return sum;

in-place:
  fails: wrong in input-unchanged
  edits:
    - find: const sum = t.clone();
      replace: const sum = t;

half:
  fails: wrong in mean
  edits:
    - find: dist.getWorldSize()
      replace: "2"

local:
  fails: wrong in mean
  edits:
    - find: dist.allReduce(sum);
      replace: sum.mul_(dist.getWorldSize());

rank-zero-only:
  fails: deadlock in mean
  edits:
    - find: dist.allReduce(sum);
      replace: if (dist.getRank() === 0) dist.allReduce(sum);

twice:
  of: alternatives/scaled-first
  fails: wrong in one-collective
  edits:
    - find: const share = t.div(dist.getWorldSize());
      replace: |-
        dist.barrier();
        const share = t.div(dist.getWorldSize());
`;

function checks(): string {
  return `import type { CheckContext, CheckKit, CheckTable } from 'shardbook/grader';

export default (kit: CheckKit): CheckTable => {
  const ask = (context: CheckContext, world: number, shape: readonly number[], scale = 1) => {
    const name = \`world \${world}, f32[\${shape.join(', ')}], scale \${scale}\`;
    const inputs = Array.from({ length: world }, (_, rank) => [
      kit.randomTensor(context.seed, \`\${name}, rank \${rank}\`, shape, 'float32', scale),
    ]);
    // Any order of summation is right: the default tolerance, for as many terms as there are ranks.
    return kit.sameAsReference(context, { name, work: { inputs } }, { tolerance: { terms: world } });
  };
  return {
    mean: async (context) => {
      for (const world of context.worlds) await ask(context, world, [4]);
    },
    'input-unchanged': async (context) => {
      const input = kit.randomTensor(context.seed, 'input', [4]);
      const work = { inputs: [[input], [input]] };
      const { run, fail } = await kit.runSetting(context, { name: 'world 2, f32[4]', work });
      for (const [rank, { inputs }] of run.ranks.entries()) {
        const mismatch = kit.compareTensor(inputs[0]!, kit.expectSame(input), rank, 't');
        if (mismatch !== undefined) throw fail({ message: \`Rank \${rank} changed its input\`, mismatch });
      }
    },
    'one-collective': async (context) => {
      const { run, fail } = await ask(context, 3, [4]);
      const { collectives } = run.exchange;
      if (collectives.length === 1) return;
      throw fail({ message: \`It ran \${collectives.map(({ op }) => op).join(', ')}, wanted one collective\` });
    },
    fresh: async (context) => {
      for (const scale of [1e-3, 1e3]) await ask(context, 3, [2, 3], scale);
      await ask(context, 5, []);
    },
  };
};
`;
}
