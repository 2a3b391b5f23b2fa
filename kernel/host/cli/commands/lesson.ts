import { join, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import {
  findLesson,
  loadManifest,
  type Manifest,
  type ManifestLesson,
  manifestLessons,
  newLesson,
  shownPath,
} from '../../lesson/index.js';
import type { Command } from '../command.js';
import { coverage, format, lint } from '../lesson/author.js';
import { buildNotebooks, buildPages, importNotebook } from '../lesson/build.js';
import { checkLessons, checkPyTorch } from '../lesson/check.js';
import { packageRoot } from '../paths.js';
import { options, usageError } from './options.js';

const usage = `usage: shardbook lesson list [--dir FOLDER]
       shardbook lesson new ID [--layer N] [--dir FOLDER]
       shardbook lesson check [ID...] [--update] [--no-cache] [--jobs N] [--dir FOLDER]
       shardbook lesson check --pytorch [ID...] [--record] [--dir FOLDER]
       shardbook lesson lint [ID...] [--dir FOLDER]
       shardbook lesson fmt [ID...] [--check] [--dir FOLDER]
       shardbook lesson coverage [--json FILE] [--dir FOLDER]
       shardbook lesson build [ID...] [--out FOLDER] [--dir FOLDER]
       shardbook lesson build --site [--no-run] [--out FOLDER] [--dir FOLDER]
       shardbook lesson import NOTEBOOK [--dir FOLDER]

list      shows the lessons in the order of manifest.yaml
new       writes a lesson and lists it in manifest.yaml
check     runs every cell in a fresh kernel and compares its output with the {output} block below it;
          lessons that have not changed since they passed are not run again
lint      reads lessons strictly: links, formulas, words, coverage, cells without a check
fmt       lays lessons out
coverage  shows what of the curriculum is covered, and where
build     writes notebooks (.ipynb); with --site, static pages of all lessons with what their cells put out
import    takes a notebook that was built, and worked on, back into its lesson

--dir FOLDER  folder with manifest.yaml; default the lessons that come with Shardbook
--layer N     layer of the new lesson, default 0
--update      writes what the cells put out into the lessons, after showing how it differs
--no-cache    runs every lesson
--jobs N      lessons checked at once, default by processors and memory
--pytorch     runs the {pytorch} twins instead, on the Python that SHARDBOOK_TORCH_PYTHON names
--record      keeps the result beside the lessons; lint says when it is no longer theirs
--check       says which lessons are not laid out, and changes none
--json FILE   writes the coverage as JSON; - for standard output
--out FOLDER  where what is built goes, default ./notebooks or ./site
--no-run      shows the outputs that the lessons state

CONTRIBUTING.md, which comes with Shardbook, describes the elements of a lesson.

Exit code: 0 when all is well, 1 when a lesson fails, 2 when the command cannot work.
`;

const OPTIONS = {
  dir: { type: 'string' },
  layer: { type: 'string', default: '0' },
  out: { type: 'string' },
  site: { type: 'boolean', default: false },
  'no-run': { type: 'boolean', default: false },
  update: { type: 'boolean', default: false },
  'no-cache': { type: 'boolean', default: false },
  jobs: { type: 'string' },
  pytorch: { type: 'boolean', default: false },
  record: { type: 'boolean', default: false },
  check: { type: 'boolean', default: false },
  json: { type: 'string' },
} as const;

export const command: Command = {
  name: 'lesson',
  summary: 'list, write, check and build lessons',
  usage,
  async run(args) {
    const { values, positionals } = options(
      () => parseArgs({ args, options: OPTIONS, allowPositionals: true }),
      usage,
    );
    const [action = '', ...ids] = positionals;
    const root = resolve(values.dir ?? join(packageRoot(), 'lessons'));
    const manifest = (): Manifest => loadManifest(root);
    switch (action) {
      case 'list':
        return list(manifest());
      case 'check':
        if (values.pytorch) return checkPyTorch(chosen(manifest(), ids), values.record ? root : undefined);
        return checkLessons(chosen(manifest(), ids), {
          jobs: values.jobs === undefined ? undefined : count(values.jobs),
          useCache: !values['no-cache'],
          update: values.update,
        });
      case 'lint':
        return lint(manifest(), chosen(manifest(), ids).length > 0 ? ids : []);
      case 'fmt':
        return format(chosen(manifest(), ids), values.check);
      case 'coverage':
        return coverage(manifest(), values.json);
      case 'build':
        if (values.site) return buildPages(manifest(), resolve(values.out ?? 'site'), !values['no-run']);
        return buildNotebooks(manifest(), chosen(manifest(), ids), resolve(values.out ?? 'notebooks'));
      case 'import': {
        const [file] = ids;
        if (file === undefined || ids.length > 1) throw usageError('lesson import', 'one notebook is wanted');
        return importNotebook(manifest(), file);
      }
      case 'new':
        return create(root, ids, values.layer, values.dir === undefined);
      default:
        throw usageError(
          `lesson ${action}`.trim(),
          'list, new, check, lint, fmt, coverage, build or import is wanted',
        );
    }
  },
};

function count(text: string): number {
  const jobs = Number(text);
  if (Number.isInteger(jobs) && jobs >= 1) return jobs;
  throw usageError('lesson check', `--jobs is "${text}", wanted a number from 1`);
}

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
