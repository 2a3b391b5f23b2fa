/**
 * What torchrun does, over a world of threads: runs a script on all ranks, and again on fresh ones when one of them fails, as
 * often as allowed. The first failure ends an attempt: ranks that wait for the failed one fail with it, and who still runs
 * after a moment is stopped.
 */
import { ShardbookError } from '../../runtime/index.js';
import { prepareWorld } from '../session/index.js';
import { distEntry, rankEnv, World } from '../world/index.js';
import { AttemptLogs, type LogPlan } from './logs.js';
import type { ScriptOutput, ScriptRequest } from './rank/index.js';
import type { ScriptFile } from './transpile.js';

export interface LaunchPlan {
  files: ScriptFile[];
  argv: string[];
  /** Simulated: ranks know of nodes by their variables, and all are threads of this machine. */
  nodes: number;
  perNode: number;
  maxRestarts: number;
  runId: string;
  role: string;
  masterAddr: string;
  masterPort: number;
  logs: LogPlan;
}

/** How long the other ranks may take to fail by themselves. */
const STOP_AFTER_MS = 1000;
/** A terminal's Ctrl-C comes twice, from the terminal and from the process that waits for this one. */
const SAME_SIGNAL_MS = 200;

interface Failure {
  rank: number;
  error: unknown;
  exitCode: number;
  /** It ended by process.exit, not by an error. */
  exited: boolean;
  at: string;
}

interface Outcome {
  /** In the order of time; those that were only stopped are not in it. */
  failures: Failure[];
  stopped: number[];
  signal: NodeJS.Signals | undefined;
}

const SIGNALS = { SIGINT: 130, SIGTERM: 143 } as const;

/** Runs the script; resolves to the exit code: 0, that of the rank that failed first, or 128 + the signal that ended it. */
export async function launch(plan: LaunchPlan): Promise<number> {
  for (let attempt = 0; ; attempt++) {
    const logs = new AttemptLogs(plan.logs, attempt, plan.perNode);
    try {
      const outcome = await runOnce(plan, attempt, logs);
      await logs.close();
      if (outcome.signal !== undefined) return SIGNALS[outcome.signal as keyof typeof SIGNALS];
      const cause = rootCause(outcome.failures);
      if (cause === undefined) return 0;
      report(outcome, cause, attempt, logs);
      if (attempt >= plan.maxRestarts) return cause.exitCode;
      process.stderr.write(`shardbook: restart ${attempt + 1} of ${plan.maxRestarts}\n`);
    } finally {
      await logs.close();
    }
  }
}

async function runOnce(plan: LaunchPlan, attempt: number, logs: AttemptLogs): Promise<Outcome> {
  const size = plan.nodes * plan.perNode;
  const { memory, supervisor } = prepareWorld(size);
  const world = await World.start({
    size,
    entry: distEntry('run-worker.js'),
    workerData: memory,
    supervisor,
    env: (rank) => launchEnv(plan, attempt, rank),
  });
  world.onEvent((rank, event) => {
    const { stream, text } = event as ScriptOutput;
    logs.write(rank, stream, text);
  });
  world.onOutput((rank, stream, text) => logs.write(rank, stream, text));
  const exitCodes = new Map<number, number>();
  world.onExit((rank, _, code) => {
    if (code !== undefined) exitCodes.set(rank, code);
  });
  const outcome: Outcome = { failures: [], stopped: [], signal: undefined };
  let stopping = false;
  const running = new Set<number>();
  const stop = async () => {
    stopping = true;
    outcome.stopped.push(...running);
    await world.stop();
  };
  let timer: NodeJS.Timeout | undefined;
  let signalled = 0;
  const onSignal = (signal: NodeJS.Signals) => {
    if (outcome.signal === undefined) {
      signalled = performance.now();
      outcome.signal = signal;
      void world.interrupt();
    } else if (performance.now() - signalled > SAME_SIGNAL_MS) {
      // The second one does not wait for an orderly end.
      void stop();
    }
  };
  for (const signal of Object.keys(SIGNALS) as NodeJS.Signals[]) process.on(signal, onSignal);
  const request: ScriptRequest = { files: plan.files, argv: plan.argv };
  try {
    await Promise.all(
      Array.from({ length: size }, async (_, rank) => {
        running.add(rank);
        try {
          await world.request(rank, request);
        } catch (error) {
          const exitCode = exitCodes.get(rank) ?? 1;
          if (stopping || exitCode === 0) return;
          const exited = exitCodes.has(rank);
          outcome.failures.push({ rank, error, exitCode, exited, at: new Date().toISOString() });
          timer ??= setTimeout(() => void stop(), STOP_AFTER_MS);
        } finally {
          running.delete(rank);
        }
      }),
    );
  } finally {
    clearTimeout(timer);
    for (const signal of Object.keys(SIGNALS) as NodeJS.Signals[]) process.off(signal, onSignal);
    await world.stop();
  }
  return outcome;
}

function launchEnv(plan: LaunchPlan, attempt: number, rank: number): Record<string, string> {
  return {
    ...rankEnv(rank, plan.nodes * plan.perNode, plan.nodes),
    ROLE_NAME: plan.role,
    MASTER_ADDR: plan.masterAddr,
    MASTER_PORT: String(plan.masterPort),
    TORCHELASTIC_RESTART_COUNT: String(attempt),
    TORCHELASTIC_MAX_RESTARTS: String(plan.maxRestarts),
    TORCHELASTIC_RUN_ID: plan.runId,
    TORCHELASTIC_USE_AGENT_STORE: 'True',
  };
}

/** The first failure that is not another's: who waits for a failed rank may be heard before it. */
function rootCause(failures: readonly Failure[]): Failure | undefined {
  return failures.find(({ error }) => codeOf(error) !== 'SB_PEER_FAILED') ?? failures[0];
}

function report({ failures, stopped }: Outcome, cause: Failure, attempt: number, logs: AttemptLogs): void {
  const files = failures.map(({ rank, error, exitCode, at }) =>
    logs.writeError(rank, {
      rank,
      attempt,
      exitCode,
      time: at,
      code: codeOf(error),
      message: error instanceof Error ? error.message : String(error),
      stack: error instanceof Error ? ownFrames(error) : [],
    }),
  );
  const lines = [`rank ${cause.rank} failed: ${describe(cause)}`];
  const followers = failures.filter((failure) => failure !== cause);
  for (const { rank, error } of followers) {
    const first = error instanceof Error ? error.message.split('\n')[0] : String(error);
    lines.push(`  rank ${rank} failed with it: ${first}`);
  }
  if (stopped.length > 0) {
    lines.push(
      `  ${stopped.length === 1 ? 'rank' : 'ranks'} ${stopped.join(', ')} still ran and ${stopped.length === 1 ? 'was' : 'were'} stopped`,
    );
  }
  const file = files[failures.indexOf(cause)];
  if (file !== undefined) lines.push(`  error file: ${file}`);
  process.stderr.write(`${lines.join('\n')}\n`);
}

function describe({ error, exitCode, exited }: Failure): string {
  if (exited) return `its code called process.exit(${exitCode})`;
  if (!(error instanceof Error)) return String(error);
  const code = error instanceof ShardbookError ? `  [${error.code}]` : '';
  const name = code === '' && error.name !== '' ? `${error.name}: ` : '';
  return [name + error.message + code, ...ownFrames(error)].join('\n');
}

/** Frames of the runtime say nothing to the author of the script. */
function ownFrames(error: Error): string[] {
  const frames = (error.stack ?? '').split('\n').filter((line) => /^\s+at /.test(line));
  return frames.filter((line) => !/node:|[\\/]dist[\\/]|\(<anonymous>\)/.test(line));
}

function codeOf(error: unknown): string | undefined {
  return error instanceof ShardbookError ? error.code : undefined;
}
