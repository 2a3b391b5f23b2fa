import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isMap, isSeq, parseDocument } from 'yaml';
import { ShardbookError } from '../../runtime/index.js';
import { makeFolder } from '../folders/index.js';
import { MANIFEST_FILE } from './manifest.js';

const ID = /^[a-z0-9]+(-[a-z0-9]+)*$/;
const EMPTY_MANIFEST = 'title: Lessons\nlayers: []\n';

/** Writes a lesson that passes its check, and lists it at the end of its layer. Returns the path of the file. */
export function newLesson(root: string, id: string, layer: number): string {
  if (!ID.test(id)) {
    throw new ShardbookError({
      code: 'SB_LESSON_ID',
      message: `Cannot name a lesson "${id}": wanted lower case words joined by hyphens`,
    });
  }
  const file = `layer-${layer}/${id}.md`;
  const path = join(root, file);
  if (existsSync(path)) {
    throw new ShardbookError({
      code: 'SB_LESSON_EXISTS',
      message: `Cannot write "${path}": the file is there already`,
    });
  }
  const manifestPath = join(root, MANIFEST_FILE);
  const manifest = parseDocument(
    existsSync(manifestPath) ? readFileSync(manifestPath, 'utf8') : EMPTY_MANIFEST,
  );
  const layers = manifest.get('layers');
  if (!isSeq(layers)) {
    throw new ShardbookError({
      code: 'SB_MANIFEST_INVALID',
      message: `Cannot read ${MANIFEST_FILE}: "layers" is not a list`,
    });
  }
  const entry = layers.items.find((item) => isMap(item) && item.get('layer') === layer);
  const lessons = isMap(entry) ? entry.get('lessons') : undefined;
  const listed = manifest.createNode({ id, file });
  if (isSeq(lessons)) lessons.items.push(listed);
  else layers.items.push(manifest.createNode({ layer, title: `Layer ${layer}`, lessons: [{ id, file }] }));
  makeFolder(dirname(path));
  writeFileSync(path, template(id, layer));
  layers.flow = false;
  writeFileSync(manifestPath, manifest.toString());
  return path;
}

function template(id: string, layer: number): string {
  const title = id.replace(/-/g, ' ').replace(/^./, (first) => first.toUpperCase());
  return `---
id: ${id}
title: ${title}
layer: ${layer}
covers: []
requires: []
teaches:
  - say what you will be able to do
minutes: 10
world: 4
---

# ${title}

## What you will be able to do

- One line per skill.

## What always holds

1. Every rank runs every line of a cell.

## Predict, then run

\`\`\`{predict}
:number: 6
:explain: 0 + 1 + 2 + 3.
What does every rank print?
\`\`\`

\`\`\`{code-cell} typescript
const sum = torch.tensor([rank]);
dist.allReduce(sum);
console.log(sum.item());
\`\`\`

\`\`\`{output}
6
\`\`\`

\`\`\`{pytorch}
total = torch.tensor([rank])
dist.all_reduce(total)
print(total.item())
\`\`\`

## Task

\`\`\`\`{task} largest
:hint: \`dist.allReduce\` takes an option \`op\`.
Leave the largest rank in \`largest\` on every rank.

\`\`\`typescript starter
const largest = torch.tensor([rank]);
\`\`\`

\`\`\`typescript check
if (largest.item() !== worldSize - 1) throw new Error(\`rank \${rank} has \${largest.item()}\`);
\`\`\`

\`\`\`typescript solution
const largest = torch.tensor([rank]);
dist.allReduce(largest, { op: dist.ReduceOp.MAX });
\`\`\`
\`\`\`\`

## Questions

\`\`\`{question} how-many
:choices: 1 | 4
:answer: 2
How many ranks ran the first cell?

---

All of them: a cell runs on every rank.
\`\`\`
`;
}
