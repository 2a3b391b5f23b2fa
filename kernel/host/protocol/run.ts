/** A kernel process: sockets first, so that a front end is answered while ranks and compiler still start. */
import { readFileSync } from 'node:fs';
import { ShardbookError } from '../../runtime/index.js';
import { Session, type SessionOptions } from '../session/index.js';
import { KernelCore } from './core.js';
import { parseConnection, ZmqCarrier } from './zmq.js';

export interface KernelProcessOptions extends SessionOptions {
  connectionFile: string;
  version?: string;
}

/** Runs until a front end shuts the kernel down, the process that started it is gone, or a signal ends it. */
export async function runKernel(options: KernelProcessOptions): Promise<void> {
  const { connectionFile, version, ...sessionOptions } = options;
  const info = parseConnection(readConnection(connectionFile), connectionFile);
  const log = (text: string): void => void process.stderr.write(`[shardbook kernel] ${text}\n`);
  const session = Session.launch(sessionOptions);
  session.ready.catch((error: unknown) => log(`the ranks did not start: ${String(error)}`));
  const carrier = await ZmqCarrier.bind(info, log).catch(async (error: unknown) => {
    await session.shutdown();
    throw error;
  });
  await new Promise<void>((resolve) => {
    const core = new KernelCore(session, carrier, {
      log,
      onShutdown: () => resolve(),
      ...(version === undefined ? {} : { version }),
    });
    carrier.listen((channel, message, origin) => void core.handle(channel, message, origin));
    core.start();
    // A cell's mistake never gets here; what does is said, and the kernel lives on.
    process.on('uncaughtException', (error) => log(`internal: ${error.stack ?? error.message}`));
    process.on('unhandledRejection', (reason) =>
      log(`internal: ${String((reason as Error)?.stack ?? reason)}`),
    );
    process.on('SIGINT', () => void session.interrupt());
    process.on('SIGTERM', () => resolve());
    watchParent(() => resolve());
  });
  await carrier.flush();
  await session.shutdown();
  carrier.close();
}

function readConnection(file: string): string {
  try {
    return readFileSync(file, 'utf8');
  } catch (cause) {
    throw new ShardbookError({
      code: 'SB_CONNECTION_FILE',
      message: `Cannot read the connection file "${file}"`,
      help: 'Jupyter passes this file; by hand, use "shardbook start"',
      cause,
    });
  }
}

/** Jupyter says who started the kernel; a kernel whose front end crashed must not stay behind. */
function watchParent(gone: () => void): void {
  const pid = Number(process.env['JPY_PARENT_PID'] ?? 0);
  if (!Number.isInteger(pid) || pid <= 1) return;
  const timer = setInterval(() => {
    try {
      process.kill(pid, 0);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== 'ESRCH') return;
      clearInterval(timer);
      gone();
    }
  }, 1000);
  timer.unref();
}
