/** What the magics of a cell do to the session. */
import { ShardbookError } from '../../runtime/index.js';
import type { Instrument, Magic } from './magics.js';
import { magicHelp } from './magics.js';
import type { Ranks } from './ranks.js';
import type { CheckLevel, VariablesView } from './types.js';
import { mergeVariables, variableTable } from './variables.js';

/** What magics may do. */
export interface MagicHost {
  readonly ranks: Ranks;
  checkLevel: CheckLevel;
  /** A fresh world; all variables are gone. */
  replaceWorld(size: number): Promise<void>;
  restartRank(rank: number): Promise<void>;
  /** Variables gone, ranks kept. */
  forgetVariables(): Promise<void>;
  variables(): Promise<VariablesView>;
}

export async function obey(magic: Magic, host: MagicHost, say: (text: string) => void): Promise<void> {
  const { ranks } = host;
  switch (magic.name) {
    case 'world':
      ranks.wish(magic.size, magic.cluster);
      await host.replaceWorld(magic.size);
      return say(
        [
          `World of ${magic.size} ${magic.size === 1 ? 'rank' : 'ranks'}; all variables are fresh.`,
          ...(Object.keys(magic.cluster).length > 0 ? [`cluster: ${ranks.machine}`] : []),
        ].join('\n'),
      );
    case 'check':
      if (magic.level) host.checkLevel = magic.level;
      return say(`Type errors: ${host.checkLevel}`);
    case 'restart':
      if (magic.rank === undefined) {
        await host.replaceWorld(ranks.size);
        return say('All ranks are fresh; no variables.');
      }
      checkRanks([magic.rank], ranks.size);
      await host.restartRank(magic.rank);
      return say(`Rank ${magic.rank} is fresh; no variables.`);
    case 'reset':
      await host.forgetVariables();
      return say('All variables are forgotten.');
    case 'who': {
      const { ranks: perRank } = await host.variables();
      const troubles = perRank.flatMap(({ rank, trouble }) =>
        trouble === undefined ? [] : [`[rank ${rank}] ${trouble}`],
      );
      const table = variableTable(mergeVariables(perRank), ranks.size);
      return say([...(table.length === 0 ? ['No variables yet.'] : table), ...troubles].join('\n'));
    }
    case 'help':
      return say(magicHelp());
  }
}

export function checkRanks(ranks: readonly number[], worldSize: number): void {
  const outside = ranks.filter((rank) => rank >= worldSize);
  if (outside.length === 0) return;
  throw new ShardbookError({
    code: 'SB_NO_SUCH_RANK',
    message: `Cannot run on rank ${outside.join(', ')}: the world has ranks 0 to ${worldSize - 1}`,
    help: `"%world ${Math.max(...outside) + 1}" starts a larger world`,
  });
}

/** The trace of a cell is gathered from all ranks, so all have to run it. */
export function checkInstruments(
  instruments: readonly Instrument[],
  ranks: readonly number[],
  worldSize: number,
): void {
  if (!instruments.includes('trace') || ranks.length === worldSize) return;
  throw new ShardbookError({
    code: 'SB_MAGIC_ARGUMENT',
    message: `Cannot obey "%trace": the cell runs on rank ${ranks.join(', ')} only, wanted all ranks`,
    help: 'leave out "%%rank", or use "new CommRecorder()" on these ranks',
  });
}

/** Blanks commands, so that the compiler sees code and positions stay. */
export function withoutMagics(code: string): string {
  return code.replace(/^(\s*)%{1,2}[A-Za-z].*$/gm, (line) => ' '.repeat(line.length));
}
