/**
 * What the server needs of a kernel, as a port: `cli` plugs the real one in (protocol's KernelCore over a Session),
 * tests plug a fake one. A message has the fields of Jupyter's wire protocol, unsigned: signatures belong to ZeroMQ.
 */
import type { ClusterView, VariablesView } from '../session/index.js';

export type Channel = 'shell' | 'iopub' | 'control' | 'stdin';

export interface WireHeader {
  msg_id: string;
  msg_type: string;
  session: string;
  username: string;
  date: string;
  version: string;
}

export interface WireMessage {
  channel: Channel;
  header: WireHeader;
  parent_header: WireHeader | Record<string, never>;
  metadata: Record<string, unknown>;
  content: Record<string, unknown>;
  buffers: Uint8Array[];
}

export interface RankView {
  rank: number;
  state: 'starting' | 'idle' | 'running' | 'dead';
  reason?: string;
  memoryMb?: number;
}

/** One kernel: takes messages of a front end, gives out replies and broadcasts. */
export interface KernelHandle {
  /** `reply` gets what is meant for the sender alone (shell, control and stdin); broadcasts go to `onBroadcast`. */
  receive(message: WireMessage, reply: (message: WireMessage) => void): void;
  /** Called with each iopub message. */
  onBroadcast(listener: (message: WireMessage) => void): () => void;
  /** Called when the kernel ends by itself (a `shutdown_request`, a failure). */
  onExit(listener: (reason: string, restarts: boolean) => void): () => void;
  interrupt(): Promise<void>;
  /** Fresh state under the same connection. */
  restart(): Promise<void>;
  shutdown(): Promise<void>;
  ranks(): readonly RankView[];
  /** What the cluster panel shows; absent where a kernel has no such view. */
  cluster?(): ClusterView;
  /** The variables of every rank; absent where a kernel has no such view. */
  variables?(): Promise<VariablesView>;
}

export interface KernelStartOptions {
  /** Folder that the notebook is in: relative imports start there. */
  cwd: string;
  worldSize: number;
}

export interface KernelProvider {
  start(options: KernelStartOptions): Promise<KernelHandle>;
  /** `kernelspec.spec` as Jupyter's REST gives it. */
  readonly spec: { name: string; displayName: string; language: string };
}

/** A lesson as the home page lists it. */
export interface LessonView {
  id: string;
  title: string;
  layer: string;
  minutes: number;
  world: number;
  teaches: readonly string[];
  requires: readonly string[];
  /** Ids of its code cells, of those to be predicted among them, and its exercises: what progress is counted by. */
  cells: readonly string[];
  predictions: readonly string[];
  /** Ids of the text cells that ask a question. */
  questions: readonly string[];
  exercises: readonly string[];
}

export interface LayerView {
  id: string;
  title: string;
  summary: string;
  lessons: readonly LessonView[];
}

export interface CurriculumView {
  layers: readonly LayerView[];
  /** What is wrong with the lessons that can't be opened, if any. */
  problems: readonly string[];
}

export interface LessonProvider {
  curriculum(): Promise<CurriculumView>;
  /** The lesson as notebook JSON (nbformat 4.5); undefined when there is no such lesson. */
  notebook(id: string): Promise<unknown | undefined>;
}

/** One check of an exercise, as a learner may see it. */
export interface CheckView {
  id: string;
  title: string;
  verdict: string;
  weight: number;
  earned: number;
  feedback?: {
    message: string;
    case?: string;
    mismatch?: { rank: number; tensor: string; got: string; expected: string; index?: readonly number[] };
    hypothesis?: string;
    details?: readonly string[];
    line?: number;
  };
}

export interface CheckResult {
  verdict: string;
  score: { earned: number; possible: number };
  /** What ended the checking before any check. */
  feedback?: CheckView['feedback'];
  checks: readonly CheckView[];
  types: readonly { line: number; message: string }[];
  notes: readonly string[];
  prints: readonly { rank: number; text: string }[];
  milliseconds: number;
  hintsLeft: number;
}

/** The grader's public side. Unknown ids are refused with a coded error. */
export interface ExerciseProvider {
  /** The lesson that an exercise belongs to; '' for none, undefined when there is no such exercise. */
  lessonOf(id: string): Promise<string | undefined>;
  check(id: string, source: string): Promise<CheckResult>;
  hint(id: string): Promise<{ hint: string; number: number; of: number }>;
  /** Refused until the checks passed, unless the learner insists. */
  solution(id: string, reveal: boolean): Promise<string>;
}
