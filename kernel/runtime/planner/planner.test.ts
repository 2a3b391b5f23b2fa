import { describe, expect, it } from 'vitest';
import { chooseTechnique, MemoryPlan, planVariants, StrategyTable } from './index.js';

const total = (plan: MemoryPlan): number => plan.total;

describe('MemoryPlan', () => {
  it('shards 16 bytes of state per parameter', () => {
    const plan = new MemoryPlan({ params: 2_099_200, world: 4, compute: 'float32', groupParams: 0 });
    expect(plan.total).toBe((16 * 2_099_200) / 4);
  });

  it('takes gathered groups by their size, not by the number of ranks', () => {
    const [eight, sixteen] = planVariants({ params: 1e9, world: 8, groupParams: 1e8 }, [{ world: 16 }]) as [
      MemoryPlan,
      MemoryPlan,
    ];
    expect(sixteen.categories['gathered parameters']).toBe(eight.categories['gathered parameters']);
    expect(sixteen.categories['optimizer state']).toBe(eight.categories['optimizer state']! / 2);
  });

  it('moves state to the host under offload', () => {
    const plan = new MemoryPlan({ params: 1e9, world: 8, groupParams: 1e8, cpuOffload: true });
    expect(plan.hostBytes).toBe(16e9 / 8);
    expect(plan.categories['optimizer state']).toBe(0);
  });

  it('says what fits', () => {
    const base = { params: 7e9, world: 8, groupParams: 2e8, capacity: 80e9 };
    expect(new MemoryPlan(base).fits).toBe(true);
    expect(new MemoryPlan({ ...base, strategy: 'ddp' }).fits).toBe(false);
  });

  it('orders strategies by memory: ddp, zero1, zero2, fsdp', () => {
    const plans = (['ddp', 'zero1', 'zero2', 'fsdp'] as const).map(
      (strategy) => new MemoryPlan({ params: 1e9, world: 8, groupParams: 1e7, strategy }),
    );
    expect(plans.map(total)).toEqual([...plans.map(total)].sort((a, b) => b - a));
  });
});

describe('chooseTechnique', () => {
  it.each([
    [{ params: 0.11e9, deviceBytes: 80e9, devices: 4 }, 'ddp'],
    [{ params: 14e9, deviceBytes: 80e9, devices: 16 }, 'fsdp'],
    [{ params: 14e9, deviceBytes: 80e9, devices: 16, seq: 65_536 }, 'fsdp+cp'],
    [{ params: 70e9, deviceBytes: 80e9, devices: 8 }, 'fsdp+offload'],
    [{ params: 1e12, deviceBytes: 80e9, devices: 128, needPipeline: true }, 'pipeline'],
    [{ params: 7e9, deviceBytes: 80e9, devices: 8, serving: true }, 'inference engine'],
  ])('%o asks for %s', (input, technique) => {
    const choice = chooseTechnique(input);
    expect(choice.technique).toBe(technique);
    expect(choice.reasons.length).toBeGreaterThan(0);
  });
});

describe('StrategyTable', () => {
  it('gives FSDP one and a half times the traffic of DDP, the same without resharding', () => {
    const table = new StrategyTable({ groups: [1000, 1000, 1000], world: 4 });
    expect(table.of('fsdp').traffic / table.of('ddp').traffic).toBeCloseTo(1.5);
    expect(table.of('fsdpNoReshard').traffic).toBe(table.of('ddp').traffic);
    expect(table.of('ddp').state / table.of('fsdp').state).toBe(4);
  });
});
