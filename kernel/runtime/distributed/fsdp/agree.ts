/** Before their first collective the ranks of a group compare what they shard: who differs is named on every rank. */
import { dist, type ProcessGroup, withoutCommHooks } from '../group/index.js';
import { fsdpError } from './errors.js';
import type { FSDPParamGroup } from './param-group.js';

/** Throws on every rank of a shard group unless all have the same groups with the same parameters. */
export function checkAgreement(groups: readonly FSDPParamGroup[]): void {
  const byProcessGroup = new Map<ProcessGroup, string[]>();
  for (const group of groups) {
    const { shard } = group.meshInfo;
    if (shard === null || shard.size === 1) continue;
    const lines = byProcessGroup.get(shard.group) ?? [];
    for (const p of group.params) lines.push(`"${p.fqn}" ${p.spec} in the group of "${group.fqn ?? ''}"`);
    byProcessGroup.set(shard.group, lines);
  }
  for (const [processGroup, own] of byProcessGroup) {
    const all: unknown[] = Array.from({ length: processGroup.size() }, () => null);
    // Not part of what FSDP communicates: no counter and no trace should see it.
    withoutCommHooks(() => dist.allGatherObject(all, own, { group: processGroup }));
    const lists = all as string[][];
    const first = lists[0]!;
    for (const [i, other] of lists.entries()) {
      const length = Math.max(first.length, other.length);
      const at = Array.from({ length }, (_, k) => k).find((k) => first[k] !== other[k]);
      if (at === undefined) continue;
      const [a, b] = [processGroup.ranks[0]!, processGroup.ranks[i]!];
      throw fsdpError(
        'RANKS_DIFFER',
        `Cannot run FSDP: ranks ${a} and ${b} shard different modules`,
        'build the same model, and call fullyShard on the same modules in the same order, on every rank',
        [
          `parameter ${at} is ${first[at] ?? 'missing'} on rank ${a}`,
          `and ${other[at] ?? 'missing'} on rank ${b}`,
        ],
      );
    }
  }
}
