/**
 * 1,000 cells in a row and 100 restarts of the ranks leave memory and processes as they were: the kernel as Jupyter starts
 * it, over its sockets. Also whole starts and ends of the process, and training that is interrupted wherever it happens to be. Prints figures and closes with `N passed, N failed`.
 * The compiler's garbage comes and goes in hundreds of MiB: its heap has a limit here, which a leak would run into.
 */
import { spawn } from 'node:child_process';
import { createHmac, randomUUID } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:net';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { Dealer } from 'zeromq';

/** Fewer for a quick look. */
const CELLS = Number(process.env.SHARDBOOK_LONG_CELLS ?? 1000);
const RESTARTS = Number(process.env.SHARDBOOK_LONG_RESTARTS ?? 100);
const PROCESSES = 10;
const INTERRUPTS = Number(process.env.SHARDBOOK_LONG_INTERRUPTS ?? 40);
const MIB = 2 ** 20;
const cli = join(dirname(fileURLToPath(import.meta.url)), '../../../dist/cli.js');
const folder = mkdtempSync(join(tmpdir(), 'shardbook-long-'));
let passed = 0;
let failed = 0;

class Kernel {
  static async start(world) {
    const ports = await freePorts(5);
    const file = join(folder, `${randomUUID()}.json`);
    const key = randomUUID();
    const [shell_port, control_port, iopub_port, stdin_port, hb_port] = ports;
    writeFileSync(
      file,
      JSON.stringify({
        transport: 'tcp',
        ip: '127.0.0.1',
        key,
        signature_scheme: 'hmac-sha256',
        shell_port,
        control_port,
        iopub_port,
        stdin_port,
        hb_port,
      }),
    );
    const kernel = new Kernel();
    kernel.key = key;
    kernel.child = spawn(
      process.execPath,
      [
        '--expose-gc',
        '--max-old-space-size=300',
        cli,
        'kernel',
        'run',
        '--connection-file',
        file,
        '--world',
        String(world),
      ],
      {
        stdio: 'inherit',
        // The kernel ends when this process is gone, however it went.
        env: { ...process.env, JPY_PARENT_PID: String(process.pid) },
      },
    );
    kernel.exited = new Promise((done) => kernel.child.once('exit', done));
    kernel.shell = new Dealer({ linger: 0 });
    kernel.shell.connect(`tcp://127.0.0.1:${shell_port}`);
    kernel.control = new Dealer({ linger: 0 });
    kernel.control.connect(`tcp://127.0.0.1:${control_port}`);
    await kernel.ask('kernel_info_request', {});
    return kernel;
  }

  async ask(type, content, socket = this.shell) {
    const id = randomUUID();
    const header = {
      msg_id: id,
      msg_type: type,
      session: 'long',
      username: 'long',
      date: '',
      version: '5.5',
    };
    const parts = [header, {}, {}, content].map((part) => Buffer.from(JSON.stringify(part)));
    const hmac = createHmac('sha256', this.key);
    for (const part of parts) hmac.update(part);
    await socket.send([Buffer.from('<IDS|MSG>'), Buffer.from(hmac.digest('hex')), ...parts]);
    for (;;) {
      const frames = await socket.receive();
      const at = frames.findIndex((frame) => frame.equals(Buffer.from('<IDS|MSG>')));
      if (JSON.parse(frames[at + 3].toString()).msg_id === id) return JSON.parse(frames[at + 5].toString());
    }
  }

  /** What a rank's heap holds when nothing can be collected any more, in bytes. */
  async heap() {
    await this.run('(globalThis as unknown as { gc(): void }).gc()');
    const { used } = (await this.run('undefined', { used: 'process.memoryUsage().heapUsed' }))
      .user_expressions;
    return Number(used.data['text/plain']);
  }

  execute(code, expressions = {}) {
    return this.ask('execute_request', {
      code,
      silent: false,
      store_history: true,
      user_expressions: expressions,
      allow_stdin: false,
      stop_on_error: false,
    });
  }

  async run(code, expressions = {}) {
    const reply = await this.execute(code, expressions);
    if (reply.status !== 'ok') throw new Error(`${code}: ${reply.ename}: ${reply.evalue}`);
    return reply;
  }

  get memory() {
    const status = readFileSync(`/proc/${this.child.pid}/status`, 'utf8');
    return Number(/VmRSS:\s+(\d+)/.exec(status)[1]) * 1024;
  }

  get threads() {
    return readdirSync(`/proc/${this.child.pid}/task`).length;
  }

  get files() {
    return readdirSync(`/proc/${this.child.pid}/fd`).length;
  }

  get children() {
    return readFileSync(`/proc/${this.child.pid}/task/${this.child.pid}/children`, 'utf8')
      .trim()
      .split(' ')
      .filter(Boolean).length;
  }

  async stop() {
    await this.ask('shutdown_request', { restart: false }, this.control);
    const code = await this.exited;
    this.shell.close();
    this.control.close();
    return code;
  }
}

async function freePorts(count) {
  const servers = Array.from({ length: count }, () => createServer());
  const ports = await Promise.all(
    servers.map(
      (server) => new Promise((done) => server.listen(0, '127.0.0.1', () => done(server.address().port))),
    ),
  );
  await Promise.all(servers.map((server) => new Promise((done) => server.close(done))));
  return ports;
}

async function check(name, body) {
  const started = performance.now();
  try {
    const figures = await body();
    passed += 1;
    console.log(`ok    ${name}: ${figures} (${Math.round((performance.now() - started) / 1000)} s)`);
  } catch (error) {
    failed += 1;
    console.log(`FAIL  ${name}: ${error.message}`);
  }
}

const mib = (bytes) => Math.round(bytes / MIB);
const peak = (values) => Math.max(...values);

/** The later part of the samples may not stand above the earlier one; the first fifth is warming up. */
function flat(samples, allowed) {
  const fifth = Math.floor(samples.length / 5);
  const early = peak(samples.slice(fifth, 3 * fifth));
  const late = peak(samples.slice(3 * fifth));
  const said = `resident ${mib(samples[0])} MiB at first, ${mib(early)} in the middle, ${mib(late)} at the end`;
  if (late > early + allowed * MIB) throw new Error(`memory grows: ${said}`);
  return said;
}

function same(what, before, after) {
  if (after > before) throw new Error(`${what} grow: ${before}, then ${after}`);
  return `${what} ${after}`;
}

/** Steps that hold much state while they run: `step` is what is interrupted. */
const STEPS = {
  'FSDP on two axes': `import { fullyShard, initDeviceMesh, MixedPrecisionPolicy } from 'shardbook';
const mesh = initDeviceMesh('cpu', [2, 2], { meshDimNames: ['replicate', 'shard'] });
const net = new nn.Sequential(new nn.Linear(16, 32), new nn.Linear(32, 32), new nn.Linear(32, 4));
const mpPolicy = new MixedPrecisionPolicy({ paramDtype: torch.bfloat16, reduceDtype: torch.float32 });
for (const layer of net) fullyShard(layer, { mesh, mpPolicy });
fullyShard(net, { mesh, mpPolicy });
const optimizer = new optim.Adam(net.parameters(), { lr: 0.001 });
function step(): number {
  optimizer.zeroGrad();
  const loss = (net.call(torch.ones([8, 16])) as Tensor).pow(2).mean();
  loss.backward();
  nn.utils.clipGradNorm_(net.parameters(), 1);
  optimizer.step();
  return loss.item() as number;
}`,
  'tensor parallel, recomputed': `import { ColwiseParallel, initDeviceMesh, parallelizeModule, RowwiseParallel } from 'shardbook';
const mesh = initDeviceMesh('cpu', [4]);
const block = new nn.Sequential(new nn.Linear(16, 64), new nn.GELU(), new nn.Linear(64, 16));
parallelizeModule(block, mesh, { '0': new ColwiseParallel(), '2': new RowwiseParallel() });
const optimizer = new optim.AdamW(block.parameters(), { lr: 0.001 });
function step(): number {
  optimizer.zeroGrad();
  const x = torch.ones([8, 16]).requiresGrad_();
  const y = torch.utils.checkpoint.checkpoint((t: Tensor) => block.call(t) as Tensor, x);
  const loss = y.pow(2).mean();
  loss.backward();
  optimizer.step();
  return loss.item() as number;
}`,
  'messages under instruments': `import { CommRecorder, MemoryLedger } from 'shardbook';
const half = dist.newGroup([0, 1]);
const recorder = new CommRecorder();
const ledger = new MemoryLedger();
function exchange(): number {
  const sum = torch.full([7], rank, { dtype: torch.float32 });
  const under = dist.allReduce(sum, { asyncOp: true });
  dist.allGatherObject([null, null, null, null], { rank });
  const got = torch.zeros([5]);
  const works = [dist.isend(torch.ones([5]), (rank + 1) % 4), dist.irecv(got, (rank + 3) % 4)];
  for (const work of works) work!.wait();
  under!.wait();
  if (rank < 2) dist.allReduce(torch.ones([2]), { group: half });
  dist.barrier();
  return sum.sum().item() as number;
}
const step = (): number => recorder.run(() => ledger.run(exchange));`,
};

if (process.platform !== 'linux') {
  console.log('skipped: memory, threads and files of a process are read from /proc');
} else {
  await check(`${CELLS} cells in a row`, async () => {
    const kernel = await Kernel.start(2);
    const samples = [];
    await kernel.run('let total = 0; const held = torch.ones([1000])');
    for (let i = 0; i < 20; i++) await kernel.run(`const warm${i % 7} = ${i}; warm${i % 7}`);
    const [threads, files, heap] = [kernel.threads, kernel.files, await kernel.heap()];
    for (let i = 1; i <= CELLS; i++) {
      await kernel.run(
        [
          `const x${i % 50}: number = ${i}; total += x${i % 50}; console.log(total)`,
          `function f${i % 50}(a: number): number { return a + total }\nf${i % 50}(rank)`,
          `held.mul(${i}).add(1).sum().item()`,
          `display({ 'text/html': '<b>${i}</b>' }); await Promise.resolve(${i})`,
        ][i % 4],
      );
      if (i % 20 === 0) samples.push(kernel.memory);
    }
    const grown = (await kernel.heap()) - heap;
    // What stays of a cell: its source map, for the stacks of functions that it made.
    if (grown > CELLS * 8 * 1024) throw new Error(`a rank's heap grew by ${mib(grown)} MiB`);
    const said = [
      flat(samples, 160),
      `a rank's heap ${mib(heap)} and ${mib(heap + grown)} MiB`,
      same('threads', threads + 1, kernel.threads),
      same('files', files + 4, kernel.files),
      same('child processes', 0, kernel.children),
    ];
    const code = await kernel.stop();
    if (code !== 0) throw new Error(`the kernel exited with ${code}`);
    return said.join(', ');
  });

  await check(`${RESTARTS} restarts of the ranks`, async () => {
    const kernel = await Kernel.start(2);
    const samples = [];
    let before;
    for (let i = 1; i <= RESTARTS; i++) {
      await kernel.run('const big = torch.zeros([1 << 18]); setInterval(() => {}, 1000); big.numel()');
      await kernel.run('%restart');
      samples.push(kernel.memory);
      if (i === RESTARTS / 5) before = [kernel.threads, kernel.files];
    }
    // A thread that ends may be counted for a moment.
    const said = [
      flat(samples, 96),
      same('threads', before[0] + 2, kernel.threads),
      same('files', before[1] + 4, kernel.files),
      same('child processes', 0, kernel.children),
    ];
    await kernel.stop();
    return said.join(', ');
  });

  await check(`${PROCESSES} starts and ends of the process`, async () => {
    const pids = [];
    for (let i = 0; i < PROCESSES; i++) {
      const kernel = await Kernel.start(2);
      pids.push(kernel.child.pid);
      if (i % 2 === 0) await kernel.run('1');
      const code = await kernel.stop();
      if (code !== 0) throw new Error(`kernel ${i} exited with ${code}`);
    }
    const left = pids.filter((pid) => {
      try {
        process.kill(pid, 0);
        return true;
      } catch {
        return false;
      }
    });
    return same('processes left', 0, left.length);
  });

  for (const [name, code] of Object.entries(STEPS)) {
    await check(`${name}, interrupted ${INTERRUPTS} times, goes on`, async () => {
      const kernel = await Kernel.start(4);
      await kernel.run(`${code}\nstep();`);
      for (let i = 0; i < INTERRUPTS; i++) {
        const kept = `const kept${i} = ${i};`;
        await kernel.run(kept);
        const running = kernel.execute('for (;;) step();');
        // From the moment the cell begins to the middle of its steps.
        await new Promise((done) => setTimeout(done, i));
        await kernel.ask('interrupt_request', {}, kernel.control);
        const { ename, evalue } = await running;
        if (!/interrupted/i.test(`${ename} ${evalue}`))
          throw new Error(`round ${i}: the cell ended with ${ename}: ${evalue}`);
        await kernel.run(
          `step(); if (!(step() >= 0) || kept${i} !== ${i}) throw new Error('wrong in round ${i}')`,
        );
      }
      await kernel.stop();
      return `${INTERRUPTS} rounds`;
    });
  }
  console.log(`${passed} passed, ${failed} failed`);
}
rmSync(folder, { recursive: true, force: true });
process.exit(failed === 0 ? 0 : 1);
