import { ShardbookError } from '../../runtime/index.js';

/**
 * A number that the text wrote with a point or an exponent although its value is whole (`2.0`, `1e3`).
 * JSON.parse loses that, and PyTorch makes different dtypes of `2` and `2.0`.
 */
export class FloatLiteral {
  readonly value: number;
  constructor(value: number) {
    this.value = value;
  }
  valueOf(): number {
    return this.value;
  }
}

export type Json = null | boolean | number | bigint | string | FloatLiteral | Json[] | JsonObject;
export interface JsonObject {
  [key: string]: Json;
}

export function isJsonObject(value: unknown): value is JsonObject {
  return (
    typeof value === 'object' && value !== null && !Array.isArray(value) && !(value instanceof FloatLiteral)
  );
}

/** The plain number of a literal; everything else as it is. */
export function plainNumber(value: unknown): unknown {
  return value instanceof FloatLiteral ? value.value : value;
}

/**
 * Parses JSON and keeps what JSON.parse drops: whole floats become `FloatLiteral`, whole numbers beyond 2^53 bigint.
 * `NaN`, `Infinity` and `-Infinity`, which Python's writer produces, are read too.
 */
export function parseJson(text: string): Json {
  const reader = new Reader(text);
  const value = reader.value();
  reader.end();
  return value;
}

/** The source text of each element of the array under `key` of the top-level object, in order. */
export function arrayElementTexts(text: string, key: string): string[] {
  const reader = new Reader(text);
  const out: string[] = [];
  reader.members((name) => {
    if (name !== key) reader.value();
    else {
      reader.elements(() => {
        const start = reader.position;
        reader.value();
        out.push(text.slice(start, reader.position));
      });
    }
  });
  return out;
}

const NUMBER = /-?(?:Infinity|\d+)(\.\d+)?([eE][+-]?\d+)?/y;

class Reader {
  position = 0;
  private readonly text: string;
  constructor(text: string) {
    this.text = text;
  }

  value(): Json {
    this.space();
    const c = this.text[this.position];
    switch (c) {
      case '{': {
        const out: JsonObject = {};
        this.members((name) => {
          // A key such as "__proto__" must become an entry, not the prototype.
          Object.defineProperty(out, name, {
            value: this.value(),
            enumerable: true,
            writable: true,
            configurable: true,
          });
        });
        return out;
      }
      case '[': {
        const out: Json[] = [];
        this.elements(() => out.push(this.value()));
        return out;
      }
      case '"':
        return this.string();
      case 't':
        return this.word('true', true);
      case 'f':
        return this.word('false', false);
      case 'n':
        return this.word('null', null);
      case 'N':
        return this.word('NaN', Number.NaN);
      default:
        return this.number();
    }
  }

  members(each: (name: string) => void): void {
    this.take('{');
    this.space();
    if (this.text[this.position] === '}') {
      this.position++;
      return;
    }
    for (;;) {
      this.space();
      const name = this.string();
      this.space();
      this.take(':');
      this.space();
      each(name);
      if (!this.more('}')) return;
    }
  }

  elements(each: () => void): void {
    this.take('[');
    this.space();
    if (this.text[this.position] === ']') {
      this.position++;
      return;
    }
    for (;;) {
      this.space();
      each();
      if (!this.more(']')) return;
    }
  }

  end(): void {
    this.space();
    if (this.position !== this.text.length) this.fail('the end of the text');
  }

  private more(close: string): boolean {
    this.space();
    const c = this.text[this.position];
    if (c !== ',' && c !== close) this.fail(`"," or "${close}"`);
    this.position++;
    return c === ',';
  }

  private space(): void {
    for (;;) {
      const c = this.text.charCodeAt(this.position);
      if (c !== 32 && c !== 10 && c !== 13 && c !== 9) return;
      this.position++;
    }
  }

  private take(c: string): void {
    this.space();
    if (this.text[this.position] !== c) this.fail(`"${c}"`);
    this.position++;
  }

  private word<T>(word: string, value: T): T {
    if (!this.text.startsWith(word, this.position)) this.fail('a value');
    this.position += word.length;
    return value;
  }

  private string(): string {
    if (this.text[this.position] !== '"') this.fail('a string');
    let at = this.position + 1;
    let escaped = false;
    for (;;) {
      const c = this.text.charCodeAt(at);
      if (Number.isNaN(c)) this.fail('the end of a string');
      if (c === 34) break;
      if (c === 92) {
        escaped = true;
        at++;
      }
      at++;
    }
    const raw = this.text.slice(this.position, at + 1);
    this.position = at + 1;
    return escaped ? (JSON.parse(raw) as string) : raw.slice(1, -1);
  }

  private number(): Json {
    NUMBER.lastIndex = this.position;
    const match = NUMBER.exec(this.text);
    if (match === null) return this.fail('a value');
    this.position = NUMBER.lastIndex;
    const value = Number(match[0]);
    const whole = match[1] === undefined && match[2] === undefined;
    if (whole) return Number.isSafeInteger(value) || !Number.isFinite(value) ? value : BigInt(match[0]);
    return Number.isInteger(value) ? new FloatLiteral(value) : value;
  }

  private fail(wanted: string): never {
    const line = this.text.slice(0, this.position).split('\n').length;
    throw new ShardbookError({
      code: 'SB_CONFORM_JSON',
      message: `Cannot read the program file: character ${this.position} (line ${line}) is ${JSON.stringify(this.text.slice(this.position, this.position + 20))}, wanted ${wanted}`,
    });
  }
}
