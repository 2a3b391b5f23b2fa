/** Calls to the server's own addresses; Jupyter's are called by @jupyterlab/services. */
import type { CurriculumView, RankView } from '../server/index.js';

export type Curriculum = CurriculumView & { started: string[] };

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

export function fetchRanks(kernelId: string): Promise<RankStatus> {
  return call('GET', `/api/shardbook/kernels/${encodeURIComponent(kernelId)}/ranks`);
}

async function call<T>(method: string, path: string): Promise<T> {
  const response = await fetch(path, { method, credentials: 'same-origin' });
  const body: unknown = await response.json().catch(() => undefined);
  if (!response.ok) {
    const message = (body as { message?: unknown } | undefined)?.message;
    throw new Error(
      typeof message === 'string' ? message : `Cannot reach the server: status ${response.status}`,
    );
  }
  return body as T;
}
