/** `shardbook lesson build`: notebooks, or with `--site` a static site. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import {
  buildSite,
  type Lesson,
  lessonToNotebook,
  loadGlossary,
  type Manifest,
  type ManifestLesson,
  runLesson,
  shownPath,
} from '../../lesson/index.js';
import { Session } from '../../session/index.js';
import { packageRoot } from '../paths.js';

export function buildNotebooks(manifest: Manifest, entries: readonly ManifestLesson[], out: string): number {
  const glossary = loadGlossary(manifest.root);
  for (const entry of entries) {
    const file = join(out, entry.file.replace(/\.md$/, '.ipynb'));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(lessonToNotebook(readable(entry), glossary), null, 1)}\n`);
    process.stdout.write(`${shownPath(file)}\n`);
  }
  return 0;
}

/** Runs every lesson for its outputs, unless they are to be shown as they are stated. */
export async function buildPages(manifest: Manifest, out: string, run: boolean): Promise<number> {
  const pages = await buildSite(manifest, {
    out,
    plotly: join(packageRoot(), 'dist/app/plotly.min.js'),
    run: async (lesson, folder) =>
      run
        ? runLesson(lesson, { start: (world) => Session.start({ world, cwd: folder, patience: 10_000 }) })
        : undefined,
    onPage: (file) => process.stdout.write(`${shownPath(file)}\n`),
  });
  process.stdout.write(`${pages} pages; open ${shownPath(join(out, 'index.html'))}\n`);
  return 0;
}

function readable(entry: ManifestLesson): Lesson {
  if (entry.lesson !== undefined) return entry.lesson;
  throw entry.problem;
}
