import type { CheckContext, CheckKit, CheckTable, HostValue } from 'shardbook/grader';

interface Fault {
  readonly kind: string;
  readonly name: string;
  /** Default: all. */
  readonly ranks?: readonly number[];
}

interface Asked {
  readonly axes: readonly number[];
  /** Rows of the embedding, width, outputs. */
  readonly sizes?: readonly [number, number, number];
  readonly trained?: number;
  readonly frozen?: readonly string[];
  readonly faults?: readonly Fault[];
  readonly methods?: readonly string[];
}

const CHECK: Readonly<Record<string, string>> = {
  uncovered: 'uncovered',
  tied: 'uncovered',
  replaced: 'types',
  mesh: 'types',
  placement: 'placements',
  shape: 'shapes',
  value: 'values',
  zeros: 'values',
  nan: 'values',
  grad: 'grads',
  optimizer: 'optimizer',
  bit: 'values',
  columns: 'shapes',
  turned: 'shapes',
  axis: 'placements',
  reversed: 'types',
  gradMesh: 'grads',
  gradReversed: 'grads',
  gradShape: 'grads',
  moment: 'optimizer',
  momentPlacement: 'optimizer',
  momentLocal: 'optimizer',
  momentReversed: 'optimizer',
  momentShape: 'optimizer',
};
const METHOD: Readonly<Record<string, string>> = {
  uncovered: 'checkUncovered',
  types: 'checkTypes',
  placements: 'checkPlacements',
  shapes: 'checkShapes',
  values: 'checkValues',
  grads: 'checkGrads',
  optimizer: 'checkOptimizerState',
};

export default (kit: CheckKit): CheckTable => {
  /** What the tool must say of a fault: one finding for each parameter that it touches. */
  const findingsOf = ({ kind, name, ranks }: Fault, world: number): string[] => {
    const where = (ranks ?? Array.from({ length: world }, (_, rank) => rank)).join(' ');
    const names =
      kind === 'uncovered' ? [`${name}.weight`, `${name}.bias`] : [kind === 'tied' ? 'output.weight' : name];
    return names.map((own) => `${CHECK[kind]!}: ${own} on rank ${where}`);
  };
  const describe = ({ kind, name, ranks }: Fault): string =>
    `"${kind}" in ${name}${ranks === undefined ? '' : ` on rank ${ranks.join(', ')}`}`;
  const textOf = (finding: HostValue): string => {
    const [check, name, ranks] = finding as [string, string, number[]];
    return `${check}: ${name} on rank ${Array.isArray(ranks) ? ranks.join(' ') : ranks}`;
  };

  const inWords = (finding: HostValue): string =>
    `${textOf(finding)} (${String((finding as HostValue[])[3]).slice(0, 80)})`;

  const verify = async (context: CheckContext, asked: Asked): Promise<void> => {
    const { axes, sizes = [5, 4, 3], trained = 1, frozen = [], faults = [], methods = [] } = asked;
    const world = axes.reduce((product, n) => product * n, 1);
    // A hidden check's name is never shown.
    const name = `mesh (${axes.join(', ')}), sizes ${sizes.join(' ')}, ${trained} steps, ${faults.length === 0 ? 'no fault' : faults.map(describe).join(', ')}`;
    const model: HostValue[] = [[...axes], [...sizes]];
    // The faults are planted beside the solution: a submission gets the model as it is then, never what was done to it.
    const planted = await context.reference({
      inputs: Array.from({ length: world }, () => [
        ...model,
        trained,
        [...frozen],
        faults as unknown as HostValue,
      ]),
      harness: true,
      call: 'planted',
    });
    const inputs = planted.ranks.map(({ value }) => [
      ...model,
      trained > 0,
      [...frozen],
      value,
      [...methods],
    ]);
    const { run, fail } = await kit.runSetting(context, {
      name,
      work: { inputs, harness: true, call: 'verified' },
    });
    const [first] = run.ranks;
    const wanted = faults.flatMap((fault) => findingsOf(fault, world)).sort();
    for (const [rank, { value }] of run.ranks.entries()) {
      const { findings, status, table, alone } = value as Record<string, HostValue>;
      const list = findings as readonly HostValue[];
      const got = list.map(textOf).sort();
      const missed = wanted.filter((finding) => !got.includes(finding));
      const falsely = got.filter((finding) => !wanted.includes(finding));
      const twice = got.find((finding, i) => got.indexOf(finding) !== i);
      const details = [`it says: ${got.slice(0, 8).join('; ') || 'nothing'}`];
      // A tool that finds a part of what is there, and accuses nobody else, is worth that part.
      const credit =
        wanted.length > 1 && falsely.length === 0 ? (wanted.length - missed.length) / wanted.length : 0;
      if (missed.length > 0)
        throw fail(
          {
            message: `Rank ${rank} does not say: ${missed[0]}`,
            details,
            ...(falsely.some((finding) => finding.split(' on ')[0] === missed[0]!.split(' on ')[0])
              ? { hypothesis: 'the name is right and the ranks are not: do all ranks say what they found?' }
              : {}),
          },
          credit / 2,
        );
      if (falsely.length > 0)
        throw fail({
          message: `Rank ${rank} accuses falsely: ${falsely[0]}`,
          details,
          ...(wanted.some(
            (finding) =>
              finding.split(': ')[1]!.split(' on ')[0] === falsely[0]!.split(': ')[1]!.split(' on ')[0],
          )
            ? { hypothesis: 'one fault is one finding: what an earlier check accused, later ones leave out' }
            : {}),
        });
      if (twice !== undefined) throw fail({ message: `Rank ${rank} says twice: ${twice}`, details });
      if (list.some((finding) => String((finding as HostValue[])[3]).length <= 3))
        throw fail({ message: `Rank ${rank}: a finding has no reason in words`, details });
      if (status !== (wanted.length > 0 ? 1 : 0))
        throw fail({
          message: `Rank ${rank}: the status is ${String(status)}, wanted ${wanted.length > 0 ? 1 : 0}`,
        });
      if (table !== true)
        throw fail({ message: `Rank ${rank}: the table has no line of its own for each finding` });
      const ofFirst = first!.value as Record<string, HostValue>;
      if (
        rank > 0 &&
        JSON.stringify([ofFirst['findings'], ofFirst['alone']]) !== JSON.stringify([list, alone])
      )
        throw fail({
          message: `Ranks 0 and ${rank} return other lists: wanted the same findings, in the same order and with the same reasons`,
          details: [
            `rank 0: ${(ofFirst['findings'] as HostValue[]).map(inWords).join('; ')}`,
            `rank ${rank}: ${list.map(inWords).join('; ')}`,
          ],
        });
      for (const [i, method] of methods.entries()) {
        const own = (alone as HostValue[][])[i]!.map(textOf).sort();
        const mine = wanted.filter((finding) => METHOD[finding.split(':')[0]!] === method);
        if (own.join() !== mine.join())
          throw fail({
            message: `${method}() alone says ${own.join('; ') || 'nothing'}, wanted ${mine.join('; ') || 'nothing'}`,
          });
      }
    }
  };

  return {
    clean: async (context) => {
      for (const world of [1, 2]) {
        await verify(context, { axes: [world] });
        await verify(context, { axes: [world], trained: 0, sizes: [3, 2, 1] });
      }
      await verify(context, { axes: [2], sizes: [10, 6, 5], frozen: ['embedding.weight', 'norm.bias'] });
    },
    types: async (context) => {
      await verify(context, { axes: [2], faults: [{ kind: 'replaced', name: 'hidden.weight' }] });
      await verify(context, { axes: [2], trained: 0, faults: [{ kind: 'mesh', name: 'output.weight' }] });
      // As many ranks, in another order.
      await verify(context, {
        axes: [2],
        sizes: [6, 4, 2],
        faults: [{ kind: 'reversed', name: 'embedding.weight' }],
      });
      await verify(context, {
        axes: [4],
        faults: [{ kind: 'replaced', name: 'norm.weight', ranks: [1, 3] }],
      });
    },
    placements: async (context) => {
      await verify(context, { axes: [2], faults: [{ kind: 'placement', name: 'output.weight' }] });
      await verify(context, {
        axes: [4],
        faults: [{ kind: 'placement', name: 'embedding.weight', ranks: [3] }],
      });
    },
    shapes: async (context) => {
      await verify(context, { axes: [2], faults: [{ kind: 'shape', name: 'hidden.weight', ranks: [1] }] });
      await verify(context, { axes: [4], faults: [{ kind: 'shape', name: 'embedding.weight', ranks: [3] }] });
      await verify(context, { axes: [2], faults: [{ kind: 'columns', name: 'output.weight', ranks: [0] }] });
      await verify(context, {
        axes: [2],
        faults: [{ kind: 'turned', name: 'embedding.weight', ranks: [0] }],
      });
    },
    values: async (context) => {
      await verify(context, { axes: [2], faults: [{ kind: 'zeros', name: 'hidden.bias' }] });
      await verify(context, { axes: [1], faults: [{ kind: 'value', name: 'output.bias' }] });
      await verify(context, { axes: [2], faults: [{ kind: 'bit', name: 'hidden.weight', ranks: [1] }] });
      await verify(context, { axes: [2], faults: [{ kind: 'nan', name: 'hidden.weight', ranks: [1] }] });
      await verify(context, { axes: [2], faults: [{ kind: 'value', name: 'embedding.weight', ranks: [1] }] });
      await verify(context, { axes: [4], faults: [{ kind: 'value', name: 'embedding.weight', ranks: [2] }] });
      await verify(context, {
        axes: [2],
        faults: [
          { kind: 'value', name: 'hidden.weight', ranks: [1] },
          { kind: 'value', name: 'output.weight', ranks: [0] },
        ],
      });
    },
    state: async (context) => {
      await verify(context, { axes: [2], faults: [{ kind: 'grad', name: 'output.weight' }] });
      await verify(context, { axes: [4], faults: [{ kind: 'grad', name: 'hidden.weight', ranks: [0] }] });
      await verify(context, { axes: [2], faults: [{ kind: 'optimizer', name: 'embedding.weight' }] });
      await verify(context, {
        axes: [2],
        faults: [
          { kind: 'gradMesh', name: 'output.weight' },
          { kind: 'gradShape', name: 'hidden.weight', ranks: [1] },
          { kind: 'moment', name: 'embedding.weight' },
          { kind: 'momentPlacement', name: 'norm.weight' },
        ],
      });
      await verify(context, {
        axes: [2],
        sizes: [6, 4, 2],
        faults: [
          { kind: 'momentLocal', name: 'hidden.weight' },
          { kind: 'momentReversed', name: 'output.weight' },
          { kind: 'momentShape', name: 'embedding.weight', ranks: [1] },
          { kind: 'gradReversed', name: 'norm.weight' },
        ],
      });
    },
    uncovered: async (context) => {
      await verify(context, { axes: [2], faults: [{ kind: 'uncovered', name: 'extra' }] });
      await verify(context, { axes: [2], faults: [{ kind: 'uncovered', name: 'extra', ranks: [1] }] });
      await verify(context, {
        axes: [2],
        sizes: [3, 4, 3],
        trained: 0,
        faults: [{ kind: 'tied', name: 'output' }],
      });
    },
    methods: async (context) => {
      const methods = Object.values(METHOD);
      await verify(context, {
        axes: [2],
        faults: [
          { kind: 'replaced', name: 'norm.weight' },
          { kind: 'value', name: 'output.weight', ranks: [1] },
        ],
        methods: methods.filter((m) => m !== 'checkGrads' && m !== 'checkOptimizerState'),
      });
      await verify(context, { axes: [2], methods });
    },
    empty: async (context) => {
      await verify(context, { axes: [4] });
      await verify(context, { axes: [4], trained: 0, sizes: [3, 2, 1] });
    },
    together: async (context) => {
      await verify(context, {
        axes: [4],
        sizes: [10, 8, 4],
        faults: [
          { kind: 'replaced', name: 'hidden.bias' },
          { kind: 'value', name: 'output.weight', ranks: [2] },
          { kind: 'placement', name: 'embedding.weight', ranks: [3] },
        ],
      });
    },
    fresh: async (context) => {
      await verify(context, { axes: [2, 2], sizes: [6, 5, 3] });
      await verify(context, {
        axes: [2, 2],
        sizes: [5, 4, 3],
        faults: [
          { kind: 'value', name: 'embedding.weight', ranks: [2] },
          { kind: 'placement', name: 'output.weight' },
          { kind: 'axis', name: 'hidden.weight' },
        ],
      });
      await verify(context, {
        axes: [2],
        sizes: [3, 2, 1],
        faults: [
          { kind: 'uncovered', name: 'late' },
          { kind: 'optimizer', name: 'output.bias' },
        ],
      });
      const random = new kit.Random(kit.deriveSeed(context.seed, 'faults'));
      const names = ['embedding.weight', 'hidden.weight', 'norm.weight', 'norm.bias', 'output.weight'];
      const kinds = [
        'replaced',
        'placement',
        'shape',
        'zeros',
        'grad',
        'optimizer',
        'mesh',
        'columns',
        'moment',
      ];
      for (let i = 0; i < 3; i++) {
        const world = i === 1 ? 2 : 4;
        const faults = names
          .filter(() => random.uniform() < 0.6)
          .map((name): Fault => {
            const kind = kinds[random.integer(0, kinds.length - 1)]!;
            const everywhere =
              kind === 'zeros' || kind === 'optimizer' || kind === 'moment' || random.uniform() < 0.4;
            return everywhere ? { kind, name } : { kind, name, ranks: [random.integer(0, world - 1)] };
          });
        await verify(context, { axes: [world], sizes: [9, 8, 8], faults });
      }
      await verify(context, {
        axes: [4],
        sizes: [2, 6, 1],
        trained: 2,
        faults: [
          { kind: 'shape', name: 'output.bias', ranks: [2] },
          { kind: 'value', name: 'embedding.weight', ranks: [0, 1] },
        ],
      });
    },
  };
};
