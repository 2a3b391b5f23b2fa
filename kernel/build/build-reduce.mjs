/**
 * Compiles the reductions of the transport into a module that carries the WASM bytes. They work on a memory that is given to
 * them: the shared one of a world.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export async function buildReduce(root) {
  const folder = join(root, 'kernel', 'runtime', 'distributed', 'transport');
  const source = readFileSync(join(folder, 'assembly', 'index.ts'), 'utf8');
  const target = join(folder, 'generated', 'reduce.ts');
  const hash = createHash('sha256')
    .update(readFileSync(new URL(import.meta.url)))
    .update(source);
  const mark = `// made from ${hash.digest('hex')}`;
  if (existsSync(target) && readFileSync(target, 'utf8').startsWith(mark)) return;
  const { default: asc } = await import('assemblyscript/asc');
  let bytes;
  const result = await asc.main(
    [
      ...['index.ts', '--outFile', 'reduce.wasm', '-O3', '--noAssert', '--runtime', 'stub'],
      ...['--enable', 'simd', '--enable', 'threads'],
      ...['--importMemory', '--sharedMemory', '--initialMemory', '1', '--maximumMemory', '65536'],
    ],
    {
      stdout: process.stdout,
      stderr: process.stderr,
      readFile: (name, base) => (base === '.' && name === 'index.ts' ? source : null),
      writeFile: (name, contents) => {
        if (name.endsWith('.wasm')) bytes = contents;
      },
      listFiles: () => [],
    },
  );
  if (result.error) throw result.error;
  mkdirSync(join(folder, 'generated'), { recursive: true });
  const text = Buffer.from(bytes).toString('base64');
  writeFileSync(target, `${mark}\nexport const reduceKernels =\n  '${text}';\n`);
}
