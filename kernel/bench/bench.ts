/**
 * `npm run bench [-- SECTION...]`: measures beside peers in the same run and prints JSON. Figures of a shared machine are noisy:
 * quote medians and ratios. A peer that is not installed is named with the reason.
 */
import { cpus } from 'node:os';
import { benchApp } from './app.js';
import { benchCollectives } from './collectives.js';
import { benchDTensor } from './dtensor.js';
import { benchFsdp } from './fsdp.js';
import { benchGrader } from './grader.js';
import { benchKernels } from './kernels.js';
import { benchTensors } from './tensors.js';

const SECTIONS: Record<string, () => Promise<Record<string, unknown>>> = {
  kernels: benchKernels,
  app: benchApp,
  collectives: benchCollectives,
  tensors: benchTensors,
  fsdp: benchFsdp,
  dtensor: benchDTensor,
  grader: benchGrader,
};

const wanted = process.argv.slice(2);
const unknown = wanted.find((name) => !(name in SECTIONS));
if (unknown !== undefined) {
  process.stderr.write(`Cannot measure "${unknown}": one of ${Object.keys(SECTIONS).join(', ')} is wanted\n`);
  process.exit(2);
}
const result: Record<string, unknown> = {
  date: new Date().toISOString(),
  node: process.versions.node,
  cpu: `${cpus().length} x ${cpus()[0]?.model ?? 'unknown'}`,
};
for (const [name, measure] of Object.entries(SECTIONS)) {
  if (wanted.length > 0 && !wanted.includes(name)) continue;
  process.stderr.write(`bench: ${name}\n`);
  result[name] = await measure();
}
process.stdout.write(`${JSON.stringify(result, null, 2)}\n`);
// Peers may leave handles open (a WASM backend's timers); the measuring is done.
process.exit(0);
