/**
 * What a front end sees of a session: cells go in, Jupyter-like outputs come out. Nothing here knows a wire format.
 */

/** A dictionary of representations, by MIME type. */
export type MimeBundle = Record<string, unknown>;

/** One output of a cell, in the words of the Jupyter protocol; `ranks` says which ranks produced it. */
export type CellOutput =
  | { type: 'stream'; name: 'stdout' | 'stderr'; text: string; ranks: readonly number[] }
  | {
      type: 'display_data';
      data: MimeBundle;
      metadata: Record<string, unknown>;
      displayId?: string;
      ranks: readonly number[];
    }
  | {
      type: 'update_display_data';
      data: MimeBundle;
      metadata: Record<string, unknown>;
      displayId: string;
      ranks: readonly number[];
    }
  | {
      type: 'execute_result';
      data: MimeBundle;
      metadata: Record<string, unknown>;
      executionCount: number;
      ranks: readonly number[];
    }
  | { type: 'error'; ename: string; evalue: string; traceback: string[]; ranks: readonly number[] }
  | { type: 'clear_output'; wait: boolean; ranks: readonly number[] };

/** The error of a cell, as front ends show it. */
export interface CellError {
  ename: string;
  evalue: string;
  traceback: string[];
}

/** A message on a comm, either way. */
export interface CommMessage {
  type: 'open' | 'msg' | 'close';
  id: string;
  /** What an opening is for. */
  target?: string;
  data: unknown;
  metadata: Record<string, unknown>;
  buffers: readonly Uint8Array[];
}

export interface ExecuteOptions {
  /** Called for every output, in order, while the cell runs and (for late asynchronous output) after it. */
  onOutput?: (output: CellOutput) => void;
  /** No output of the result, no history, no new execution count. */
  silent?: boolean;
  /** Keep the cell in the history and count it; default true unless silent. */
  storeHistory?: boolean;
  /** Answers `input()` in a cell; without it `input()` fails with a clear error. */
  onInput?: (request: { prompt: string; password: boolean }) => Promise<string>;
  /** Called for what the cell says on comms. */
  onComm?: (message: CommMessage) => void;
  /** Expressions to evaluate on rank 0 after the cell. */
  userExpressions?: Record<string, string>;
}

export type UserExpressionResult =
  | { status: 'ok'; data: MimeBundle; metadata: Record<string, unknown> }
  | ({ status: 'error' } & CellError);

export interface ExecuteResult {
  status: 'ok' | 'error';
  executionCount: number;
  error?: CellError;
  /** Texts a front end should show in its pager (`%help`, `name?`). */
  payload: { source: 'page'; data: MimeBundle; start: number }[];
  userExpressions: Record<string, UserExpressionResult>;
}

export interface CompleteResult {
  matches: string[];
  cursorStart: number;
  cursorEnd: number;
  /** Kind of each match (`function`, `class`, `property`, ...), in the order of `matches`. */
  kinds: string[];
}

export interface InspectResult {
  found: boolean;
  data: MimeBundle;
}

export interface IsCompleteResult {
  status: 'complete' | 'incomplete' | 'invalid' | 'unknown';
  indent: string;
}

/** How the types of a cell are judged: stop it, warn, or do not look. */
export type CheckLevel = 'errors' | 'warnings' | 'off';

export interface SessionOptions {
  /** Number of ranks; default 4. */
  world?: number;
  /** Where relative imports and file paths of cells start; default the process's. */
  cwd?: string;
  checkLevel?: CheckLevel;
  /** Who compiles the cells; default: the environment's SHARDBOOK_COMPILER, else typescript. */
  compiler?: 'typescript' | 'tslab';
  /**
   * How long what one rank says waits for the others to say the same, in milliseconds; default 300. Tools that compare
   * outputs wait longer, so that their order doesn't depend on the machine's load.
   */
  patience?: number;
  /** Memory limit of each rank's heap in MiB. */
  heapLimitMb?: number;
  /** Follow memory, calls and meshes of every cell for `cluster()`. */
  watch?: boolean;
}

export interface HistoryEntry {
  session: number;
  line: number;
  input: string;
  /** Text of the result, if there was one. */
  output: string | null;
}

export interface RankInfo {
  rank: number;
  state: 'starting' | 'idle' | 'running' | 'dead';
  reason?: string;
  /** What a running rank sleeps for: `the other ranks in collective #3`. */
  waits?: string;
}

/** A variable of one rank. */
export interface VariableView {
  name: string;
  type: string;
  /** One line. */
  value: string;
  /** There is something inside. */
  nested: boolean;
}

export interface VariablesView {
  /** A cell runs: these are the variables from before it. */
  stale: boolean;
  /** `trouble`: why a rank's variables are not known. */
  ranks: readonly { rank: number; variables: readonly VariableView[]; trouble?: string }[];
}

/** One call of a rank, in milliseconds since its cell began. */
export interface ObservedCall {
  op: string;
  group: string;
  groupRanks: readonly number[];
  seq: number;
  tensors: readonly string[];
  bytes: number;
  async: boolean;
  start: number;
  /** Absent: it was never done. */
  end?: number;
  peer?: number;
  /** The caller's line: `cell 3:2:6`. */
  place?: string;
  error?: string;
}

/** A variable that holds a mesh. */
export interface MeshView {
  name: string;
  shape: readonly number[];
  dimNames: readonly string[] | null;
  /** Global ranks, row by row. */
  ranks: readonly number[];
}

/** What was seen of a rank while it ran a cell. */
export interface RankObservation {
  /** Wall clock, in milliseconds. */
  began: number;
  took: number;
  calls: readonly ObservedCall[];
  /** There were more calls before the ones kept. */
  truncated: boolean;
  memory: {
    bytes: number;
    categories: Record<string, number>;
    peak: { bytes: number; at: string; categories: Record<string, number> };
    /** Host memory, where something is offloaded. */
    host?: { bytes: number; peak: { bytes: number; categories: Record<string, number> } };
  };
  meshes: readonly MeshView[];
}

/** Why a rank failed the cell. */
export interface ObservedFailure {
  rank: number;
  name: string;
  message: string;
  code?: string;
  /** The learner's line. */
  position?: { cell: string; line: number; column: number };
}

/** The world as a cluster panel shows it: the ranks now, and the last cell that ran on them. */
export interface ClusterView {
  watching: boolean;
  /** The machine that virtual times are of. */
  machine: string;
  /** Name of the last cell, `cell 3`; absent before the first. */
  cell?: string;
  /** The cell runs: what is seen is of the calls so far. */
  running?: boolean;
  ranks: readonly (RankInfo & { seen?: RankObservation })[];
  failures: readonly ObservedFailure[];
}

/** A cell that runs or ran, or a file that one imports, as a debugger needs it. */
export interface RunCell {
  /** Name of its script: `cell 3`, or a path. */
  name: string;
  /** As the front end sent it, or as the file stood when it was compiled. */
  source: string;
  /** Path of the learner's file; absent for a cell. */
  file?: string;
  /** From a place in the generated script to the cell's, in lines and columns from 1; undefined for what is not the learner's. */
  original(line: number, column: number): { line: number; column: number } | undefined;
  /** Where in the script (from 1) the cell's line, or the next with code, begins, and which line that is. */
  generated(line: number): { line: number; column: number; at: number } | undefined;
}

/** The session as a debugger sees it. */
export interface DebugTarget {
  readonly worldSize: number;
  /** Thread ids by rank. */
  threads(): number[];
  /** The files that cells import, and the latest cells, oldest first. */
  cells(): readonly RunCell[];
  /** Called before a cell runs, for it and the files it imports; it starts when all listeners are done. */
  onCell(listener: (cell: RunCell) => Promise<void>): () => void;
  /** Called before ranks are interrupted: a rank that stands at a breakpoint hears nothing. */
  onInterrupt(listener: () => Promise<void>): () => void;
  /** Something runs. */
  readonly busy: boolean;
  variables(): Promise<VariablesView>;
  /** What is inside of a variable of one rank; empty while something runs. */
  children(rank: number, path: readonly string[]): Promise<readonly VariableView[]>;
  /** An expression on rank 0, between cells. */
  evaluate(code: string): Promise<UserExpressionResult>;
  /** Once nothing runs: the next cell knows the name of a variable that a debugger gave these ranks. */
  adopt(name: string, ranks: readonly number[]): Promise<void>;
  /** Between cells: gives a variable of these ranks, or what is inside of one, another value. */
  assign(path: readonly string[], value: string, ranks: readonly number[]): Promise<CellError | undefined>;
}

export interface InterruptSummary {
  /** Ranks whose variables survived. */
  kept: number[];
  /** Ranks that had to be started afresh. */
  restarted: number[];
}

/**
 * A running session: a compiler and a world of ranks. `Session.start(options)` in `session.ts` makes one.
 * Executions are queued: a second `execute` starts when the first is over.
 */
export interface SessionApi {
  readonly worldSize: number;
  readonly executionCount: number;
  readonly checkLevel: CheckLevel;
  execute(code: string, options?: ExecuteOptions): Promise<ExecuteResult>;
  complete(code: string, cursor: number): Promise<CompleteResult>;
  inspect(code: string, cursor: number, detail: 0 | 1): Promise<InspectResult>;
  isComplete(code: string): Promise<IsCompleteResult>;
  readonly history: readonly HistoryEntry[];
  /** A front end's message on a comm; resolves when code on the ranks has dealt with it. False: nobody is there for it. */
  comm(
    message: CommMessage,
    options?: Pick<ExecuteOptions, 'onOutput' | 'onInput' | 'onComm'>,
  ): Promise<boolean>;
  /** Open comms and their targets. */
  comms(): ReadonlyMap<string, string>;
  /** Comm messages that belong to no request of a front end. */
  onComm(listener: (message: CommMessage) => void): () => void;
  /** The variables of all ranks. */
  variables(): Promise<VariablesView>;
  /** What a debugger of the ranks needs; absent where there can be none. */
  readonly debugging?: DebugTarget;
  /** State of every rank, for status displays. */
  ranks(): RankInfo[];
  /** The ranks with what was seen of the last cell, when the session watches. */
  cluster(): ClusterView;
  onRanksChanged(listener: (ranks: RankInfo[]) => void): () => void;
  /** Stops what runs; variables are kept where possible. */
  interrupt(): Promise<InterruptSummary>;
  /** Fresh ranks and no variables. */
  restart(): Promise<void>;
  shutdown(): Promise<void>;
}
