/**
 * What the server needs of a kernel, as a port: `cli` plugs the real one in (protocol's KernelCore over a Session),
 * tests plug a fake one. A message has the fields of Jupyter's wire protocol, unsigned: signatures belong to ZeroMQ.
 */
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
