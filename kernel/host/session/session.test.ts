/** A whole session on real threads: needs dist/. */
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import path from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Session } from './session.js';
import type { CellOutput, ExecuteOptions } from './types.js';

const folder = mkdtempSync(path.join(tmpdir(), 'shardbook-session-'));
let session: Session;

beforeAll(async () => {
  session = await Session.start({ world: 3, cwd: folder, patience: 10_000 });
}, 30_000);

afterAll(async () => {
  await session.shutdown();
  rmSync(folder, { recursive: true });
});

async function run(code: string, options: ExecuteOptions = {}) {
  const outputs: CellOutput[] = [];
  const result = await session.execute(code, { ...options, onOutput: (output) => outputs.push(output) });
  const shown = outputs.flatMap((output) => {
    if (output.type === 'stream') return [output.text.trimEnd()];
    return output.type === 'execute_result' ? [String(output.data['text/plain'])] : [];
  });
  return { ...result, outputs, shown: shown.join('\n') };
}

/** Runs a cell that says "on" and then goes on for ever, and interrupts it. */
async function cutOff(code: string): Promise<void> {
  let begun = false;
  const running = session.execute(code, {
    onOutput: () => {
      begun = true;
    },
  });
  await expect.poll(() => begun, { timeout: 60_000 }).toBe(true);
  await session.interrupt();
  expect(plain((await running).error?.traceback)).toContain('Interrupted: ');
}

const COLOUR = new RegExp(`${String.fromCharCode(27)}\\[\\d+m`, 'g');
const plain = (traceback: readonly string[] | undefined) => (traceback ?? []).join('\n').replace(COLOUR, '');

describe('Session', () => {
  test('runs a cell on all ranks and folds what they say', async () => {
    expect((await run('console.log("same"); console.log(rank); worldSize')).shown).toBe(
      'same\n[rank 0] 0\n[rank 1] 1\n[rank 2] 2\n3',
    );
  });

  test('torch.Tensor, torch.dtype and torch.device are types', async () => {
    const code = `function twice(x: torch.Tensor, dtype: torch.dtype = torch.float32): torch.Tensor { return x.mul(2).to(dtype) }
twice(torch.ones([2])).tolist()`;
    expect((await run(code)).shown).toBe('[ 2, 2 ]');
    expect((await run('const wrong: torch.Tensor = 1')).error?.ename).toBe('TypeScriptError');
  });

  test('an error names the ranks and the line of the cell, also in functions of earlier cells', async () => {
    await run(
      'let calls = 0;\n\nfunction fail(): never {\n  calls += 1;\n  throw new RangeError("too far");\n}',
    );
    const { error, executionCount } = await run('// one\nif (rank > 0) fail();');
    const text = plain(error?.traceback);
    expect(error?.ename).toBe('RangeError');
    expect(text).toContain('[rank 1,2] RangeError: too far');
    expect(text).toContain(`at fail (cell ${executionCount - 1}:5:9)`);
    expect(text).toContain(`at cell ${executionCount}:2:15`);
    expect(text).not.toMatch(/node:|dist|chunks/);
  });

  test('a cell that fails on one rank declares nothing, and a correct one afterwards does', async () => {
    const { status } = await run('const made = 1; if (rank === 2) throw new Error("no")');
    expect(status).toBe('error');
    expect((await run('made')).error?.ename).toBe('TypeScriptError');
    expect((await run('const made = "again"; made')).shown).toBe("'again'");
  });

  test('an interrupt keeps variables and the session works on', async () => {
    await run('let kept = 41;');
    let looping = false;
    const running = session.execute('kept += 1; console.log("on"); for (;;) {}', {
      onOutput: () => {
        looping = true;
      },
    });
    await expect.poll(() => looping, { timeout: 60_000 }).toBe(true);
    const { kept } = await session.interrupt();
    expect(kept).toEqual([0, 1, 2]);
    expect((await running).error?.traceback.join()).toContain('Interrupted');
    expect((await run('kept')).shown).toBe('42');
  });

  test('a rank that is interrupted while it prints can still print', async () => {
    for (let i = 0; i < 5; i++) {
      await cutOff('for (;;) console.log("on", console.error("and on"));');
      expect((await run('console.log("out"); console.error("err")')).shown).toBe('out\nerr');
    }
  });

  test.each([
    ['noGrad', 'torch.noGrad(() => { BODY })'],
    ['an async noGrad', 'await torch.noGrad(async () => { console.log("on"); await new Promise(() => {}) })'],
    ['autocast', 'torch.autocast("cpu", { dtype: torch.bfloat16 }, () => { BODY })'],
    [
      'a backward pass',
      'const x = torch.ones([2]).requiresGrad_(); x.registerHook(() => { BODY }); x.sum().backward()',
    ],
    ['an operation', 'console.log("on"); const big = torch.ones([300, 300]); for (;;) big.matmul(big)'],
    [
      'functionalCall',
      'model.registerForwardPreHook(() => { BODY }); nn.functionalCall(model, { weight: torch.zeros([1, 2]) }, [torch.ones([2])])',
    ],
    ['recording', 'recorder.run(() => { BODY })'],
    ['a traced cell', '%trace\nBODY'],
  ])('after an interrupt inside of %s everything is as it was before', async (_, code) => {
    await run(
      '%reset\nconst model = new nn.Linear(2, 1); const { weight } = model; const recorder = new CommRecorder()',
    );
    await cutOff(code.replace('BODY', 'console.log("on"); for (;;) {}'));
    const probe = `const w = torch.ones([2, 2]).requiresGrad_();
const y = w.matmul(w);
y.sum().backward();
dist.barrier();
[torch.isGradEnabled(), y.requiresGrad, String(y.dtype), w.grad!.sum().item(), model.weight === weight, recorder.steps.length]`;
    expect((await run(probe)).shown).toBe("[ true, true, 'torch.float32', 16, true, 0 ]");
  });

  test.each([
    ['FSDP', 'for (const layer of net) fullyShard(layer);\nfullyShard(net);'],
    ['DDP', 'const ddp = new DistributedDataParallel(net);'],
  ])('training with %s that is interrupted, or fails, goes on in the next cell', async (name, wrap) => {
    const made = await run(`%reset
const middle = new nn.Linear(64, 64);
const net = new nn.Sequential(new nn.Linear(16, 64), middle, new nn.Linear(64, 4));
${wrap}
const optimizer = new optim.SGD(net.parameters(), { lr: 0.01 });
let wrong = '';
const fail = () => { throw new Error(wrong); };
middle.registerForwardHook((_module, _args, output) => {
  if (wrong === 'forward') fail();
  if (wrong === 'backward') (output as Tensor).registerHook(fail);
});
function step(): number {
  optimizer.zeroGrad();
  const loss = ${name === 'DDP' ? 'ddp' : 'net'}.call(torch.ones([8, 16])).pow(2).mean();
  loss.backward();
  optimizer.step();
  return loss.item() as number;
}
step();`);
    expect(plain(made.error?.traceback)).toBe('');
    const goesOn = async (): Promise<void> => {
      const { error, shown } = await run("wrong = ''; for (let i = 0; i < 3; i++) step(); step() >= 0");
      expect(plain(error?.traceback)).toBe('');
      expect(shown).toBe('true');
    };
    for (let i = 0; i < 4; i++) {
      await cutOff('console.log("on"); for (;;) step();');
      await goesOn();
    }
    for (const where of ['forward', 'backward']) {
      const { error } = await run(`wrong = '${where}'; step()`);
      expect(plain(error?.traceback)).toContain(`Error: ${where}`);
      await goesOn();
    }
  });

  test('a cell that is interrupted while it begins loses nothing of the cell before', async () => {
    await run('%reset');
    for (let i = 0; i < 15; i++) {
      await run(`const kept${i} = ${i}`);
      const running = session.execute('for (;;) {}');
      await new Promise((resolve) => setTimeout(resolve, i));
      await session.interrupt();
      await running;
      expect((await run(`kept${i}`)).shown).toBe(String(i));
    }
  });

  test('a rank that dies is named and started again; the others keep their variables', async () => {
    await run('const before = rank');
    const { error, shown } = await run('if (rank === 1) process.exit(3)');
    expect(plain(error?.traceback)).toContain('[rank 1] RankDied');
    expect(shown).toContain('Rank 1 died');
    expect((await run('%%rank 0,2\nbefore')).shown).toBe('[rank 0] 0\n[rank 2] 2');
    expect(plain((await run('before')).error?.traceback)).toContain('this rank has no value for it');
  });

  test('files beside the notebook can be imported, changed and imported again', async () => {
    const file = path.join(folder, 'side.ts');
    writeFileSync(
      file,
      'import { nearestName } from "shardbook";\nexport const say = (): string => nearestName("ab", ["abc"]) ?? "none";\n',
    );
    expect((await run("import { say } from './side';\nsay()")).shown).toBe("'abc'");
  });

  test('an error in a file beside the notebook names the line of the file', async () => {
    const file = path.join(folder, 'thrower.ts');
    writeFileSync(
      file,
      'export interface Gone {\n  x: number;\n}\n\nexport function fail(): void {\n  throw new RangeError("far");\n}\n',
    );
    const { error } = await run("import { fail } from './thrower.ts';\nfail()");
    expect(plain(error?.traceback)).toContain(`${file}:6:`);
  });

  test('packages that exist only as ES modules are imported, statically and dynamically', async () => {
    const root = path.join(folder, 'node_modules/esm-only');
    const { mkdirSync } = await import('node:fs');
    mkdirSync(root, { recursive: true });
    writeFileSync(
      path.join(root, 'package.json'),
      JSON.stringify({ name: 'esm-only', type: 'module', exports: { import: './main.js' } }),
    );
    writeFileSync(path.join(root, 'main.js'), 'export const answer = 42;\nexport default class Thing {}\n');
    writeFileSync(
      path.join(root, 'main.d.ts'),
      'export const answer: number;\nexport default class Thing {}\n',
    );
    expect((await run("import Thing, { answer } from 'esm-only';\n[answer, Thing.name]")).shown).toBe(
      "[ 42, 'Thing' ]",
    );
    expect((await run("(await import('esm-only')).answer")).shown).toBe('42');
  });

  test('%who shows where ranks differ', async () => {
    await run('%reset');
    await run('const alike = 1; const different = rank % 2');
    expect((await run('%who')).shown).toBe(
      'alike                  number  1\ndifferent  [rank 0,2]  number  0\ndifferent  [rank 1]    number  1',
    );
  });

  test('%%time tells the time of each rank', async () => {
    const { shown } = await run('%%time\n1;');
    expect(shown).toMatch(/took [\d.]+ m?s \(rank 0 [\d.]+ m?s, rank 1 [\d.]+ m?s, rank 2 [\d.]+ m?s\)/);
  });

  test('progress is one output for all ranks, replaced as they go', async () => {
    const { outputs, status } = await run('for (const i of progress(3, { label: "steps" })) await i;');
    expect(status).toBe('ok');
    const shown = outputs.filter((output) => output.type.endsWith('display_data')) as {
      type: string;
      displayId?: string;
      data: Record<string, unknown>;
    }[];
    expect(new Set(shown.map(({ displayId }) => displayId)).size).toBe(1);
    expect(shown[0]!.type).toBe('display_data');
    expect(shown.at(-1)!.data['text/plain']).toBe('steps [########################] 3 of 3');
  });

  test('display() of all ranks is one output, also when one rank has shown more in an earlier cell', async () => {
    await run('if (rank === 0) display(1)');
    const { outputs } = await run('display("alike")');
    const shown = outputs.filter((output) => output.type === 'display_data');
    expect(shown.map((output) => output.data['text/plain'])).toEqual(["'alike'"]);
  });

  test('%trace shows the communication of a cell, %ledger its memory', async () => {
    await run('if (!dist.isInitialized()) dist.initProcessGroup()');
    const { outputs } = await run('%trace\n%ledger\ndist.allReduce(torch.ones([256]));');
    const texts = outputs.flatMap((output) =>
      output.type === 'display_data' ? [String(output.data['text/plain'])] : [],
    );
    expect(texts.join('\n')).toMatch(/allReduce/);
    expect(texts.length).toBeGreaterThanOrEqual(2);
    expect((await run('%%rank 0\n%trace\n1')).error?.evalue).toContain('wanted all ranks');
  });

  test('%world makes the machine that virtual times are of', async () => {
    const { shown } = await run(
      '%world 2 --nodes 2 --device a100\n[cluster.ranks, cluster.ranksPerNode, cluster.memoryBytes > 0]',
    );
    expect(shown).toContain('[ 2, 1, true ]');
    expect((await run('%world 2 --device a10')).error?.evalue).toContain('a10');
    await run('%world 3');
  });

  test('a missing package is named with what to do', async () => {
    const { error } = await run("%check off\nimport nothing from 'no-such-package';\nnothing");
    await run('%check errors');
    expect(plain(error?.traceback)).toContain('npm install no-such-package');
  });

  test("import from 'shardbook' is the module the rank runs", async () => {
    expect(
      (
        await run(
          "import { ShardbookError } from 'shardbook';\nimport * as all from 'shardbook';\nall.ShardbookError === ShardbookError",
        )
      ).shown,
    ).toBe('true');
  });

  test('output of timers after the cell still arrives', async () => {
    const { outputs } = await run('setTimeout(() => console.log("late"), 30); undefined');
    const said = () => outputs.flatMap((output) => (output.type === 'stream' ? [output.text] : [])).join('');
    await expect.poll(said, { timeout: 60_000 }).toContain('late');
  });

  test('%world starts a world of another size without variables', async () => {
    await run('const small = 1');
    expect((await run('%world 2\nworldSize')).shown).toContain('2');
    expect((await run('small')).error?.ename).toBe('TypeScriptError');
    expect((await run('%world 0')).error?.evalue).toContain('Cannot start a world of 0 ranks');
  });

  test('a silent cell shows no result and is not counted', async () => {
    const count = session.executionCount;
    const { outputs } = await run('1 + 1', { silent: true });
    expect(outputs).toEqual([]);
    expect(session.executionCount).toBe(count);
  });
});
