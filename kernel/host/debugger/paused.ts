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

  /** Locals of a frame, the innermost declaration of each name; names that only the compiled text has are not the learner's. */
  async locals({ frame: { scopeChain }, cell }: Frame): Promise<Shown[]> {
    const found = new Map<string, Shown>();
    for (const { type, object } of scopeChain) {
      if (!OWN_SCOPES.has(type) || object.objectId === undefined) continue;
      for (const shown of await this.properties(object.objectId)) {
        const { name } = shown;
        if (!OWN_NAMES.has(name) && cell.source.includes(name) && !found.has(name)) found.set(name, shown);
      }
    }
    return [...found.values()].slice(0, MOST);
  }

  /** The variables of earlier cells. */
  async globals({ callFrameId }: CallFrame): Promise<Shown[]> {
    const { result } = await this.#onFrame(callFrameId, SNAPSHOT);
    return result.objectId === undefined ? [] : this.properties(result.objectId);
  }

  /** The rank's namespace, for `assign`. */
  async namespace({ callFrameId }: CallFrame): Promise<string> {
    const { result } = await this.#onFrame(callFrameId, NAMESPACE);
    return result.objectId!;
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

  /** An expression in a frame; names of earlier cells are found too, and can be assigned. Throws what it throws. */
  async evaluate(frame: CallFrame, expression: string): Promise<Shown> {
    return this.#described('', await this.#value(frame, expression));
  }

  /** As a result of a cell is shown. */
  async represent(frame: CallFrame, expression: string): Promise<{ data: object; metadata: object }> {
    const result = await this.#value(frame, expression);
    const rich =
      result.objectId === undefined
        ? undefined
        : await this.#call<{ data: object; metadata: object }>(
            result.objectId,
            `return ${HOOK}.represent(this)`,
          );
    return rich ?? { data: { 'text/plain': shownValue('', result).value }, metadata: {} };
  }

  /** Gives a property of an object (an entry of a map) the value of an expression in a frame. */
  async assign(frame: CallFrame, objectId: string, name: string, expression: string): Promise<Shown> {
    const value = await this.#value(frame, expression);
    const { result, exceptionDetails } = await this.inspector.send<Evaluated>(
      this.threadId,
      'Runtime.callFunctionOn',
      { objectId, functionDeclaration: ASSIGN, arguments: [{ value: name }, argument(value)], silent: true },
    );
    if (exceptionDetails !== undefined) throw new Error(firstLine(result));
    return this.#described(name, value);
  }

  /** Makes the value of an expression in a frame a variable of the rank. */
  async declare(frame: CallFrame, name: string, expression: string): Promise<void> {
    await this.#value(
      frame,
      `Object.defineProperty(${NAMESPACE}, ${JSON.stringify(name)}, { value: (${expression}\n), writable: true, configurable: true, enumerable: true })`,
    );
  }

  async #described(name: string, value: RemoteObject): Promise<Shown> {
    const shown = shownValue(name, value);
    if (value.objectId === undefined) return shown;
    const text = await this.#call<string>(value.objectId, `return ${HOOK}.describe({ it: this })[0].value`);
    return typeof text === 'string' ? { ...shown, value: text } : shown;
  }

  /** Names of earlier cells and preloaded ones are properties of the rank's namespace: they are lent to the globals. */
  async #value({ callFrameId }: CallFrame, expression: string): Promise<RemoteObject> {
    const mentioned = new Set(expression.match(/(?<![\w$.])[A-Za-z_$][\w$]*/g) ?? []);
    const { result, exceptionDetails } = await this.#onFrame(
      callFrameId,
      `{ const __takeBack = ${HOOK}.lend(${JSON.stringify([...mentioned])}); try { (${expression}\n) } finally { __takeBack() } }`,
    );
    if (exceptionDetails !== undefined) throw new Error(firstLine(result));
    return result;
  }

  #onFrame(callFrameId: string, expression: string): Promise<Evaluated> {
    return this.inspector.send(this.threadId, 'Debugger.evaluateOnCallFrame', {
      callFrameId,
      expression,
      silent: true,
    });
  }

  /** What a function body says of an object; undefined when it throws. */
  async #call<T>(objectId: string, body: string): Promise<T | undefined> {
    const { result, exceptionDetails } = await this.inspector.send<Evaluated>(
      this.threadId,
      'Runtime.callFunctionOn',
      { objectId, functionDeclaration: `function () { ${body} }`, returnByValue: true, silent: true },
    );
    return exceptionDetails === undefined ? (result.value as T | undefined) : undefined;
  }

  /** Values as `%who` shows them; a tensor says more than its class. */
  async #texts(objectId: string): Promise<Map<string, { type: string; value: string }>> {
    type Described = { name: string; type: string; value: string }[];
    const described = await this.#call<Described>(objectId, `return ${HOOK}.describe(this)`).catch(() => {});
    return new Map((described ?? []).map(({ name, type, value }) => [name, { type, value }]));
  }
}

interface Evaluated {
  result: RemoteObject;
  exceptionDetails?: unknown;
}

/** What the executor of a rank leaves for us. */
const HOOK = "globalThis[Symbol.for('shardbook.debug')]";
const NAMESPACE = `${HOOK}.namespace`;
const SNAPSHOT = `${HOOK}.snapshot()`;
const ASSIGN = `function (name, value) { ${HOOK}.assign(this, name, value) }`;

function firstLine({ description, value }: RemoteObject): string {
  return description?.split('\n')[0] ?? String(value);
}

function argument({ objectId, unserializableValue, value }: RemoteObject): object {
  if (objectId !== undefined) return { objectId };
  return unserializableValue === undefined ? { value } : { unserializableValue };
}

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
