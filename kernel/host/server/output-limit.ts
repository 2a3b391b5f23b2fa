/** How much of what a cell prints goes to pages: one that prints without end would stop the browser, and fill the notebook's file. */
import type { WireMessage } from './kernel-port.js';

const MOST_SHOWN = 400_000;

/** Cells that are counted at a time: a timer of an earlier cell may still print. */
const MOST_CELLS = 64;

const NOTE = `(Longer than ${MOST_SHOWN.toLocaleString('en')} characters: the rest is not shown. Print less often, or write to a file.)\n`;

export class OutputLimit {
  /** Characters that went out, by the request that they answer. */
  readonly #shown = new Map<string, number>();

  /** The message as it goes on: whole, cut with a note, or not at all. */
  pass(message: WireMessage): WireMessage | undefined {
    const cell = message.parent_header.msg_id;
    if (cell === undefined) return message;
    if (message.header.msg_type === 'clear_output') this.#shown.delete(cell);
    if (message.header.msg_type !== 'stream') return message;
    const text = String(message.content['text']);
    const before = this.#shown.get(cell) ?? 0;
    if (before > MOST_SHOWN) return undefined;
    this.#shown.set(cell, before + text.length);
    if (this.#shown.size > MOST_CELLS) this.#shown.delete(this.#shown.keys().next().value!);
    if (before + text.length <= MOST_SHOWN) return message;
    const cut = text.slice(0, MOST_SHOWN - before);
    return { ...message, content: { ...message.content, text: `${cut}\n${NOTE}` } };
  }
}
