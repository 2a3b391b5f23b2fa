import type { CheckContext, CheckKit, CheckTable, HostValue } from 'shardbook/grader';

const MESHES = [[4], [2, 3], [3, 2], [2, 3, 4], [5, 1]];
/** Five dimensions, and sizes of two digits: as text they sort otherwise, and read the same when they are put together. */
const LARGE = [
  [2, 1, 2, 3, 2],
  [2, 12],
  [21, 2],
];

export default (kit: CheckKit): CheckTable => {
  const worldOf = (shape: readonly number[]): number => shape.reduce((product, size) => product * size, 1);
  const ask = (context: CheckContext, call: string, args: readonly HostValue[]) => {
    const name = `${call}(${args.map((arg) => JSON.stringify(arg)).join(', ')})`;
    return kit.sameAsReference(context, { name, work: { inputs: [args], call } });
  };
  const everyRank = async (
    meshes: readonly number[][],
    visit: (rank: number, shape: number[]) => Promise<unknown>,
  ) => {
    for (const shape of meshes) for (let rank = 0; rank < worldOf(shape); rank++) await visit(rank, shape);
  };
  const coordinates = (rank: number, shape: readonly number[]): number[] =>
    shape.map((size, dim) => Math.floor(rank / worldOf(shape.slice(dim + 1))) % size);
  const groups = async (context: CheckContext, meshes: readonly number[][]) => {
    await everyRank(meshes, async (rank, shape) => {
      for (let dim = 0; dim < shape.length; dim++) await ask(context, 'groupOf', [rank, shape, dim]);
    });
  };
  return {
    coordinates: (context) =>
      everyRank(MESHES, (rank, shape) => ask(context, 'coordinatesOf', [rank, shape])),
    'rank-at': (context) =>
      everyRank(MESHES, (rank, shape) => ask(context, 'rankAt', [coordinates(rank, shape), shape])),
    groups: (context) => groups(context, MESHES.slice(0, 4)),
    partition: async (context) => {
      const shape = [2, 3, 2];
      for (let dim = 0; dim < shape.length; dim++) {
        const seen = new Map<number, string>();
        for (let rank = 0; rank < worldOf(shape); rank++) {
          const work = { inputs: [[rank, shape, dim]], call: 'groupOf' };
          const { run, fail } = await kit.runSetting(context, {
            name: `mesh [2, 3, 2], dimension ${dim}`,
            work,
          });
          const group = String(run.ranks[0]!.value);
          for (const member of group.split(',').map(Number)) {
            const before = seen.get(member);
            if (before !== undefined && before !== group)
              throw fail({
                message: `Rank ${member} is in the groups [${before}] and [${group}]: the members of a group must all have the same one`,
              });
            seen.set(member, group);
          }
        }
      }
    },
    fresh: async (context) => {
      const random = new kit.Random(kit.deriveSeed(context.seed, 'fresh'));
      const meshes = [
        ...[[1], [2, 1, 3], [2, 2, 2, 2], [random.integer(2, 4), random.integer(2, 4)]],
        ...LARGE,
      ];
      await everyRank(meshes, async (rank, shape) => {
        await ask(context, 'coordinatesOf', [rank, shape]);
        await ask(context, 'rankAt', [coordinates(rank, shape), shape]);
      });
      await groups(context, meshes);
    },
  };
};
