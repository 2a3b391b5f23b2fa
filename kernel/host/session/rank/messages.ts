/** What the session and its ranks say to each other over a world's requests and events. */
import type { CellProgram, SideFile } from '../compiler/index.js';
import type { Instrument } from '../magics.js';
import type { CommMessage, MimeBundle, RankObservation } from '../types.js';

export type RankRequest =
  | {
      type: 'run';
      /** Number of the execution; outputs carry it. */
      seq: number;
      program: CellProgram;
      /** The last execution that succeeded on all its ranks: its declarations are kept, those of another one are dropped. */
      committed: number;
      sideFiles: readonly SideFile[];
      /** The value of the last expression is shown. */
      wantResult: boolean;
      instruments: readonly Instrument[];
      /** Say what was seen of the cell. */
      watch?: boolean;
    }
  | { type: 'settle'; committed: number }
  | { type: 'who'; committed: number }
  /** What is inside of the variable at `path`. */
  | { type: 'children'; path: readonly string[] }
  /** A front end's message on a comm; `seq` as in `run`. */
  | { type: 'comm'; seq: number; committed: number; message: CommMessage }
  | { type: 'reset' }
  | { type: 'input'; id: number; value: string | undefined };

export type RunReply = ({ ok: true; result?: RankDisplay } | { ok: false; error: RankFailure }) & {
  /** How long the cell ran on this rank, in milliseconds; absent when the rank could not say. */
  took?: number;
  seen?: RankObservation;
};

export interface RankDisplay {
  data: MimeBundle;
  metadata: Record<string, unknown>;
}

/** A place in a cell. */
export interface CellPosition {
  cell: string;
  line: number;
  column: number;
}

/** A thrown value as the learner is to see it. */
export interface RankFailure {
  name: string;
  message: string;
  /** Stable code of a coded error. */
  code?: string;
  /** Stack lines, in places of cells where they are the learner's. */
  frames: string[];
  /** The innermost place in a cell. */
  position?: CellPosition;
  cause?: RankFailure;
}

/** How far a loop has come on one rank. Ranks number their loops alike, so that one picture shows all. */
export interface Progress {
  id: number;
  label: string;
  done: number;
  total: number | undefined;
  finished: boolean;
}

export type RankEvent =
  | { type: 'stream'; seq: number; name: 'stdout' | 'stderr'; text: string }
  | { type: 'display'; seq: number; display: RankDisplay; displayId?: string }
  | { type: 'update'; seq: number; display: RankDisplay; displayId: string }
  | { type: 'clear'; seq: number; wait: boolean }
  | ({ type: 'progress'; seq: number } & Progress)
  | { type: 'input'; seq: number; id: number; prompt: string; password: boolean }
  /** What has been seen of the cell so far. */
  | { type: 'observation'; seq: number; seen: RankObservation }
  | { type: 'comm'; seq: number; message: CommMessage }
  | { type: 'comm-target'; target: string };
