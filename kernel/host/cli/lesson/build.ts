/** `shardbook lesson build`: notebooks, or with `--site` a static site. */
import { readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { ShardbookError } from '../../../runtime/index.js';
import { makeFolder } from '../../folders/index.js';
import {
  buildSite,
  findLesson,
  type ImportedNotebook,
  type Lesson,
  lessonToNotebook,
  loadGlossary,
  type Manifest,
  type ManifestLesson,
  notebookToLesson,
  parseLesson,
  runLesson,
  shownPath,
} from '../../lesson/index.js';
import { Session } from '../../session/index.js';
import { packageRoot } from '../paths.js';

export function buildNotebooks(manifest: Manifest, entries: readonly ManifestLesson[], out: string): number {
  const glossary = loadGlossary(manifest.root);
  for (const entry of entries) {
    const file = join(out, entry.file.replace(/\.md$/, '.ipynb'));
    makeFolder(dirname(file));
    writeFileSync(file, `${JSON.stringify(lessonToNotebook(readable(entry), glossary), null, 1)}\n`);
    process.stdout.write(`${shownPath(file)}\n`);
  }
  return 0;
}

/** The lesson of a notebook that was built and worked on, written over the lesson of that id. */
export function importNotebook(manifest: Manifest, file: string): number {
  const source = readFileSync(file, 'utf8');
  let notebook: ImportedNotebook;
  try {
    notebook = JSON.parse(source) as ImportedNotebook;
  } catch (cause) {
    throw new ShardbookError({
      code: 'SB_LESSON_IMPORT',
      message: `Cannot import "${file}": it is not a notebook (${(cause as Error).message.split('\n')[0]})`,
    });
  }
  const text = notebookToLesson(notebook, loadGlossary(manifest.root));
  const { id } = parseLesson(text, file);
  const { path } = findLesson(manifest, id);
  if (readFileSync(path, 'utf8') === text) {
    process.stdout.write(`${shownPath(path)} is the same\n`);
    return 0;
  }
  writeFileSync(path, text);
  process.stdout.write(`${shownPath(path)}\nCheck it with: shardbook lesson check ${id}\n`);
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
