/** The backward table: a rule for every operation, or the statement that it has none. A missing rule does not compile. */
import type { BackwardTable } from '../record.js';
import { fusedRules } from './fused.js';
import { indexingRules } from './indexing.js';
import { lossRules } from './losses.js';
import { pointwiseRules } from './pointwise.js';
import { reductionsRules } from './reductions.js';
import { unaryRules } from './unary.js';
import { viewsRules } from './views.js';

export const rules: BackwardTable = {
  ...reductionsRules,
  ...viewsRules,
  ...indexingRules,
  ...fusedRules,
  ...lossRules,
  ...unaryRules,
  ...pointwiseRules,
};
