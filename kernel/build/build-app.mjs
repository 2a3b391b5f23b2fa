/**
 * Bundles the browser app (kernel/host/web) into `dist/app`, with everything it needs at run time beside it: no outside
 * host is contacted. A bundle takes 6-10 s, so it is kept in node_modules/.cache under a hash of its inputs.
 */
import { createHash } from 'node:crypto';
import { existsSync } from 'node:fs';
import { cp, mkdir, readdir, readFile, rename, rm, writeFile } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { dirname, join, relative, resolve } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const here = dirname(fileURLToPath(import.meta.url));
const root = resolve(here, '../..');
const web = join(root, 'kernel/host/web');
const require = createRequire(import.meta.url);

/** Builds the app into `outdir`; returns whether the cache served it, and how long it took. */
export async function buildApp({ outdir = join(root, 'dist/app'), minify = true } = {}) {
  const started = performance.now();
  const key = await inputsHash(minify);
  const cached = join(root, 'node_modules/.cache/shardbook-app', key);
  const hit = existsSync(join(cached, 'index.html'));
  if (!hit) await bundleInto(cached, minify);
  if (!(await isCurrent(outdir, key))) {
    await rm(outdir, { recursive: true, force: true });
    await mkdir(dirname(outdir), { recursive: true });
    await cp(cached, outdir, { recursive: true });
    await writeFile(join(outdir, '.key'), key);
  }
  if (!hit) await dropOldCaches(dirname(cached), key);
  return { cached: hit, ms: Math.round(performance.now() - started) };
}

async function isCurrent(outdir, key) {
  try {
    return (await readFile(join(outdir, '.key'), 'utf8')) === key;
  } catch {
    return false;
  }
}

async function inputsHash(minify) {
  const hash = createHash('sha256').update(`minify=${minify}`);
  const own = (await listFiles(web)).filter((name) => !name.endsWith('.test.ts'));
  const files = new Set([fileURLToPath(import.meta.url), join(root, 'package-lock.json'), ...own]);
  for (const file of files) {
    const text = await readFile(file);
    hash.update(relative(root, file)).update('\0').update(text).update('\0');
    if (file.endsWith('.ts')) for (const path of bundledImports(file, text.toString())) files.add(path);
  }
  return hash.digest('hex').slice(0, 20);
}

/** Files of this project that a module brings into the bundle: the app takes some from beside its own folder. */
function bundledImports(file, text) {
  const imports = text.matchAll(/^(?:import|export) (?!type )[^;]*?from '(\.[^']+)\.js';/gm);
  return [...imports].map(([, path]) => `${resolve(dirname(file), path)}.ts`).filter(existsSync);
}

async function listFiles(folder) {
  const entries = await readdir(folder, { withFileTypes: true, recursive: true });
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath ?? entry.path, entry.name))
    .sort();
}

async function dropOldCaches(folder, keep) {
  for (const name of await readdir(folder))
    if (name !== keep) await rm(join(folder, name), { recursive: true, force: true });
}

async function bundleInto(target, minify) {
  const { build } = await import('esbuild');
  const temporary = `${target}.${process.pid}.tmp`;
  await rm(temporary, { recursive: true, force: true });
  await mkdir(temporary, { recursive: true });
  const { metafile } = await build({
    metafile: true,
    entryPoints: { app: join(web, 'main.ts'), lab: join(web, 'lab.css') },
    outdir: temporary,
    bundle: true,
    splitting: true,
    format: 'esm',
    platform: 'browser',
    target: ['es2022'],
    minify,
    legalComments: 'none',
    chunkNames: 'chunks/[name]-[hash]',
    assetNames: 'assets/[name]-[hash]',
    logLevel: 'error',
    logOverride: { 'css-syntax-error': 'silent', 'unsupported-css-property': 'silent' },
    define: {
      'process.env.NODE_ENV': '"production"',
      'process.env': '{}',
      global: 'globalThis',
      __dirname: '"/"',
    },
    inject: [join(web, 'process-shim.js')],
    loader: {
      '.woff': 'file',
      '.woff2': 'file',
      '.ttf': 'file',
      '.eot': 'file',
      '.png': 'dataurl',
      '.gif': 'dataurl',
    },
    plugins: [jupyterLabPlugin()],
  });
  await cp(join(web, 'favicon.svg'), join(temporary, 'favicon.svg'));
  const page = await readFile(join(web, 'index.html'), 'utf8');
  const chunks = notebookChunks(metafile, temporary).join(' ');
  await writeFile(
    join(temporary, 'index.html'),
    page.replace('</head>', `  <meta name="shardbook-notebook-chunks" content="${chunks}">\n  </head>`),
  );
  // The strict build of Plotly needs no `eval`, which the Content-Security-Policy forbids.
  await cp(require.resolve('plotly.js/dist/plotly-strict.min.js'), join(temporary, 'plotly.min.js'));
  await rm(target, { recursive: true, force: true });
  await rename(temporary, target);
}

/** Addresses of what the code of notebooks imports at once, itself first. */
function notebookChunks({ outputs }, outdir) {
  const names = Object.keys(outputs);
  const entry = names.find((name) => outputs[name].entryPoint?.endsWith('kernel/host/web/lesson.ts'));
  const found = new Set(entry === undefined ? [] : [entry]);
  for (const name of found)
    for (const { path, kind } of outputs[name].imports) if (kind === 'import-statement') found.add(path);
  return [...found].map((name) => `/app/${relative(outdir, resolve(name)).replaceAll('\\', '/')}`);
}

/** Editor modes of languages no lesson uses: left out, they are half of the chunks. */
const unusedLanguages = /^@codemirror\/(legacy-modes\/|lang-(cpp|java|php|rust|sql|wast|xml)$)/;

/** The traps of bundling JupyterLab's packages with esbuild, one by one. */
function jupyterLabPlugin() {
  return {
    name: 'jupyterlab',
    setup(build) {
      build.onResolve({ filter: unusedLanguages }, ({ path }) => ({ path, namespace: 'empty' }));
      build.onLoad({ filter: /.*/, namespace: 'empty' }, () => ({
        contents: 'module.exports = {};',
        loader: 'js',
      }));
      // Icon fonts of old widgets (1.5 MB), which nothing here draws with.
      build.onResolve({ filter: /^~?@fortawesome\// }, ({ path }) => ({ path, namespace: 'empty-css' }));
      build.onLoad({ filter: /.*/, namespace: 'empty-css' }, () => ({ contents: '', loader: 'css' }));
      // `path` is wanted by @jupyterlab/coreutils.
      build.onResolve({ filter: /^path$/ }, () => ({ path: require.resolve('path-browserify') }));
      // webpack's `~package/file` in CSS.
      build.onResolve({ filter: /^~/ }, ({ path, kind, resolveDir }) =>
        build.resolve(path.slice(1), { kind, resolveDir }),
      );
      // An SVG is markup when imported from code (icons) but a file when named by CSS.
      build.onResolve({ filter: /\.svg$/ }, async ({ path, kind, resolveDir, importer, pluginData }) => {
        if (pluginData === 'seen') return undefined;
        const found = await build.resolve(path.replace(/^~/, ''), {
          kind,
          resolveDir,
          importer,
          pluginData: 'seen',
        });
        return {
          path: found.path,
          namespace: kind === 'url-token' ? 'svg-url' : 'svg-text',
          errors: found.errors,
        };
      });
      build.onLoad({ filter: /\.svg$/, namespace: 'svg-text' }, async ({ path }) => ({
        contents: await readFile(path, 'utf8'),
        loader: 'text',
      }));
      build.onLoad({ filter: /\.svg$/, namespace: 'svg-url' }, async ({ path }) => ({
        contents: await readFile(path),
        loader: 'dataurl',
      }));
      // With splitting, a dynamic import of CommonJS has `default` only, and MathJax's names are wanted from it.
      build.onLoad(
        { filter: /@jupyterlab[\\/]mathjax-extension[\\/]lib[\\/]index\.js$/ },
        async ({ path }) => ({
          contents: (await readFile(path, 'utf8')).replace(
            /import\('(mathjax-full\/[^']+)'\)/g,
            "import('$1').then((m) => m.default ?? m)",
          ),
          loader: 'js',
        }),
      );
    },
  };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { cached, ms } = await buildApp({ minify: !process.argv.includes('--no-minify') });
  console.log(`app built in ${ms} ms${cached ? ' (cached)' : ''}`);
}
