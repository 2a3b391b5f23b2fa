/** The reference solution, in processes of its own beside the submission's; what it answered once it is not asked again. */
import { createHash } from 'node:crypto';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { solutionsOf, specHash } from './checks/index.js';
import type { Exercise } from './exercise.js';
import { Program } from './program.js';
import type { Case, CaseRun, RankWorld } from './rank-world.js';
import { CheckFailure } from './verdict.js';

const answers = new Map<string, Promise<CaseRun>>();
const MOST_ANSWERS = 400;

export class Reference {
  private program: Program | undefined;
  private world: Promise<RankWorld> | undefined;

  constructor(
    private readonly exercise: Exercise,
    private readonly packageRoot: string,
  ) {}

  ask(work: Case): Promise<CaseRun> {
    const text = JSON.stringify(work, (_key, value: unknown) =>
      value instanceof Float64Array ? Array.from(value, String) : value,
    );
    const key = createHash('sha256')
      .update(`${this.exercise.folder}|${specHash(this.exercise)}|${text}`)
      .digest('hex');
    const known = answers.get(key);
    if (known !== undefined) return known;
    const answer = this.run(work).catch((error: unknown) => {
      answers.delete(key);
      if (!(error instanceof CheckFailure)) throw error;
      throw new CheckFailure('infra-error', {
        message: `The reference did not answer: ${error.verdict}: ${error.feedback.message}`,
      });
    });
    if (answers.size >= MOST_ANSWERS) answers.delete(answers.keys().next().value!);
    answers.set(key, answer);
    return answer;
  }

  /** Ends its processes, if it was asked at all. */
  async close(): Promise<void> {
    await this.program?.close();
  }

  private async run(work: Case): Promise<CaseRun> {
    this.world ??= this.start();
    return (await this.world).run(work);
  }

  private start(): Promise<RankWorld> {
    const text = readFileSync(join(solutionsOf(this.exercise), 'reference.ts'), 'utf8');
    this.program = new Program(this.exercise, this.packageRoot, undefined);
    const files = [{ name: 'reference.ts', text }];
    return this.program.start({ files, isCells: false, startAhead: false });
  }
}
