/**
 * Lessons in the learner's workspace: opening one copies it as a notebook when it is not there yet. The lesson itself is
 * never written to; a reset keeps the learner's version beside the fresh one.
 */
import { rename, stat } from 'node:fs/promises';
import { basename, dirname, join } from 'node:path';
import type { Contents } from './contents.js';
import { HttpError } from './http-error.js';
import type { CurriculumView, LessonProvider } from './kernel-port.js';
import { resolveInside } from './paths.js';
import type { LessonProgress, ProgressChange, ProgressFile } from './progress.js';

const LESSON_FOLDER = 'lessons';

/** The notebook to try things in: it opens, is kept and is reset as a lesson is, and is none. */
const SCRATCH = 'scratch';

function scratchNotebook(): unknown {
  const cell = (type: 'code' | 'markdown', source: string) => ({
    id: `scratch-${type}`,
    cell_type: type,
    metadata: {},
    source,
    ...(type === 'code' ? { execution_count: null, outputs: [] } : {}),
  });
  return {
    cells: [
      cell(
        'markdown',
        '# Scratch notebook\n\nTry anything: each cell runs on all ranks. `%help` lists the commands, `name?` shows what is known of a name.',
      ),
      cell('code', ''),
    ],
    metadata: {
      title: 'Scratch notebook',
      kernelspec: { name: 'shardbook', display_name: 'TypeScript (Shardbook)', language: 'typescript' },
    },
    nbformat: 4,
    nbformat_minor: 5,
  };
}

export class LessonLibrary {
  #opening = new Map<string, Promise<string>>();

  constructor(
    private readonly contents: Contents,
    private readonly provider: LessonProvider,
    private readonly progress: ProgressFile,
  ) {}

  /** The curriculum, with which lessons the learner has begun and how far. */
  async list(): Promise<CurriculumView & { started: string[]; progress: Record<string, LessonProgress> }> {
    const [curriculum, { progress, problem }] = await Promise.all([
      this.provider.curriculum(),
      this.progress.read(),
    ]);
    const ids = curriculum.layers.flatMap((layer) => layer.lessons.map((lesson) => lesson.id));
    const begun = await Promise.all(ids.map((id) => this.#exists(notebookPath(id))));
    return {
      ...curriculum,
      problems: [...curriculum.problems, ...(problem === undefined ? [] : [problem])],
      started: ids.filter((_, index) => begun[index]),
      progress: progress.lessons,
    };
  }

  /** Path of the learner's notebook of the lesson. */
  async open(id: string): Promise<string> {
    checkId(id);
    // Two tabs that open a lesson at once must not both write it.
    const running = this.#opening.get(id);
    if (running !== undefined) return running;
    const opening = this.#open(id).finally(() => this.#opening.delete(id));
    this.#opening.set(id, opening);
    return opening;
  }

  /** A fresh copy; returns where the learner's version went, if there was one. */
  async reset(id: string): Promise<{ path: string; kept: string | undefined }> {
    checkId(id);
    const notebook = await this.#notebook(id);
    const path = notebookPath(id);
    let kept: string | undefined;
    if (await this.#exists(path)) {
      kept = await this.#freeBackupName(id);
      await rename(
        await resolveInside(this.contents.root, path),
        await resolveInside(this.contents.root, kept),
      );
    }
    await this.contents.save(path, { type: 'notebook', format: 'json', content: notebook });
    await this.progress.restart(id);
    return { path, kept };
  }

  /** Says what the learner did in a lesson that is open. */
  async note(id: string, change: ProgressChange): Promise<LessonProgress> {
    checkId(id);
    if (!(await this.#exists(notebookPath(id))))
      throw new HttpError(404, 'SB_NO_LESSON', `Cannot keep progress of "${id}": it was never opened`);
    return this.progress.change(id, change);
  }

  async #open(id: string): Promise<string> {
    const path = notebookPath(id);
    if (await this.#exists(path)) return path;
    await this.contents.save(path, { type: 'notebook', format: 'json', content: await this.#notebook(id) });
    return path;
  }

  async #notebook(id: string): Promise<unknown> {
    const notebook = await this.provider.notebook(id);
    if (notebook !== undefined) return notebook;
    if (id === SCRATCH) return scratchNotebook();
    throw noLesson(id);
  }

  async #exists(path: string): Promise<boolean> {
    return (await stat(await resolveInside(this.contents.root, path)).catch(() => undefined)) !== undefined;
  }

  async #freeBackupName(id: string): Promise<string> {
    const path = notebookPath(id);
    for (let count = 1; ; count++) {
      const candidate = join(dirname(path), `${basename(path, '.ipynb')}.before-reset-${count}.ipynb`);
      if (!(await this.#exists(candidate))) return candidate;
    }
  }
}

function notebookPath(id: string): string {
  return `${LESSON_FOLDER}/${id}.ipynb`;
}

/** An id becomes a file name: nothing else may. */
function checkId(id: string): void {
  if (!/^[a-z0-9][a-z0-9-]*$/.test(id)) throw noLesson(id);
}

function noLesson(id: string): HttpError {
  return new HttpError(404, 'SB_NO_LESSON', `Cannot open lesson "${id}": there is no such lesson`);
}
