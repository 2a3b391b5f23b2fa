import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { isMap, isSeq, parseDocument } from 'yaml';
import { ShardbookError } from '../../runtime/index.js';
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
  mkdirSync(dirname(path), { recursive: true });
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

## Predict

What does the next cell print? Write it down before you run it.

\`\`\`{code-cell} typescript
console.log(\`rank \${rank} of \${worldSize}\`);
\`\`\`

\`\`\`{output}
[rank 0] rank 0 of 4
[rank 1] rank 1 of 4
[rank 2] rank 2 of 4
[rank 3] rank 3 of 4
\`\`\`

## Task

## Questions

1. One question that the lesson answers.
`;
}
