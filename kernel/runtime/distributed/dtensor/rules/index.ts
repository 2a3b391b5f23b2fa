/** The table of op rules. */
import { backwardRules } from './backward.js';
import { fusedRules } from './fused.js';
import { indexingRules } from './indexing.js';
import { lossRules } from './losses.js';
import { matmulRules } from './matmul.js';
import { pointwiseRules } from './pointwise.js';
import { reduceRules } from './reduce.js';
import type { RuleTable } from './rule.js';
import { tensorRules } from './tensors.js';
import { viewRules } from './views.js';

export const rules: RuleTable = {
  ...pointwiseRules,
  ...matmulRules,
  ...viewRules,
  ...reduceRules,
  ...fusedRules,
  ...lossRules,
  ...indexingRules,
  ...tensorRules,
  ...backwardRules,
};
export * from './rule.js';
