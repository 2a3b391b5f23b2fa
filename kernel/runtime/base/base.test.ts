import { describe, expect, it } from 'vitest';
import {
  assert,
  bytesText,
  contiguousStrides,
  escapeHtml,
  giveUp,
  giveUpWith,
  leaveScopes,
  nearestName,
  numelOf,
  onGivenUp,
  runThen,
  ShardbookError,
} from './index.js';

describe('ShardbookError', () => {
  it('says what could not be done, then notes, then help, and keeps the cause', () => {
    const cause = new Error('below');
    const error = new ShardbookError({
      code: 'SB_TEST',
      message: 'Cannot test',
      notes: ['one', 'two'],
      help: 'try',
      cause,
    });
    expect(error.message).toBe('Cannot test\n  note: one\n  note: two\n  help: try');
    expect([error.name, error.code, error.notes, error.help, error.cause]).toEqual([
      'ShardbookError',
      'SB_TEST',
      ['one', 'two'],
      'try',
      cause,
    ]);
  });
});

describe('assert()', () => {
  it('calls what does not hold our bug', () => {
    expect(() => assert(false, 'no rank')).toThrow('Internal error (please report): no rank');
    expect(() => assert(1, 'no rank')).not.toThrow();
  });
});

describe('nearestName()', () => {
  const names = ['allReduce', 'allGather', 'barrier', 'send'];
  it.each([
    ['allreduce', 'allReduce'],
    ['alGather', 'allGather'],
    ['barreir', 'barrier'],
    ['sned', 'send'],
  ])('finds for "%s" "%s"', (given, wanted) => {
    expect(nearestName(given, names)).toBe(wanted);
  });

  it('finds nothing where no name is near', () => {
    expect(nearestName('softmax', names)).toBeUndefined();
    expect(nearestName('x', [])).toBeUndefined();
  });
});

describe('escapeHtml()', () => {
  it('leaves no way out of a text or of a quoted attribute', () => {
    expect(escapeHtml(`<a href="x" title='y'>&amp;</a>`)).toBe(
      '&lt;a href=&quot;x&quot; title=&#39;y&#39;&gt;&amp;amp;&lt;/a&gt;',
    );
  });
});

describe('runThen()', () => {
  it('ends after a result, after a throw, and after a promise has settled', async () => {
    const said: string[] = [];
    const end = () => void said.push('end');
    expect(runThen(() => 3, end)).toBe(3);
    expect(() =>
      runThen(() => {
        throw new RangeError('no');
      }, end),
    ).toThrow(RangeError);
    expect(said).toEqual(['end', 'end']);
    const later = runThen(async () => {
      await Promise.resolve();
      said.push('body');
    }, end);
    expect(said).toHaveLength(2);
    await later;
    expect(said.slice(2)).toEqual(['body', 'end']);
  });
});

describe('leaveScopes()', () => {
  it('ends what is still open once, the innermost first, whatever one of them throws', async () => {
    const said: string[] = [];
    let resolve = (): void => {};
    const promise = new Promise<void>((settle) => {
      resolve = settle;
    });
    const outer = runThen(
      () => promise,
      () => void said.push('outer'),
    );
    void runThen(
      () => promise,
      () => {
        throw new Error('cannot end');
      },
    );
    void runThen(
      () => promise,
      () => void said.push('inner'),
    );
    onGivenUp((stopped) => void said.push(`stopped ${stopped}`));
    leaveScopes();
    expect(said).toEqual(['inner', 'outer', 'stopped true']);
    resolve();
    await outer;
    leaveScopes();
    expect(said.slice(3)).toEqual(['stopped true']);
  });

  it('tells objects that are alive', () => {
    const target = { given: [] as boolean[] };
    giveUpWith(target, ({ given }, stopped) => void given.push(stopped));
    giveUp(false);
    leaveScopes();
    expect(target.given).toEqual([false, true]);
  });
});

describe('bytesText', () => {
  it('is exact below 1 KiB and has four digits above', () => {
    expect([0, 1023, 1024, 8200, 4 << 20, -1536].map(bytesText)).toEqual([
      '0 B',
      '1023 B',
      '1 KiB',
      '8.008 KiB',
      '4 MiB',
      '-1.5 KiB',
    ]);
  });
});

describe('layout', () => {
  it('numelOf and contiguousStrides know scalars and dimensions without elements', () => {
    expect([[], [2, 3], [2, 0, 3]].map(numelOf)).toEqual([1, 6, 0]);
    expect([[], [4, 2, 3], [2, 0, 3]].map(contiguousStrides)).toEqual([[], [6, 3, 1], [3, 3, 1]]);
  });
});
