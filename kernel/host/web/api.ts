/** Calls to the server's own addresses; Jupyter's are called by @jupyterlab/services. */

import type {
  CheckResult,
  CurriculumView,
  LessonProgress,
  ProgressChange,
  RankView,
} from '../server/index.js';
import type { ClusterView, VariablesView } from '../session/types.js';

export type Curriculum = CurriculumView & { started: string[]; progress: Record<string, LessonProgress> };

export interface RankStatus {
  state: string;
  ranks: RankView[];
}

export function fetchCurriculum(): Promise<Curriculum> {
  return call('GET', '/api/shardbook/curriculum');
}

export function openLesson(id: string): Promise<{ path: string }> {
  return call('POST', `/api/shardbook/lessons/${encodeURIComponent(id)}/open`);
}

export function resetLesson(id: string): Promise<{ path: string; kept: string | null }> {
  return call('POST', `/api/shardbook/lessons/${encodeURIComponent(id)}/reset`);
}

/** Tells what the learner did; failing to is no reason to disturb. */
export function noteProgress(id: string, change: ProgressChange): Promise<LessonProgress | undefined> {
  return call<LessonProgress>(
    'POST',
    `/api/shardbook/lessons/${encodeURIComponent(id)}/progress`,
    change,
  ).catch(() => undefined);
}

export function fetchRanks(kernelId: string): Promise<RankStatus> {
  return call('GET', `/api/shardbook/kernels/${encodeURIComponent(kernelId)}/ranks`);
}

export function fetchCluster(kernelId: string): Promise<ClusterView & { state: string }> {
  return call('GET', `/api/shardbook/kernels/${encodeURIComponent(kernelId)}/cluster`);
}

export function fetchVariables(kernelId: string): Promise<VariablesView> {
  return call('GET', `/api/shardbook/kernels/${encodeURIComponent(kernelId)}/variables`);
}

export function checkExercise(id: string, source: string, lesson: string): Promise<CheckResult> {
  return call('POST', `/api/shardbook/exercises/${encodeURIComponent(id)}/check`, { source, lesson });
}

export function nextHint(id: string): Promise<{ hint: string; number: number; of: number }> {
  return call('POST', `/api/shardbook/exercises/${encodeURIComponent(id)}/hint`);
}

export function fetchSolution(id: string, reveal: boolean): Promise<{ solution: string }> {
  return call('POST', `/api/shardbook/exercises/${encodeURIComponent(id)}/solution`, { reveal });
}

async function call<T>(method: string, path: string, body?: unknown): Promise<T> {
  const response = await fetch(path, {
    method,
    credentials: 'same-origin',
    ...(body === undefined
      ? {}
      : { body: JSON.stringify(body), headers: { 'Content-Type': 'application/json' } }),
  }).catch(() => {
    throw new Error('Cannot reach the server: is "npm start" still running?');
  });
  const answer: unknown = await response.json().catch(() => undefined);
  if (!response.ok) {
    const message = (answer as { message?: unknown } | undefined)?.message;
    throw new Error(
      typeof message === 'string' ? message : `Cannot reach the server: status ${response.status}`,
    );
  }
  return answer as T;
}
