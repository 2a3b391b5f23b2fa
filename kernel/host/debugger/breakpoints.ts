/** Breakpoints: what front ends want, by the path of a source, and where the ranks have them. */
import { isAbsolute } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { DebugTarget, RunCell } from '../session/index.js';
import type { RankInspector } from './inspector.js';
import type { Sources } from './sources.js';

export interface Breakpoint {
  id: number;
  line: number;
  condition?: string;
}

/** A breakpoint as the debug adapter protocol has it. */
export interface ShownBreakpoint {
  id: number;
  verified: boolean;
  line: number;
  source: { path: string };
  message?: string;
}

export class Breakpoints {
  readonly #target: DebugTarget;
  readonly #inspector: RankInspector;
  readonly #sources: Sources;
  readonly #changed: (breakpoint: ShownBreakpoint) => void;
  readonly #wanted = new Map<string, Breakpoint[]>();
  /** As the ranks know them, by script. */
  readonly #placed = new Map<string, { threadId: number; id: string }[]>();
  #lastId = 0;

  /** `changed` hears of breakpoints that turn out to be at other lines when their text runs for the first time. */
  constructor(
    target: DebugTarget,
    inspector: RankInspector,
    sources: Sources,
    changed: (breakpoint: ShownBreakpoint) => void,
  ) {
    this.#target = target;
    this.#inspector = inspector;
    this.#sources = sources;
    this.#changed = changed;
  }

  list(): { source: string; breakpoints: Breakpoint[] }[] {
    return [...this.#wanted].map(([source, breakpoints]) => ({ source, breakpoints }));
  }

  clear(): void {
    this.#wanted.clear();
    this.#placed.clear();
  }

  /** In place of those that the source had. */
  async set(path: string, lines: readonly Omit<Breakpoint, 'id'>[]): Promise<ShownBreakpoint[]> {
    const scripts = this.#sources.scriptsOf(path);
    const script = scripts.at(-1);
    const shown = lines.map(({ line }): ShownBreakpoint => {
      const at = script?.generated(line)?.at;
      const common = { id: ++this.#lastId, source: { path } };
      if (at !== undefined) return { ...common, verified: true, line: at };
      if (script !== undefined)
        return { ...common, verified: false, line, message: 'there is no code at or below this line' };
      // A cell that has not run yet gets them when it does.
      if (this.#sources.textOf(path) !== undefined) return { ...common, verified: true, line };
      return {
        ...common,
        verified: false,
        line,
        message: 'no cell has this text, or imports this file, yet',
      };
    });
    const wanted = shown.map(({ id, line }, i) => ({ ...lines[i], id, line }));
    if (wanted.length === 0) this.#wanted.delete(path);
    else this.#wanted.set(path, wanted);
    for (const each of scripts) await this.#place(each);
    return shown;
  }

  /** Before a script runs: where its breakpoints are is known now. */
  async begin(script: RunCell): Promise<void> {
    const path = this.#sources.pathOf(script);
    for (const each of this.#wanted.get(path) ?? []) {
      const at = script.generated(each.line)?.at;
      if (at === undefined || (at === each.line && script.file === undefined)) continue;
      each.line = at;
      this.#changed({ id: each.id, verified: true, line: at, source: { path } });
    }
    await this.#place(script);
  }

  /** For a thread that has just begun. */
  async prepare(threadId: number): Promise<void> {
    for (const script of this.#target.cells()) await this.#placeOn(script, [threadId]);
  }

  async #place(script: RunCell): Promise<void> {
    const old = this.#placed.get(script.name) ?? [];
    this.#placed.delete(script.name);
    await Promise.all(
      old.map(({ threadId, id }) =>
        this.#inspector.send(threadId, 'Debugger.removeBreakpoint', { breakpointId: id }).catch(() => {}),
      ),
    );
    await this.#placeOn(script, this.#target.threads());
  }

  async #placeOn(script: RunCell, threads: readonly number[]): Promise<void> {
    const wanted = this.#wanted.get(this.#sources.pathOf(script)) ?? [];
    const placed = this.#placed.get(script.name) ?? [];
    await Promise.all(
      wanted.flatMap(({ line, condition }) => {
        const at = script.generated(line);
        if (at === undefined) return [];
        return threads.map(async (threadId) => {
          const answer = await this.#inspector
            .send<{ breakpointId: string }>(threadId, 'Debugger.setBreakpointByUrl', {
              url: scriptUrl(script.name),
              lineNumber: at.line - 1,
              columnNumber: at.column - 1,
              ...(condition === undefined ? {} : { condition }),
            })
            .catch(() => undefined);
          if (answer) placed.push({ threadId, id: answer.breakpointId });
        });
      }),
    );
    if (placed.length > 0) this.#placed.set(script.name, placed);
  }
}

/** As the inspector names a script. */
export function scriptUrl(name: string): string {
  return isAbsolute(name) ? pathToFileURL(name).href : name;
}
