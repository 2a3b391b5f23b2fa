/**
 * Compiles the AssemblyScript kernels into a module that carries the WASM bytes, so that a browser worker needs no file:
 * once for every engine with SIMD, once for those with relaxed SIMD, whose fused multiply-add makes products faster.
 */
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

export async function buildWasm(root) {
  const folder = join(root, 'kernel', 'runtime', 'backend', 'wasm');
  const sources = join(folder, 'assembly');
  const target = join(folder, 'generated', 'kernels.ts');
  const hash = createHash('sha256').update(readFileSync(new URL(import.meta.url)));
  const files = readdirSync(sources)
    .filter((name) => name.endsWith('.ts'))
    .sort();
  for (const name of files) hash.update(name).update(readFileSync(join(sources, name)));
  const mark = `// made from ${hash.digest('hex')}`;
  if (existsSync(target) && readFileSync(target, 'utf8').startsWith(mark)) return;
  const { default: asc } = await import('assemblyscript/asc');
  const compile = async (...features) => {
    let bytes;
    const result = await asc.main(
      [
        'index.ts',
        '--outFile',
        'kernels.wasm',
        '-O3',
        '--noAssert',
        '--runtime',
        'stub',
        ...['simd', ...features].flatMap((feature) => ['--enable', feature]),
        '--initialMemory',
        '2',
      ],
      {
        stdout: process.stdout,
        stderr: process.stderr,
        readFile: (name, base) => {
          const path = join(sources, name);
          return base === '.' && existsSync(path) ? readFileSync(path, 'utf8') : null;
        },
        writeFile: (name, contents) => {
          if (name.endsWith('.wasm')) bytes = contents;
        },
        listFiles: () => [],
      },
    );
    if (result.error) throw result.error;
    return Buffer.from(bytes).toString('base64');
  };
  const [plain, relaxed] = [await compile(), await compile('relaxed-simd')];
  mkdirSync(join(folder, 'generated'), { recursive: true });
  writeFileSync(
    target,
    `${mark}\nexport const plainKernels =\n  '${plain}';\nexport const relaxedKernels =\n  '${relaxed}';\n`,
  );
}
