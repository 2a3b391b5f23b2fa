/** Which mesh is in use where none is given. */
import { runThen } from '../../base/index.js';
import type { DeviceMesh } from './device-mesh.js';

/** One entry for each `mesh.run(...)` that is under way, so that its end takes away its own. */
let running: readonly { mesh: DeviceMesh }[] = [];

/** The mesh of the innermost `mesh.run(...)`. */
export function currentMesh(): DeviceMesh | null {
  return running[running.length - 1]?.mesh ?? null;
}

export function withMesh<R>(mesh: DeviceMesh, body: () => R): R {
  const entry = { mesh };
  return runThen(
    () => {
      running = [...running, entry];
      return body();
    },
    () => {
      running = running.filter((other) => other !== entry);
    },
  );
}
