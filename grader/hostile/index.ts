/** Submissions that are broken or hostile, of every kind that has been tried, each with the verdict that it must get. */
import { broken } from './broken.js';
import { clever } from './clever.js';
import type { Hostile } from './common.js';
import { distributed } from './distributed.js';
import { exits } from './exits.js';
import { forgery } from './forgery.js';
import { oddities } from './oddities.js';
import { outside } from './outside.js';
import { repository } from './repository.js';
import { resources, time } from './resources.js';
import { sly } from './sly.js';
import { tampering } from './tampering.js';
import { theft } from './theft.js';

export type { Hostile } from './common.js';

export const HOSTILE: readonly Hostile[] = [
  ...broken,
  ...time,
  ...resources,
  ...exits,
  ...tampering,
  ...forgery,
  ...theft,
  ...distributed,
  ...repository,
  ...clever,
  ...sly,
  ...oddities,
  ...outside,
];
