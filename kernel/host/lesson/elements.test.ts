import { describe, expect, it } from 'vitest';
import { answerText } from './answers.js';
import { parseGlossary } from './glossary.js';
import { lessonToNotebook } from './notebook.js';
import { parseLesson } from './parse.js';
import { codeCells, questions, tasks } from './types.js';

const HEAD =
  '---\nid: l\ntitle: L\nlayer: 0\ncovers: []\nrequires: []\nteaches: []\nminutes: 10\nworld: 2\n---\n';
const CELL = '```{code-cell} typescript\nrank\n```\n\n```{output}\n0\n```\n';
const lessonOf = (body: string) => parseLesson(`${HEAD}\n${body}\n${CELL}`, 'a.md');
const problem = (body: string): string => {
  try {
    lessonOf(body);
  } catch (error) {
    return (error as Error).message.replace('Cannot read the lesson at ', '');
  }
  return 'no error';
};
const question = (options: string, body = 'How many?\n\n---\n\nBecause.') =>
  `\`\`\`{question} how-many\n${options}\n${body}\n\`\`\`\n`;
const task = (parts: string, name = 'mend-it') =>
  `\`\`\`\`{task} ${name}\n:hint: Look.\nMend it.\n\n${parts}\`\`\`\`\n`;
const part = (name: string, source: string) => `\`\`\`typescript ${name}\n${source}\n\`\`\`\n\n`;
const PARTS =
  part('starter', 'const x = 0;') +
  part('check', 'if (x !== 1) throw Error("no");') +
  part('solution', 'const x = 1;');

describe('options below text', () => {
  it.each([
    ['{question}', question(':number: 1', 'How many?\n:hint: Count.\n---\n\nBecause.'), ':hint:'],
    ['{predict}', '```{predict}\nHow many?\n:explain: One.\n```\n', ':explain:'],
    ['{task}', `\`\`\`\`{task} mend-it\nMend it.\n:hint: Look.\n\n${PARTS}\`\`\`\`\n`, ':hint:'],
  ])('are refused in %s', (_name, body, option) => {
    expect(problem(body)).toMatch(/^a.md:\d+: /);
    expect(problem(body)).toContain(`"${option}" of`);
  });
});

describe('{question}', () => {
  it.each([
    [':choices: 1 | 4 | 16\n:answer: 2', { choices: ['1', '4', '16'], answer: 1 }, '4'],
    [':number: 43.75\n:within: 0.01\n:unit: GB', { number: 43.75, within: 0.01, unit: 'GB' }, '43.75 GB'],
    [
      ':holds: a b | c | -\n:parts: a b c d',
      { holds: [['a', 'b'], ['c'], []], parts: ['a', 'b', 'c', 'd'] },
      'rank 0: a b; rank 1: c; rank 2: nothing',
    ],
    [':words: all-gather | allgather', { words: ['all-gather', 'allgather'] }, 'all-gather'],
  ])('reads %s', (options, key, answer) => {
    const [cell] = questions(lessonOf(question(options)));
    expect(cell).toMatchObject({ name: 'how-many', question: 'How many?', explain: 'Because.', ...key });
    expect(answerText(cell!)).toBe(answer);
  });

  it('keeps its hints in order', () => {
    expect(questions(lessonOf(question(':number: 1\n:hint: First.\n:hint: Second.')))[0]!.hints).toEqual([
      'First.',
      'Second.',
    ]);
  });

  it.each([
    ['no answer', '', 'a.md:12: a question whose answer is not stated'],
    ['two kinds', ':number: 1\n:words: one', 'a.md:14: ":words:" beside ":number:"'],
    ['a stray answer', ':number: 1\n:answer: 1', 'a.md:14: ":answer:" without ":choices:"'],
    [
      'a choice that is not there',
      ':choices: a | b\n:answer: 3',
      'a.md:14: answer is "3", wanted the number of a choice, from 1 to 2',
    ],
    [
      'a part that is not there',
      ':holds: a | z\n:parts: a b',
      'a.md:13: a rank holds "z", which is none of the parts',
    ],
    ['no number', ':number: many', 'a.md:13: number is "many", wanted a number such as 43.75'],
    ['a second answer', ':number: 1\n:number: 2', 'a.md:14: a second ":number:" in "{question}"'],
    [
      'an option of another element',
      ':number: 1\n:explain: no',
      'a.md:14: unknown option ":explain:" of "{question}"',
    ],
  ])('refuses %s', (_name, options, message) => {
    expect(problem(question(options))).toContain(message);
  });

  it('refuses a missing explanation, a bad name and a second name', () => {
    expect(problem(question(':number: 1', 'How many?'))).toContain('a question without an explanation');
    expect(problem(question(':number: 1').replace('how-many', 'How Many'))).toContain('named "How Many"');
    expect(problem(question(':number: 1') + question(':number: 1'))).toContain(
      'a second question "how-many"',
    );
  });

  it('is Markdown with the answer folded away, and data for the app', () => {
    const { cells } = lessonToNotebook(lessonOf(question(':choices: 1 | 4\n:answer: 2\n:hint: Count.')));
    expect(cells[0]).toMatchObject({
      cell_type: 'markdown',
      source:
        '**Question.** How many?\n\n- 1\n- 4\n\n<details><summary>Hint</summary>\n\nCount.\n\n</details>\n\n<details><summary>Answer</summary>\n\n**4**\n\nBecause.\n\n</details>',
      metadata: {
        shardbook: { question: { name: 'how-many', choices: ['1', '4'], answer: 1, hints: ['Count.'] } },
      },
    });
  });
});

describe('{task}', () => {
  it('has a starter, a check and a solution, with their lines', () => {
    expect(tasks(lessonOf(task(PARTS)))[0]).toMatchObject({
      name: 'mend-it',
      text: 'Mend it.',
      starter: 'const x = 0;',
      check: 'if (x !== 1) throw Error("no");',
      solution: 'const x = 1;',
      hints: ['Look.'],
      checkLine: 21,
      solutionLine: 25,
    });
  });

  it('becomes a text and a cell with the starter', () => {
    const { cells } = lessonToNotebook(lessonOf(task(PARTS)));
    expect(cells.map(({ id }) => id)).toEqual(['l-0', 'l-0-1', 'l-1']);
    expect(cells[1]).toMatchObject({ cell_type: 'code', source: 'const x = 0;' });
    expect(cells[1]!.metadata['shardbook']).toMatchObject({ task: { name: 'mend-it', hints: ['Look.'] } });
  });

  it('refuses what is missing', () => {
    expect(problem(task(part('starter', 'x')))).toContain('a task without check');
    expect(problem(task(PARTS + part('check', 'y')))).toContain('a second check of the task');
    expect(problem(task(PARTS).replace('Mend it.', ''))).toContain('does not say what to do');
  });
});

describe('{predict}', () => {
  it('takes numbers and drawings', () => {
    const predict = (options: string) =>
      codeCells(parseLesson(`${HEAD}\n\`\`\`{predict}\n${options}\nWhat?\n\`\`\`\n\n${CELL}`, 'a.md'))[0]!
        .predict;
    expect(predict(':number: 1,024\n:unit: bytes')).toEqual({
      question: 'What?',
      number: 1024,
      unit: 'bytes',
    });
    expect(predict(':holds: 0 1 | 2')).toEqual({
      question: 'What?',
      holds: [['0', '1'], ['2']],
      parts: ['0', '1', '2'],
    });
  });
});

describe('{pytorch}', () => {
  const twin = (options = '') => `\n\`\`\`{pytorch}\n${options}print(rank)\n\`\`\`\n`;
  it('belongs to the cell above it and is folded away in notebooks', () => {
    const lesson = parseLesson(`${HEAD}\n${CELL}${twin(':compare: lines\n')}`, 'a.md');
    expect(codeCells(lesson)[0]!.twin).toMatchObject({ source: 'print(rank)', compare: 'lines', line: 22 });
    expect(lessonToNotebook(lesson).cells[1]!.source).toBe(
      '<details><summary>In PyTorch</summary>\n\n```python\nprint(rank)\n```\n\n</details>',
    );
  });

  it('refuses to stand alone, and no comparison without a reason', () => {
    expect(problem(twin())).toContain('a {pytorch} block that does not follow a code cell');
    expect(() => parseLesson(`${HEAD}\n${CELL}${twin(':compare: none\n')}`, 'a.md')).toThrow(
      'without ":why:"',
    );
  });
});

describe('code cells', () => {
  it('may say why they are not checked, but not beside an output', () => {
    const cell = (below: string) =>
      parseLesson(
        `${HEAD}\n\`\`\`{code-cell} typescript\n:unchecked: it draws\nrank\n\`\`\`\n${below}`,
        'a.md',
      );
    expect(codeCells(cell(''))[0]!.unchecked).toBe('it draws');
    expect(() => cell('\n```{output}\n0\n```\n')).toThrow('an unchecked cell that states its output');
  });
});

describe('marks of coverage', () => {
  it('name items of the curriculum and their line', () => {
    expect(lessonOf('<!-- covers: 0.1 ask-1 fix-2; 0.2 idea-1 -->').marks).toEqual([
      { id: '0.1', kind: 'ask', number: 1, line: 12 },
      { id: '0.1', kind: 'fix', number: 2, line: 12 },
      { id: '0.2', kind: 'idea', number: 1, line: 12 },
    ]);
    expect(problem('<!-- covers: 0.1 wrong-1 -->')).toContain(
      'a mark of "wrong-1", wanted ask-N, fix-N or idea-N',
    );
    expect(problem('<!-- covers: 0.1 -->')).toContain('a mark that covers nothing');
  });
});

describe('words and admonitions in notebooks', () => {
  it('are readable where nobody knows their directives', () => {
    const glossary = parseGlossary('# Glossary\n\n## Rank\n\nOne `process`,\nwith "its" number.\n');
    const lesson = lessonOf(
      'A {term}`rank`, {term}`ranks <rank>`, {term}`other`.\n\n```{note}\nMind\nthis.\n```\n\n```ts\n{term}`rank`\n```',
    );
    expect(lessonToNotebook(lesson, glossary).cells[0]!.source).toBe(
      'A <abbr title="One process, with &quot;its&quot; number.">rank</abbr>, <abbr title="One process, with &quot;its&quot; number.">ranks</abbr>, other.\n\n> **Note.** Mind\n> this.\n\n```ts\n{term}`rank`\n```',
    );
  });
});
