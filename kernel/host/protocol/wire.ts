/** Jupyter messages as ZeroMQ frames, signed. */
import { createHmac, timingSafeEqual } from 'node:crypto';
import { ShardbookError } from '../../runtime/index.js';
import type { Message } from './message.js';

const DELIMITER = Buffer.from('<IDS|MSG>');

/** Largest message that is taken, in bytes, and the most frames and levels of nesting it may have. */
export const MESSAGE_MAX = 256 * 1024 * 1024;
const FRAMES_MAX = 4096;
const DEPTH_MAX = 200;

export interface DecodedMessage {
  identities: Buffer[];
  message: Message;
}

export class WireFormat {
  readonly #key: string;
  readonly #algorithm: string;
  /** Signatures already seen: a message is taken once. */
  readonly #seen = new Set<string>();

  /** An empty key turns signing off, as the protocol says. `scheme` is such as `hmac-sha256`. */
  constructor(key: string, scheme: string) {
    this.#key = key;
    this.#algorithm = scheme.replace(/^hmac-/, '');
    if (key === '') return;
    try {
      createHmac(this.#algorithm, key);
    } catch (cause) {
      throw new ShardbookError({
        code: 'SB_SIGNATURE_SCHEME',
        message: `Cannot sign messages by "${scheme}": wanted a scheme such as "hmac-sha256"`,
        cause,
      });
    }
  }

  encode(message: Message, identities: readonly Uint8Array[] = []): Uint8Array[] {
    const { header, parent_header, metadata, content, buffers = [] } = message;
    const parts = [header, parent_header, metadata, content].map((part) => Buffer.from(JSON.stringify(part)));
    return [...identities, DELIMITER, Buffer.from(this.sign(parts)), ...parts, ...buffers];
  }

  /** Throws a coded error for frames that are malformed, unsigned or sent twice. */
  decode(frames: readonly Buffer[]): DecodedMessage {
    if (frames.length > FRAMES_MAX)
      throw refused(`it has ${frames.length} parts, wanted at most ${FRAMES_MAX}`);
    const bytes = frames.reduce((sum, frame) => sum + frame.length, 0);
    if (bytes > MESSAGE_MAX) throw refused(`it has ${bytes} bytes, wanted at most ${MESSAGE_MAX}`);
    const at = frames.findIndex((frame) => frame.equals(DELIMITER));
    if (at < 0) throw refused('there is no delimiter');
    const [signature, ...rest] = frames.slice(at + 1);
    const parts = rest.slice(0, 4);
    if (!signature || parts.length < 4) throw refused(`it has ${rest.length} parts, wanted at least 4`);
    this.#verify(signature, parts);
    const [header, parent_header, metadata, content] = parts.map(parse);
    return {
      identities: frames.slice(0, at),
      message: { header, parent_header, metadata, content, buffers: rest.slice(4) } as unknown as Message,
    };
  }

  /** The signature of a message's four parts. */
  sign(parts: readonly Buffer[]): string {
    if (this.#key === '') return '';
    const hmac = createHmac(this.#algorithm, this.#key);
    for (const part of parts) hmac.update(part);
    return hmac.digest('hex');
  }

  #verify(signature: Buffer, parts: readonly Buffer[]): void {
    if (this.#key === '') return;
    const wanted = Buffer.from(this.sign(parts));
    if (signature.length !== wanted.length || !timingSafeEqual(signature, wanted))
      throw refused('its signature is wrong');
    const text = signature.toString();
    if (this.#seen.has(text)) throw refused('it was sent twice');
    this.#seen.add(text);
    // Bounded memory: the oldest signatures are forgotten.
    if (this.#seen.size > 65_536) this.#seen.delete(this.#seen.values().next().value!);
  }
}

function parse(part: Buffer): unknown {
  let value: unknown;
  try {
    value = JSON.parse(part.toString());
  } catch {
    throw refused('a part of it is no JSON');
  }
  // Whoever walks it (a copy to a rank, the header in an answer) does so by recursion.
  if (isDeeper(value, DEPTH_MAX)) throw refused(`a part of it is nested deeper than ${DEPTH_MAX} levels`);
  return value;
}

/** Without recursion of its own. */
function isDeeper(value: unknown, most: number): boolean {
  let level: unknown[] = [value];
  for (let depth = 0; level.length > 0; depth++) {
    if (depth > most) return true;
    level = level.flatMap((item) =>
      typeof item === 'object' && item !== null
        ? Object.values(item).filter((v) => typeof v === 'object')
        : [],
    );
  }
  return false;
}

function refused(why: string): ShardbookError {
  return new ShardbookError({ code: 'SB_MESSAGE', message: `Cannot take a message: ${why}` });
}
