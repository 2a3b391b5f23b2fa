/** `shardbook lesson check`: runs lessons, several at once, and says where they differ from what they state. */
import { readFileSync, writeFileSync } from 'node:fs';
import { availableParallelism, freemem } from 'node:os';
import { dirname, join } from 'node:path';
import {
  CheckCache,
  cacheFolder,
  checkLesson,
  checkTwins,
  findTorch,
  type LessonRecord,
  type ManifestLesson,
  type OutputUpdate,
  runtimeName,
  shownPath,
  TORCH_PYTHON_VARIABLE,
  twinsHash,
  updateOutputs,
  writeRecord,
} from '../../lesson/index.js';
import { Session } from '../../session/index.js';
import { packageRoot } from '../paths.js';

export interface CheckFlags {
  readonly jobs: number | undefined;
  readonly useCache: boolean;
  /** Write what the cells put out into the lessons, after it was shown. */
  readonly update: boolean;
}

/** Memory that a lesson may take while it is checked. */
const LESSON_BYTES = 1.5 * 1024 ** 3;

interface Tally {
  passed: number;
  failed: number;
}

export async function checkLessons(entries: readonly ManifestLesson[], flags: CheckFlags): Promise<number> {
  const cache = flags.useCache && !flags.update ? openCache() : undefined;
  const jobs = flags.jobs ?? defaultJobs();
  const tally: Tally = { passed: 0, failed: 0 };
  const waiting = [...entries];
  const worker = async (): Promise<void> => {
    for (let entry = waiting.shift(); entry !== undefined; entry = waiting.shift())
      process.stdout.write(await checkOne(entry, cache, flags.update, tally));
  };
  await Promise.all(Array.from({ length: Math.min(jobs, entries.length) }, worker));
  process.stdout.write(`${tally.passed} passed, ${tally.failed} failed\n`);
  return tally.failed === 0 ? 0 : 1;
}

/** What is said of one lesson; whole, so that lessons checked side by side do not mix. */
async function checkOne(
  entry: ManifestLesson,
  cache: CheckCache | undefined,
  update: boolean,
  tally: Tally,
): Promise<string> {
  const { lesson, path } = entry;
  if (lesson === undefined) {
    tally.failed++;
    return `${entry.problem?.message ?? entry.id}\nFAIL  ${entry.id}\n`;
  }
  const text = readFileSync(path, 'utf8');
  const known = cache?.passed(text);
  if (known !== undefined) {
    tally.passed += known;
    return `pass  ${entry.id}  ${known} of ${known} cells, unchanged since it passed\n`;
  }
  let said = '';
  const updates: OutputUpdate[] = [];
  const started = performance.now();
  const checks = await checkLesson(lesson, {
    start: (world) => Session.start({ world, cwd: dirname(path), patience: 10_000 }),
    onCell: ({ cell, problem, run }) => {
      if (problem === undefined) {
        const isNew = cell.kind === 'code' && cell.output === undefined && cell.unchecked === undefined;
        if (isNew && run !== undefined && run.text.trim() !== '') updates.push({ cell, text: run.text });
        return;
      }
      const diff = problem.diff.map((line) => `    ${line}\n`).join('');
      said += `${shownPath(path)}:${problem.line}: ${problem.message}\n${diff}`;
      const ran = run !== undefined && !run.timedOut;
      if (cell.kind === 'code' && ran && problem.isOutput && cell.unchecked === undefined)
        updates.push({ cell, text: run.text });
    },
  });
  const bad = checks.filter(({ problem }) => problem !== undefined);
  const slowest = Math.max(0, ...checks.map(({ milliseconds }) => milliseconds));
  const seconds = (ms: number): string => (ms / 1000).toFixed(1);
  const word = bad.length === 0 ? 'pass' : 'FAIL';
  said += `${word}  ${entry.id}  ${checks.length - bad.length} of ${checks.length} cells, ${seconds(performance.now() - started)} s, slowest cell ${seconds(slowest)} s\n`;
  tally.passed += checks.length - bad.length;
  tally.failed += bad.length;
  if (update && updates.length > 0) {
    writeFileSync(path, updateOutputs(text, updates));
    said += `wrote ${updates.length} ${updates.length === 1 ? 'output' : 'outputs'} to ${shownPath(path)}: read them, then check again\n`;
  }
  if (bad.length === 0) cache?.keep(text, checks.length);
  return said;
}

/** `--pytorch`: the twins instead of the cells. */
export async function checkPyTorch(
  entries: readonly ManifestLesson[],
  recordTo: string | undefined,
): Promise<number> {
  const python = process.env[TORCH_PYTHON_VARIABLE] ?? 'python3';
  const found = await findTorch(python);
  if ('problem' in found) {
    process.stdout.write(`skipped: ${found.problem}\n0 passed, 0 failed\n`);
    return 0;
  }
  process.stdout.write(`PyTorch ${found.version}\n`);
  const tally: Tally = { passed: 0, failed: 0 };
  let uncompared = 0;
  const record: Record<string, LessonRecord> = {};
  for (const { id, lesson, path, problem } of entries) {
    if (lesson === undefined) {
      tally.failed++;
      process.stdout.write(`${problem?.message ?? id}\n`);
      continue;
    }
    const checks = await checkTwins(lesson, python);
    for (const { twin, problem } of checks) {
      if (problem === undefined) continue;
      process.stdout.write(`${shownPath(path)}:${twin.line}: ${problem.message}\n`);
      for (const line of problem.diff) process.stdout.write(`    ${line}\n`);
    }
    const bad = checks.filter(({ problem }) => problem !== undefined).length;
    const compared = checks.filter(({ twin }) => twin.compare !== 'none').length;
    record[id] = {
      date: new Date().toISOString().slice(0, 10),
      torch: found.version,
      twins: checks.length,
      compared,
      passed: checks.length - bad,
      hash: twinsHash(lesson),
    };
    uncompared += checks.length - compared;
    tally.passed += checks.length - bad;
    tally.failed += bad;
    process.stdout.write(
      `${bad === 0 ? 'pass' : 'FAIL'}  ${id}  ${checks.length - bad} of ${checks.length} twins, ${compared} compared\n`,
    );
  }
  if (recordTo !== undefined) writeRecord(recordTo, record);
  if (uncompared > 0)
    process.stdout.write(`${uncompared} twins run but are not compared, each with its reason\n`);
  process.stdout.write(`${tally.passed} passed, ${tally.failed} failed\n`);
  return tally.failed === 0 ? 0 : 1;
}

function openCache(): CheckCache | undefined {
  try {
    return new CheckCache(cacheFolder(), runtimeName(join(packageRoot(), 'dist')));
  } catch {
    // Without a place to keep it, everything is run.
    return undefined;
  }
}

function defaultJobs(): number {
  return Math.max(1, Math.min(4, availableParallelism(), Math.floor(freemem() / LESSON_BYTES)));
}
