/** A rank that stands at a breakpoint: its frames and the variables in them. */
import type { RunCell } from '../session/index.js';
import type { RankInspector } from './inspector.js';

export interface RemoteObject {
  type: string;
  subtype?: string;
  className?: string;
  value?: unknown;
  description?: string;
  unserializableValue?: string;
  objectId?: string;
}

export interface CallFrame {
  callFrameId: string;
  functionName: string;
  location: { scriptId: string; lineNumber: number; columnNumber?: number };
  scopeChain: { type: string; object: RemoteObject }[];
}

export interface PausedParams {
  callFrames: CallFrame[];
  reason: string;
  hitBreakpoints?: string[];
  data?: { description?: string };
}

/** A variable as the debug adapter protocol has it, but for what is inside. */
export interface Shown {
  name: string;
  type: string;
  value: string;
  /** Of what is inside, if anything is. */
  objectId?: string;
}

export interface Frame {
  frame: CallFrame;
  cell: RunCell;
  name: string;
  line: number;
  column: number;
}

/** What the compiler puts into every cell's scope. */
const OWN_NAMES = new Set(['exports', 'require', 'importModule', 'arguments', 'this']);
/** Words that are no names. */
const RESERVED = new Set(
  'typeof void in of new delete instanceof await async function return this null true false class let const var if else for while'.split(
    ' ',
  ),
);
const OWN_SCOPES = new Set(['local', 'block', 'closure', 'catch', 'with', 'eval']);
const MOST = 500;

/** The learner's frames, innermost first, in places of cells. */
export function learnersFrames(
  paused: PausedParams,
  cellOf: (scriptId: string) => RunCell | undefined,
): Frame[] {
  return paused.callFrames.flatMap((frame) => {
    const { scriptId, lineNumber, columnNumber = 0 } = frame.location;
    const cell = cellOf(scriptId);
    if (cell === undefined) return [];
    const place = cell.original(lineNumber + 1, columnNumber + 1);
    return [
      {
        frame,
        cell,
        name: frame.functionName || cell.name,
        line: place?.line ?? 1,
        column: place?.column ?? 1,
      },
    ];
  });
}

/** Looks into one paused thread. */
export class PausedRank {
  constructor(
    private readonly inspector: RankInspector,
    private readonly threadId: number,
  ) {}

  /** Locals of a frame, the innermost declaration of each name. */
  async locals({ scopeChain }: CallFrame): Promise<Shown[]> {
    const found = new Map<string, Shown>();
    for (const { type, object } of scopeChain) {
      if (!OWN_SCOPES.has(type) || object.objectId === undefined) continue;
      for (const shown of await this.properties(object.objectId)) {
        if (!OWN_NAMES.has(shown.name) && !found.has(shown.name)) found.set(shown.name, shown);
      }
    }
    return [...found.values()].slice(0, MOST);
  }

  /** The variables of earlier cells. */
  async globals({ callFrameId }: CallFrame): Promise<Shown[]> {
    const { result } = await this.#onFrame(callFrameId, SNAPSHOT);
    return result.objectId === undefined ? [] : this.properties(result.objectId);
  }

  async properties(objectId: string): Promise<Shown[]> {
    const { result } = await this.inspector.send<{
      result: { name: string; value?: RemoteObject; get?: RemoteObject }[];
    }>(this.threadId, 'Runtime.getProperties', { objectId, ownProperties: true });
    const texts = await this.#texts(objectId);
    return result.slice(0, MOST).map(({ name, value }) => {
      if (value === undefined) return { name, type: 'accessor', value: '(...)' };
      return { ...shownValue(name, value), ...texts.get(name) };
    });
  }

  /** An expression in a frame; names of earlier cells are found too. Throws what it throws. */
  async evaluate({ callFrameId }: CallFrame, expression: string): Promise<Shown> {
    const answer = await this.#onFrame(callFrameId, await this.#withEarlierNames(callFrameId, expression));
    if (answer.exceptionDetails !== undefined)
      throw new Error(answer.result.description?.split('\n')[0] ?? String(answer.result.value));
    const { objectId } = answer.result;
    const shown = shownValue('', answer.result);
    if (objectId === undefined) return shown;
    const { result } = await this.inspector.send<{ result: RemoteObject }>(
      this.threadId,
      'Runtime.callFunctionOn',
      {
        objectId,
        functionDeclaration: `function () { return ${DESCRIBE}({ it: this })[0].value }`,
        returnByValue: true,
        silent: true,
      },
    );
    return typeof result.value === 'string' ? { ...shown, value: result.value } : shown;
  }

  /** Names of earlier cells and preloaded ones are properties of the rank's namespace: they become arguments. */
  async #withEarlierNames(callFrameId: string, expression: string): Promise<string> {
    const mentioned = [...new Set(expression.match(/(?<![\w$.])[A-Za-z_$][\w$]*/g) ?? [])];
    const names = mentioned.filter((name) => !RESERVED.has(name));
    const probe = `[${names.map((name) => `typeof ${name} === 'undefined' && ${JSON.stringify(name)} in ${NAMESPACE}`).join()}]`;
    const { result } = await this.inspector.send<{ result: RemoteObject }>(
      this.threadId,
      'Debugger.evaluateOnCallFrame',
      { callFrameId, expression: probe, silent: true, returnByValue: true },
    );
    const missing = names.filter((_, i) => (result.value as boolean[] | undefined)?.[i] === true);
    if (missing.length === 0) return expression;
    return `((${missing.join()}) => (${expression}\n))(${missing.map((name) => `${NAMESPACE}[${JSON.stringify(name)}]`).join()})`;
  }

  #onFrame(
    callFrameId: string,
    expression: string,
  ): Promise<{ result: RemoteObject; exceptionDetails?: unknown }> {
    return this.inspector.send(this.threadId, 'Debugger.evaluateOnCallFrame', {
      callFrameId,
      expression,
      silent: true,
    });
  }

  /** Values as `%who` shows them; a tensor says more than its class. */
  async #texts(objectId: string): Promise<Map<string, { type: string; value: string }>> {
    try {
      const { result } = await this.inspector.send<{ result: RemoteObject }>(
        this.threadId,
        'Runtime.callFunctionOn',
        {
          objectId,
          functionDeclaration: `function () { return ${DESCRIBE}(this) }`,
          returnByValue: true,
          silent: true,
        },
      );
      const described = Array.isArray(result.value)
        ? (result.value as { name: string; type: string; value: string }[])
        : [];
      return new Map(described.map(({ name, type, value }) => [name, { type, value }]));
    } catch {
      return new Map();
    }
  }
}

/** What the executor of a rank leaves for us. */
const NAMESPACE = "globalThis[Symbol.for('shardbook.debug')].namespace";
const SNAPSHOT = "globalThis[Symbol.for('shardbook.debug')].snapshot()";
const DESCRIBE = "globalThis[Symbol.for('shardbook.debug')].describe";

function shownValue(name: string, value: RemoteObject): Shown {
  const type = value.subtype === 'null' ? 'null' : (value.className ?? value.type);
  const text =
    value.type === 'string'
      ? `'${String(value.value)}'`
      : (value.unserializableValue ?? value.description ?? String(value.value));
  const [first = ''] = text.split('\n');
  return {
    name,
    type,
    value: first,
    ...(value.objectId === undefined || value.type === 'function' ? {} : { objectId: value.objectId }),
  };
}
