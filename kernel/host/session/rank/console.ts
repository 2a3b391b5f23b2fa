import { Console } from 'node:console';

/** Sends what this thread's console and `process.stdout` write to `emit`, one call for one write. */
export function captureConsole(emit: (name: 'stdout' | 'stderr', text: string) => void): void {
  // Not a stream of Node's, which has a state: an interrupt in the middle of a write would leave it writing for ever.
  const sink = (name: 'stdout' | 'stderr') =>
    ({ write: (text: string) => emit(name, text) }) as unknown as NodeJS.WritableStream;
  const own = new Console({
    stdout: sink('stdout'),
    stderr: sink('stderr'),
    // With it, each print adds a listener of errors to the stream, which a sink has not, and takes it away again.
    ignoreErrors: false,
    colorMode: false,
    inspectOptions: { depth: 4, breakLength: 100 },
  });
  // Node's own global console object stays: libraries may have kept it.
  for (const key of Object.keys(own) as (keyof Console)[]) {
    if (typeof own[key] === 'function') Object.assign(console, { [key]: own[key] });
  }
  captureStreams(emit);
}

/** Sends what this thread writes to `process.stdout` and `process.stderr` to `emit`, in order with its other messages. */
export function captureStreams(emit: (name: 'stdout' | 'stderr', text: string) => void): void {
  for (const name of ['stdout', 'stderr'] as const) {
    process[name].write = ((chunk: string | Uint8Array, ...rest: unknown[]) => {
      emit(name, typeof chunk === 'string' ? chunk : Buffer.from(chunk).toString());
      const callback = rest.find((argument) => typeof argument === 'function') as (() => void) | undefined;
      if (callback) queueMicrotask(callback);
      return true;
    }) as typeof process.stdout.write;
  }
}
