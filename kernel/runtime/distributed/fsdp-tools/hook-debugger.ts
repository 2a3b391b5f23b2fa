/** Shows what FSDP's hooks do to parameters: their state before and after each. */
import { runStarted } from '../../base/index.js';
import { table } from '../../simulator/index.js';
import { type FsdpEvent, type FsdpEventKind, onFsdp, type ParamSnapshot } from '../fsdp/index.js';

/** States of parameters around one hook. */
export interface HookRecord {
  hook: FsdpEventKind;
  module: string;
  before: readonly ParamSnapshot[];
  after: readonly ParamSnapshot[];
}

const WATCHED: readonly FsdpEventKind[] = ['preForward', 'postForward', 'preBackward', 'postBackwardReshard'];

/**
 * Listens between `start` and `stop`:
 *
 * ```ts
 * const hooks = new HookDebugger().start();
 * loss(model(x)).backward();
 * hooks.stop();
 * console.log(String(hooks)); // preForward layers.0: weight sharded [3, 6] -> unsharded [12, 6]
 * ```
 */
export class HookDebugger {
  readonly records: HookRecord[] = [];
  readonly #open: { event: FsdpEvent; before: readonly ParamSnapshot[] }[] = [];
  #stop: (() => void) | undefined;

  constructor(private readonly hooks: readonly FsdpEventKind[] = WATCHED) {}

  start(): this {
    this.#stop ??= onFsdp((event) => this.#see(event));
    return this;
  }

  stop(): this {
    this.#stop?.();
    this.#stop = undefined;
    return this;
  }

  run<T>(body: () => T): T {
    return runStarted(this, body);
  }

  #see(event: FsdpEvent): void {
    if (!this.hooks.includes(event.kind)) return;
    if (event.phase === 'begin') {
      this.#open.push({ event, before: event.params() });
      return;
    }
    const at = this.#open.findLastIndex(
      (o) => o.event.kind === event.kind && o.event.module === event.module,
    );
    const [opened] = at < 0 ? [] : this.#open.splice(at, 1);
    if (opened === undefined) return;
    this.records.push({
      hook: event.kind,
      module: event.module,
      before: opened.before,
      after: event.params(),
    });
  }

  /** Hooks that changed the state of a parameter. */
  get changes(): HookRecord[] {
    return this.records.filter((r) => r.before.some((p, i) => p.state !== r.after[i]?.state));
  }

  toString(): string {
    const rows = this.records.flatMap((record) =>
      record.before.map((p, i) => {
        const after = record.after[i]!;
        const shown = (s: ParamSnapshot): string =>
          `${s.state} [${(s.state === 'unsharded' ? s.shape : s.localShape).join(', ')}]`;
        return [
          i === 0 ? record.hook : '',
          i === 0 ? record.module || 'root' : '',
          p.name,
          p.state === after.state ? `stays ${shown(p)}` : `${shown(p)} -> ${shown(after)}`,
        ];
      }),
    );
    return table([['hook', 'module', 'parameter', 'state'], ...rows]);
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}
