/** JSON Schema of the report: `shardbook grade --schema` prints it. */
import { REPORT_FORMAT } from '../report.js';
import { VERDICTS } from '../verdict.js';

type Schema = Record<string, unknown>;

const text: Schema = { type: 'string' };
const count: Schema = { type: 'integer', minimum: 0 };
const amount: Schema = { type: 'number', minimum: 0 };
const list = (items: Schema): Schema => ({ type: 'array', items });
const object = (properties: Record<string, Schema>, optional: readonly string[] = []): Schema => ({
  type: 'object',
  properties,
  required: Object.keys(properties).filter((name) => !optional.includes(name)),
  // A later version of the same format may add to it.
  additionalProperties: true,
});

const mismatch = object(
  {
    kind: { enum: ['missing', 'shape', 'dtype', 'non-finite', 'values', 'mutated', 'aliased'] },
    rank: count,
    tensor: text,
    index: list(count),
    got: text,
    expected: text,
    difference: amount,
    allowed: amount,
    share: { type: 'number', minimum: 0, maximum: 1 },
  },
  ['index', 'difference', 'allowed', 'share'],
);

const feedback = object(
  {
    message: text,
    case: text,
    mismatch: { $ref: '#/$defs/mismatch' },
    hypothesis: text,
    details: list(text),
    line: { type: 'integer', minimum: 1 },
    file: text,
    seed: count,
  },
  ['case', 'mismatch', 'hypothesis', 'details', 'line', 'file', 'seed'],
);

const check = object(
  {
    id: text,
    title: text,
    visibility: { enum: ['public', 'hidden'] },
    weight: amount,
    verdict: { $ref: '#/$defs/verdict' },
    earned: amount,
    feedback: { $ref: '#/$defs/feedback' },
    milliseconds: count,
  },
  ['feedback'],
);

export const reportSchema: Schema = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Report of shardbook grade',
  $defs: { verdict: { enum: [...VERDICTS] }, mismatch, feedback, check },
  ...object(
    {
      format: { const: REPORT_FORMAT },
      exercise: object({ id: text, title: text }),
      submission: object({
        name: text,
        kind: { enum: ['file', 'folder', 'notebook', 'myst'] },
        sha256: text,
      }),
      grader: object({
        shardbook: text,
        runtime: text,
        spec: text,
        node: text,
        isolation: { enum: ['process', 'bubblewrap'] },
        layers: list(text),
      }),
      seed: count,
      verdict: { $ref: '#/$defs/verdict' },
      score: object({ earned: amount, possible: amount }),
      feedback: { $ref: '#/$defs/feedback' },
      checks: list({ $ref: '#/$defs/check' }),
      types: list(object({ file: text, line: { type: 'integer', minimum: 1 }, message: text })),
      notes: list(text),
      prints: list(object({ rank: count, text })),
      milliseconds: count,
    },
    ['feedback'],
  ),
};
