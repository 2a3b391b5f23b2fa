/** The caller's place in a stack: the first frame that is not Shardbook's own. */
const HERE = ownFolder(new Error().stack ?? '');

/** "cell 3, line 5" for a cell, "train.ts, line 12" for a file; undefined when the stack shows neither. */
export function callerPlace(stack: string): string | undefined {
  const frames = stack.split('\n').filter((line) => /^\s+at /.test(line));
  for (const frame of frames) {
    const cell = /\b(cell [^():]+):(\d+):\d+/.exec(frame);
    if (cell) return `${cell[1]}, line ${cell[2]}`;
  }
  for (const frame of frames) {
    // Code made by eval has its maker's place in front of its own.
    const dynamic = /<anonymous>:(\d+):\d+\)?$/.exec(frame);
    if (dynamic) return `line ${dynamic[1]}`;
    if (frame.includes('node:') || (HERE !== undefined && frame.includes(HERE))) continue;
    const file = /([^/\\(]+?):(\d+):\d+\)?$/.exec(frame);
    if (file) return `${file[1]}, line ${file[2]}`;
  }
  return undefined;
}

/** Built, the runtime is a few files of one folder; from source it is this tree. */
function ownFolder(stack: string): string | undefined {
  const first = stack.split('\n').find((line) => /^\s+at /.test(line));
  const path = first && /((?:file:\/\/)?\/[^()]*?):\d+:\d+/.exec(first)?.[1]?.replace('file://', '');
  if (path === undefined) return undefined;
  const source = path.indexOf('/kernel/runtime/');
  if (source >= 0) return path.slice(0, source + '/kernel/runtime/'.length);
  return path.slice(0, path.lastIndexOf('/') + 1).replace(/chunks\/$/, '');
}
