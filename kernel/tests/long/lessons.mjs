/**
 * All lessons as CI wants them: every cell run, the strict reading, nothing of the curriculum left unsaid; then the same
 * commands on spoilt copies, which each must refuse. `node kernel/tests/long/lessons.mjs`, on the built package.
 */
import { spawnSync } from 'node:child_process';
import { cpSync, mkdtempSync, readFileSync, rmSync, symlinkSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join, resolve } from 'node:path';
import { fileURLToPath } from 'node:url';

const root = resolve(dirname(fileURLToPath(import.meta.url)), '../../..');
const LESSON = 'layer-0/ranks-and-collectives.md';
const ID = 'ranks-and-collectives';
let passed = 0;
let failed = 0;

function shardbook(...args) {
  const { status, stdout, stderr } = spawnSync(process.execPath, [join(root, 'dist/cli.js'), ...args], {
    encoding: 'utf8',
    cwd: root,
    maxBuffer: 1 << 28,
  });
  return { status, text: stdout + stderr };
}

function check(name, isRight, text) {
  if (isRight) passed++;
  else failed++;
  console.log(`${isRight ? 'ok  ' : 'FAIL'} ${name}`);
  if (!isRight) console.log(text.trimEnd());
}

function good(name, ...args) {
  const started = performance.now();
  const { status, text } = shardbook(...args);
  const seconds = ((performance.now() - started) / 1000).toFixed(0);
  check(`${name} (${seconds} s): ${text.trimEnd().split('\n').at(-1)}`, status === 0, text);
}

/** A copy of the lessons with one thing spoilt; `command` must refuse it and name the place. */
function spoilt(name, edit, command, expected) {
  const folder = mkdtempSync(join(tmpdir(), 'shardbook-lessons-'));
  try {
    const lessons = join(folder, 'lessons');
    cpSync(join(root, 'lessons'), lessons, { recursive: true });
    for (const other of ['exercises', 'kernel', 'CONTRIBUTING.md', 'README.md'])
      symlinkSync(join(root, other), join(folder, other));
    const file = join(lessons, LESSON);
    const text = readFileSync(file, 'utf8');
    const edited = edit(text);
    if (edited === text) return check(`${name}: nothing to spoil in ${LESSON}`, false, '');
    writeFileSync(file, edited);
    const result = shardbook('lesson', ...command, '--dir', lessons);
    check(`${name} is refused`, result.status === 1 && result.text.includes(expected), result.text);
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

good('every cell', 'lesson', 'check', '--no-cache');
good('lint', 'lesson', 'lint');
good('coverage', 'lesson', 'coverage');
const table = spawnSync(process.execPath, [join(root, 'kernel/build/api-table.mjs'), '--check'], {
  encoding: 'utf8',
});
check(
  `API table: ${table.stdout.trimEnd().split('\n').at(-1)}`,
  table.status === 0,
  table.stdout + table.stderr,
);
spoilt(
  'a changed number',
  (text) => text.replace('[rank 3] 40', '[rank 3] 41'),
  ['check', ID],
  '- [rank 3] 41',
);
spoilt(
  'a renamed id',
  (text) => text.replace(/^covers: .*$/m, "covers: ['0.99']"),
  ['lint', ID],
  'has no "0.99"',
);
spoilt(
  'a cell that prints nothing',
  (text) => text.replace(/```\{output\}\n[\s\S]*?\n```/, '```{output}\n```'),
  ['lint', ID],
  'a cell that prints nothing',
);
spoilt(
  'a link to what does not exist',
  (text) => `${text}\nSee [this](../../kernel/nowhere.ts).\n`,
  ['lint', ID],
  '"../../kernel/nowhere.ts" does not exist',
);
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
