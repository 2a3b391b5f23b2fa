/** DTensors against what PyTorch 2.13 observed: shards, redistributions, operations, their placements and collectives. */
import { readFileSync } from 'node:fs';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { Cluster } from '../../runtime/distributed/transport/testing/cluster.js';
import { opsProgram, redistributeProgram, shardProgram } from './dtensor-programs.js';

interface Case {
  name: string;
  ranks: unknown[];
}

const read = (name: string): Case[] =>
  JSON.parse(readFileSync(new URL(`${name}.json`, import.meta.url), 'utf8')) as Case[];
const described = (cases: readonly Case[]): unknown[] => cases.map(({ ranks: _, ...rest }) => rest);

/** Numbers as close as torch.testing has float32, everything else exact; what PyTorch did not record is not asked. */
function expectLike(got: unknown, wanted: unknown, path: string): void {
  if (typeof wanted === 'number' && typeof got === 'number') {
    if (Math.abs(got - wanted) > 1e-5 + 2e-6 * Math.abs(wanted))
      expect(`${path}: ${got}`).toBe(`${path}: ${wanted}`);
  } else if (Array.isArray(wanted) && Array.isArray(got)) {
    if (got.length !== wanted.length)
      expect(`${path} has ${got.length}`).toBe(`${path} has ${wanted.length}`);
    wanted.forEach((entry, i) => {
      expectLike(got[i], entry, `${path}[${i}]`);
    });
  } else if (typeof wanted === 'object' && wanted !== null) {
    for (const [key, value] of Object.entries(wanted))
      expectLike((got as Record<string, unknown> | null)?.[key], value, `${path}.${key}`);
    if (path.endsWith('comms'))
      expect(`${path} ${JSON.stringify(got)}`).toBe(`${path} ${JSON.stringify(wanted)}`);
  } else expect(`${path}: ${String(got)}`).toBe(`${path}: ${String(wanted)}`);
}

function compare(got: readonly unknown[], { ranks, name }: Case): void {
  ranks.forEach((wanted, rank) => {
    if (typeof wanted === 'object' && wanted !== null && 'error' in wanted && !defined.has(name))
      expect((got[rank] as { error?: string }).error, `${name} must fail`).toMatch(/^SB_/);
    else if (!(defined.has(name) && 'error' in (wanted as object)))
      expectLike(got[rank], withMoves(wanted), `${name} rank ${rank}`);
  });
}

/** `S(1)R->RR->RS(0)` as moves, `0 S(1) R` and `1 R S(0)`; the order of cuts, `[1]`, shows in the moves. */
function movesOf(trace: string): string[] {
  const states = trace
    .split(/-+>/)
    .map((state) => [...state.matchAll(/(_?[SP]\([^)]*\)|R)(\[\d+\])?/g)].map((match) => match[1]!));
  return states
    .slice(1)
    .flatMap((state, i) =>
      state.flatMap((to, axis) => (to === states[i]![axis] ? [] : [`${axis} ${states[i]![axis]} ${to}`])),
    );
}

/** Where the recorder could not tell the steps, they are not asked. */
function withMoves(wanted: unknown): unknown {
  if (typeof wanted !== 'object' || wanted === null || !('steps' in wanted)) return wanted;
  const { steps, ...rest } = wanted;
  return /^[SRP_]/.test(String(steps)) ? { ...rest, steps: movesOf(String(steps)) } : rest;
}

/** Reductions of an empty part fail on that rank alone in PyTorch, and the others wait for ever. Ours are the identity. */
const defined = new Set(['reduce.norminf.S1', 'reduce.max.S1', 'reduce.min.S1', 'reduce_uneven.max.S0']);

function suite(world: number, files: readonly [name: string, program: (cases: unknown) => string][]): void {
  describe(`on ${world} ranks`, () => {
    let cluster: Cluster;
    beforeAll(async () => {
      cluster = await Cluster.start(world);
    }, 60_000);
    afterAll(() => cluster.stop());

    describe.each(files)('%s', (name, program) => {
      const cases = read(`${name}_w${world}`).filter((one) => 'mesh' in one || name === 'ops');
      let got: unknown[][];
      beforeAll(async () => {
        got = (await cluster.run(program(described(cases)))) as unknown[][];
        const failed = got.find((one) => one instanceof Error);
        if (failed) throw failed;
      }, 60_000);
      test.each(cases.map((one, i) => [one.name, one, i] as const))('%s', (_, one, i) => {
        compare(
          got.map((rank) => rank[i]),
          one,
        );
      });
    });
  });
}

suite(2, [
  ['redistribute', redistributeProgram],
  ['shard', shardProgram],
  ['ops', opsProgram],
]);
suite(4, [
  ['redistribute', redistributeProgram],
  ['shard', shardProgram],
  ['ops', opsProgram],
]);
suite(8, [['shard', shardProgram]]);
