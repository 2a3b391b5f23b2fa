/** A form for an answer of one of the kinds that lessons ask for, and whether what it says is right. */
import type { AnswerKey } from '../lesson/answers.js';
import { element } from './dom.js';

/** What the learner said: the position of a choice, or text (a drawing: the parts of each rank, by "|"). */
export type Answer = number | string;

export interface AnswerForm {
  nodes: HTMLElement[];
  /** Undefined while it is not complete. */
  value(): Answer | undefined;
}

interface FormOptions {
  /** Unique in the page. */
  name: string;
  /** For screen readers. */
  label: string;
  onChange(): void;
}

export function answerForm(key: AnswerKey, options: FormOptions): AnswerForm {
  if (key.choices !== undefined && key.choices.length > 1) return choiceForm(key.choices, options);
  if (key.number !== undefined) return numberForm(key.unit, options);
  if (key.holds !== undefined) return drawingForm(key.parts ?? [], key.holds.length, options);
  return textForm(key.words === undefined, options);
}

/** Undefined where the lesson does not say what is right. */
export function isRight(key: AnswerKey, answer: Answer): boolean | undefined {
  if (key.choices !== undefined) return key.answer === undefined ? undefined : answer === key.answer;
  if (key.number !== undefined) {
    const said = readNumber(String(answer));
    const slack = (key.within ?? 0) + 1e-9 * Math.abs(key.number);
    return said !== undefined && Math.abs(said - key.number) <= slack;
  }
  if (key.holds !== undefined) return sameHoldings(String(answer), key.holds);
  return key.words?.some((word) => plain(word) === plain(String(answer)));
}

/** An answer as the learner would say it. */
export function answerShown(key: AnswerKey, answer: Answer): string {
  if (key.choices !== undefined) return key.choices[Number(answer)] ?? String(answer);
  if (key.holds !== undefined)
    return String(answer)
      .split('|')
      .map((parts, rank) => `rank ${rank}: ${parts.trim() === '-' ? 'nothing' : parts.trim()}`)
      .join('; ');
  return key.unit === undefined || key.number === undefined ? String(answer) : `${answer} ${key.unit}`;
}

/** The right answer in the form in which answers are kept. */
export function rightAnswer(key: AnswerKey): Answer | undefined {
  if (key.holds !== undefined)
    return key.holds.map((parts) => (parts.length === 0 ? '-' : parts.join(' '))).join(' | ');
  return key.answer ?? key.number ?? key.words?.[0];
}

function choiceForm(choices: readonly string[], { name, label, onChange }: FormOptions): AnswerForm {
  const inputs = choices.map((_, index) =>
    element('input', { type: 'radio', name, value: String(index), onchange: onChange }),
  );
  const group = element(
    'div',
    { class: 'sb-choices', role: 'radiogroup', 'aria-label': label },
    ...choices.map((choice, index) =>
      element('label', { class: 'sb-choice' }, inputs[index]!, element('span', {}, choice)),
    ),
  );
  const value = () => {
    const at = inputs.findIndex((input) => input.checked);
    return at < 0 ? undefined : at;
  };
  return { nodes: [group], value };
}

function numberForm(unit: string | undefined, { label, onChange }: FormOptions): AnswerForm {
  const input = element('input', {
    class: 'sb-text sb-number',
    type: 'text',
    inputmode: 'decimal',
    'aria-label': unit === undefined ? label : `${label} (${unit})`,
    placeholder: 'A number',
    oninput: onChange,
  });
  const row = element('div', { class: 'sb-number-row' }, input, ...(unit === undefined ? [] : [unit]));
  return {
    nodes: [row],
    value: () => (readNumber(input.value) === undefined ? undefined : input.value.trim()),
  };
}

function textForm(isLong: boolean, { label, onChange }: FormOptions): AnswerForm {
  const shared = { class: 'sb-text', 'aria-label': label, oninput: onChange };
  const input: HTMLInputElement | HTMLTextAreaElement = isLong
    ? element('textarea', { ...shared, rows: '2', placeholder: 'A few words are enough.' })
    : element('input', { ...shared, type: 'text', placeholder: 'A word' });
  return { nodes: [input], value: () => input.value.trim() || undefined };
}

/** Ranks are rows, parts are columns; a press says that the rank holds the part. */
function drawingForm(parts: readonly string[], ranks: number, { label, onChange }: FormOptions): AnswerForm {
  const held = Array.from({ length: ranks }, () => new Set<string>());
  let touched = false;
  const cell = (rank: number, part: string): HTMLElement => {
    const button = element('button', {
      type: 'button',
      class: 'sb-part-box',
      'aria-pressed': 'false',
      'aria-label': `rank ${rank} holds ${part}`,
      onclick: () => {
        touched = true;
        const holds = !held[rank]!.delete(part);
        if (holds) held[rank]!.add(part);
        button.setAttribute('aria-pressed', String(holds));
        onChange();
      },
    });
    return element('td', {}, button);
  };
  const head = element(
    'tr',
    {},
    element('th', {}),
    ...parts.map((part) => element('th', { scope: 'col' }, part)),
  );
  const rows = held.map((_, rank) =>
    element(
      'tr',
      {},
      element('th', { scope: 'row' }, `rank ${rank}`),
      ...parts.map((part) => cell(rank, part)),
    ),
  );
  const table = element('table', { class: 'sb-drawing', 'aria-label': label }, head, ...rows);
  const text = () => held.map((own) => parts.filter((part) => own.has(part)).join(' ') || '-').join(' | ');
  return { nodes: [table], value: () => (touched ? text() : undefined) };
}

/** "1,024", "43.75 GB", "2e3"; undefined for anything else. */
function readNumber(text: string): number | undefined {
  const match = /^\s*([-+]?(?:\d[\d,_ ]*\.?\d*|\.\d+)(?:e[-+]?\d+)?)\s*[a-zA-Z%µ/²]*\s*$/i.exec(text);
  const number = match === null ? Number.NaN : Number(match[1]!.replace(/[,_ ]/g, ''));
  return Number.isFinite(number) ? number : undefined;
}

function sameHoldings(said: string, wanted: readonly (readonly string[])[]): boolean {
  const ranks = said.split('|').map((parts) =>
    parts
      .trim()
      .split(/\s+/)
      .filter((part) => part !== '-'),
  );
  return (
    ranks.length === wanted.length &&
    wanted.every(
      (parts, rank) =>
        parts.length === ranks[rank]!.length && parts.every((part) => ranks[rank]!.includes(part)),
    )
  );
}

function plain(text: string): string {
  return text
    .toLowerCase()
    .replace(/[\s_-]+/g, ' ')
    .trim();
}
