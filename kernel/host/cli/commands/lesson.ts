import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { ShardbookError } from '../../../runtime/index.js';
import {
  checkLesson,
  findLesson,
  type Lesson,
  lessonToNotebook,
  loadManifest,
  type Manifest,
  type ManifestLesson,
  manifestLessons,
  newLesson,
  shownPath,
} from '../../lesson/index.js';
import { Session } from '../../session/index.js';
import type { Command } from '../command.js';
import { packageRoot } from '../paths.js';
import { options, usageError } from './options.js';

const usage = `usage: shardbook lesson list [--dir FOLDER]
       shardbook lesson check [ID...] [--dir FOLDER]
       shardbook lesson new ID [--layer N] [--dir FOLDER]
       shardbook lesson build [ID...] [--dir FOLDER] [--out FOLDER]

list   shows the lessons in the order of manifest.yaml
check  runs every cell in a fresh kernel and compares its output with the {output} block below it
new    writes a lesson and lists it in manifest.yaml
build  writes notebooks (.ipynb)

--dir FOLDER  folder with manifest.yaml; default the lessons that come with Shardbook
--layer N     layer of the new lesson, default 0
--out FOLDER  where notebooks go, default ./notebooks

Exit code: 0 when all is well, 1 when a lesson fails, 2 when the command cannot work.
`;

const OPTIONS = {
  dir: { type: 'string' },
  layer: { type: 'string', default: '0' },
  out: { type: 'string', default: 'notebooks' },
} as const;

export const command: Command = {
  name: 'lesson',
  summary: 'list, check, write and build lessons',
  usage,
  async run(args) {
    const { values, positionals } = options(
      () => parseArgs({ args, options: OPTIONS, allowPositionals: true }),
      usage,
    );
    const [action = '', ...ids] = positionals;
    const root = resolve(values.dir ?? join(packageRoot(), 'lessons'));
    switch (action) {
      case 'list':
        return list(loadManifest(root));
      case 'check':
        return check(loadManifest(root), ids);
      case 'build':
        return build(loadManifest(root), ids, resolve(values.out));
      case 'new':
        return create(root, ids, values.layer, values.dir === undefined);
      default:
        throw usageError(`lesson ${action}`.trim(), 'list, check, new or build is wanted');
    }
  },
};

function list(manifest: Manifest): number {
  let problems = 0;
  for (const layer of manifest.layers) {
    process.stdout.write(`${layer.title}\n`);
    for (const { id, lesson, problem } of layer.lessons) {
      if (lesson === undefined) problems++;
      const about =
        lesson === undefined
          ? (problem?.message ?? '')
          : `${lesson.title}, ${lesson.minutes} min, ${lesson.world} ranks`;
      process.stdout.write(`  ${id}  ${about}\n`);
    }
  }
  return problems === 0 ? 0 : 1;
}

async function check(manifest: Manifest, ids: readonly string[]): Promise<number> {
  let passed = 0;
  let failed = 0;
  for (const entry of chosen(manifest, ids)) {
    if (entry.lesson === undefined) {
      failed++;
      process.stdout.write(`${entry.problem?.message ?? entry.id}\n`);
      continue;
    }
    const { lesson } = entry;
    const started = performance.now();
    const checks = await checkLesson(lesson, {
      start: (world) => Session.start({ world, cwd: dirname(entry.path), patience: 10_000 }),
      onCell: ({ problem }) => {
        if (problem === undefined) return;
        const diff = problem.diff.map((line) => `    ${line}\n`).join('');
        process.stdout.write(`${shownPath(entry.path)}:${problem.line}: ${problem.message}\n${diff}`);
      },
    });
    const bad = checks.filter(({ problem }) => problem !== undefined).length;
    passed += checks.length - bad;
    failed += bad;
    const seconds = ((performance.now() - started) / 1000).toFixed(1);
    process.stdout.write(
      `${bad === 0 ? 'pass' : 'FAIL'}  ${entry.id}  ${checks.length - bad} of ${checks.length} cells, ${seconds} s\n`,
    );
  }
  process.stdout.write(`${passed} passed, ${failed} failed\n`);
  return failed === 0 ? 0 : 1;
}

function build(manifest: Manifest, ids: readonly string[], out: string): number {
  for (const entry of chosen(manifest, ids)) {
    const file = join(out, entry.file.replace(/\.md$/, '.ipynb'));
    mkdirSync(dirname(file), { recursive: true });
    writeFileSync(file, `${JSON.stringify(lessonToNotebook(readable(entry)), null, 1)}\n`);
    process.stdout.write(`${shownPath(file)}\n`);
  }
  return 0;
}

function create(root: string, ids: readonly string[], layer: string, isOurs: boolean): number {
  const [id] = ids;
  if (id === undefined || ids.length > 1) throw usageError('lesson new', 'one id is wanted');
  if (!/^[0-6]$/.test(layer)) throw usageError('lesson new', `layer "${layer}" is not a number from 0 to 6`);
  const path = newLesson(root, id, Number(layer));
  const dir = isOurs ? '' : ` --dir ${shownPath(root)}`;
  process.stdout.write(`${shownPath(path)}\nCheck it with: shardbook lesson check ${id}${dir}\n`);
  return 0;
}

function chosen(manifest: Manifest, ids: readonly string[]): ManifestLesson[] {
  return ids.length === 0 ? manifestLessons(manifest) : ids.map((id) => findLesson(manifest, id));
}

function readable(entry: ManifestLesson): Lesson {
  if (entry.lesson !== undefined) return entry.lesson;
  throw (
    entry.problem ??
    new ShardbookError({ code: 'SB_LESSON_INVALID', message: `Cannot read the lesson "${entry.id}"` })
  );
}
