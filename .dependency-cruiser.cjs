// DESIGN's import rules. Each rule says why it exists and what to do instead.
const R = 'kernel/runtime/';
const D = `${R}distributed/`;
const forbid = (name, comment, from, to, toNot) => ({
  name,
  comment,
  severity: 'error',
  from: { path: from, pathNot: '\\.test\\.ts$|/testing/|/fixtures/' },
  to: toNot ? { path: to, pathNot: toNot } : { path: to },
});
/** Folder `name` of the runtime may import itself and `allowed` only. */
const only = (name, allowed, comment) =>
  forbid(
    `${name.replace(/\//g, '-')}-imports`,
    comment,
    `^${R}${name}/`,
    `^kernel/`,
    [`^${R}${name}/`, ...allowed.map((a) => `^${R}${a}`)].join('|'),
  );

const par = ['fsdp', 'tensor-parallel', 'pipeline', 'context-parallel', 'ddp'];
const below = [
  'base/',
  'tensor/',
  'nn/',
  'distributed/store/',
  'distributed/transport/',
  'distributed/group/',
  'distributed/mesh/',
  'distributed/dtensor/',
];

module.exports = {
  forbidden: [
    {
      name: 'no-cycles',
      comment: 'A cycle makes two modules one. Move the shared part into a leaf both import.',
      severity: 'error',
      from: {},
      to: { circular: true, viaOnly: { dependencyTypesNot: ['type-only'] } },
    },
    only('base', [], 'base is the ground: it imports nothing. Pass in what it needs.'),
    only('backend', ['base/'], 'A backend computes on typed arrays; it knows no Tensor.'),
    only(
      'tensor',
      ['base/', 'backend/backend'],
      'Tensors see the Backend interface, never an implementation: construct at the root.',
    ),
    only(
      'nn',
      ['base/', 'tensor/'],
      'Modules are built from tensors alone, so that they run without a world.',
    ),
    only('optim', ['base/', 'tensor/'], 'An optimizer sees parameters as tensors; it must work without nn.'),
    only(
      'distributed/store',
      ['base/', 'platform/'],
      'A store is a key-value meeting place; it knows no tensor.',
    ),
    only('distributed/transport', ['base/'], 'A transport moves bytes; it knows no tensor and no group.'),
    only(
      'distributed/group',
      ['base/', 'platform/', 'tensor/', 'distributed/store/', 'distributed/transport/'],
      'Groups stand on store and transport.',
    ),
    only('distributed/mesh', ['base/', 'tensor/', 'distributed/group/'], 'A mesh arranges groups.'),
    only(
      'distributed/dtensor',
      ['base/', 'tensor/', 'nn/', 'distributed/group/', 'distributed/mesh/'],
      'DTensor knows meshes, not the parallelisms that use it.',
    ),
    ...par.map((p) =>
      only(
        `distributed/${p}`,
        below.concat('optim/'),
        'A parallelism never imports another: compose them at the call site.',
      ),
    ),
    only(
      'distributed/inspect',
      below,
      'inspect looks at meshes, DTensors and modules from outside; the parallelisms do not need it.',
    ),
    only(
      'distributed/checkpoint',
      [...below, 'optim/'],
      'A checkpoint knows parameters by name, whatever shards them.',
    ),
    only(
      'distributed/debug',
      [...below, 'simulator/'],
      'debug subscribes to groups and modules; it knows no parallelism.',
    ),
    only(
      'simulator',
      ['base/', 'platform/', 'tensor/', 'distributed/group/'],
      'The simulator stands on the event streams of group and tensor alone.',
    ),
    only(
      'planner',
      ['base/', 'simulator/'],
      'Plans are made before anything runs: from figures, not tensors.',
    ),
    forbid(
      'debug-is-a-subscriber',
      'debug subscribes to the event streams of group and tensor; nothing imports it but the public index.',
      `^${R}(?!index\\.ts|distributed/index\\.ts|distributed/debug/)`,
      `^${D}debug/`,
    ),
    forbid(
      'runtime-knows-no-host',
      'The runtime runs in a browser worker too: host wires it, never the reverse.',
      `^${R}`,
      '^kernel/(host|preload)',
    ),
    forbid(
      'host-uses-the-public-runtime',
      'Import from kernel/runtime/index.ts, preload.ts or (errors) base: what is not public is not for the host.',
      '^kernel/host/',
      `^${R}`,
      `^${R}(index|base/index)\\.ts$`,
    ),
    forbid(
      'kernel-knows-no-content',
      'Lessons, exercises, solutions and grader are found by manifest, not imported.',
      '^kernel/',
      '^(lessons|exercises|solutions|grader)/',
      '^grader/(index|wire)\\.ts$',
    ),
    forbid(
      'exercises-know-no-solutions',
      'A starter that imports a solution gives it away.',
      '^exercises/',
      '^solutions/',
    ),
    forbid(
      'content-uses-the-published-entry',
      "Lessons, exercises and solutions import 'shardbook', as a learner does.",
      '^(lessons|exercises|solutions)/',
      '^kernel/',
      `^${R}index\\.ts$`,
    ),
    forbid(
      'grader-uses-the-published-entry',
      'The grader sees the kernel as any user does, and makes folders as the host does.',
      '^grader/',
      '^kernel/',
      `^${R}index\\.ts$|^kernel/host/folders/index\\.ts$`,
    ),
    ...[`${R}distributed/`, R, 'kernel/host/', 'grader/'].map((house) => ({
      name: `${house.split('/').at(-2)}-through-the-index`,
      comment:
        "Across folders import the folder's index.ts: what it does not name is its own affair. (The browser app takes " +
        'single files: an index would bring Node along.)',
      severity: 'error',
      from: {
        path: `^${house}([^/]+)/`,
        pathNot: '\\.(test|long)\\.ts$|/testing/|/fixtures/|^kernel/host/web/',
      },
      to: {
        path: `^${house}[^/]+/`,
        pathNot: [`^${house}$1/`, '/index\\.ts$', `^${R}backend/backend\\.ts$`],
      },
    })),
    {
      name: 'no-own-index',
      comment: "Inside a folder import files: a detour over the folder's index makes circles.",
      severity: 'error',
      from: {
        path: '^(kernel/(?:host|runtime(?:/distributed)?)/[^/]+|grader/[^/]+)/[^/]+\\.ts$',
        pathNot: '\\.(test|long)\\.ts$',
      },
      to: { path: '^$1/index\\.ts$' },
    },
    {
      name: 'no-node-in-runtime',
      comment:
        'The runtime is platform-neutral; what differs between Node and a browser worker lives in runtime/platform.',
      severity: 'error',
      from: { path: `^${R}`, pathNot: `^${R}platform/|\\.test\\.ts$|/fixtures/` },
      to: { dependencyTypes: ['core'] },
    },
  ],
  options: {
    tsConfig: { fileName: 'tsconfig.json' },
    tsPreCompilationDeps: true,
    doNotFollow: { path: 'node_modules' },
    exclude: { path: 'node_modules|/generated/|/assembly/|^dist/' },
  },
};
