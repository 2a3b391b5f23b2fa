/**
 * What an exercise asks a learner to write is not there to be called: such a submission imports a module that hands on the
 * runtime without it. The harness, which is the exercise's own, has all of it.
 */
import * as shardbook from 'shardbook';
import { ShardbookError } from 'shardbook';
import type { Exercise } from './exercise.js';

/** No file of a submission is compiled to this name. */
export const PART_FILE = 'shardbook.given.mjs';

/** Source of the module; `address` is the runtime's. */
export function partOfRuntime({ id, without }: Exercise, address: string): string {
  const from = JSON.stringify(address);
  const missing = without.filter((name) => !exists(name));
  if (missing.length > 0) {
    throw new ShardbookError({
      code: 'SB_EXERCISE_INVALID',
      message: `Cannot take ${missing.join(', ')} out of the runtime for "${id}": there is no such name`,
    });
  }
  const whole = without.filter((name) => !name.includes('.'));
  const members = new Map<string, string[]>();
  for (const name of without) {
    const [space, member] = name.split('.');
    if (member !== undefined) members.set(space!, [...(members.get(space!) ?? []), member]);
  }
  const given = Object.keys(shardbook).filter((name) => !whole.includes(name) && !members.has(name));
  return [
    // Other ways to a module than an import that the compiler has read.
    "for (const way of ['getBuiltinModule', 'binding', '_linkedBinding', 'dlopen', 'mainModule']) Reflect.deleteProperty(process, way);",
    'const refuse = (name) => { throw new Error(`Cannot use ${name} here: the exercise asks you to write what it does`); };',
    // Whatever is done with it says so: a call, `new`, a static function of a class, a member of a space.
    `const withheld = (name) => new Proxy(function () {}, {
  apply: () => refuse(name),
  construct: () => refuse(name),
  get: (target, key) => (typeof key === 'symbol' || key === 'prototype' ? target[key] : refuse(name)),
});`,
    `export { ${given.join(', ')} } from ${from};`,
    ...whole.map((name) => `export const ${name} = withheld('${name}');`),
    ...[...members].flatMap(([space, names]) => [
      `import { ${space} as ${space}$all } from ${from};`,
      `export const ${space} = Object.freeze({ ...${space}$all, ${names
        .map((member) => `${member}: withheld('${space}.${member}')`)
        .join(', ')} });`,
    ]),
  ].join('\n');
}

function exists(name: string): boolean {
  const [first, second, ...more] = name.split('.');
  const all = shardbook as unknown as Record<string, Record<string, unknown>>;
  if (!Object.hasOwn(all, first!) || more.length > 0) return false;
  return second === undefined || Object.hasOwn(all[first!]!, second);
}
