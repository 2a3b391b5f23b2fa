/** Checks with their outcome, and how they are shown. */
import { escapeHtml } from '../../base/index.js';
import { type MimeBundle, toMime } from '../../simulator/index.js';

/** One check and what it saw. */
export interface Check {
  name: string;
  passed: boolean;
  /** What was seen, in words. */
  detail: string;
}

/** Checks with their outcome; a table where it is displayed. */
export class CheckReport {
  readonly checks: Check[] = [];

  constructor(readonly title: string) {}

  add(name: string, passed: boolean, detail: string): this {
    this.checks.push({ name, passed, detail });
    return this;
  }

  /** Runs a check that may throw: what it throws is its failure. */
  run(name: string, body: () => { passed: boolean; detail: string }): this {
    try {
      const { passed, detail } = body();
      return this.add(name, passed, detail);
    } catch (error) {
      return this.add(name, false, error instanceof Error ? error.message : String(error));
    }
  }

  get passed(): boolean {
    return this.checks.every((check) => check.passed);
  }

  get failed(): Check[] {
    return this.checks.filter((check) => !check.passed);
  }

  [toMime](): MimeBundle {
    const row = (check: Check): string =>
      `<tr><td>${check.passed ? 'pass' : '<b>FAIL</b>'}</td><td>${escapeHtml(check.name)}</td><td>${escapeHtml(check.detail)}</td></tr>`;
    return {
      'text/html': `<table><caption>${escapeHtml(this.title)}</caption>${this.checks.map(row).join('')}</table>`,
      'text/plain': this.toString(),
    };
  }

  toString(): string {
    const good = this.checks.length - this.failed.length;
    const share = this.checks.length === 0 ? 0 : (100 * good) / this.checks.length;
    const lines = this.checks.map((c) => `  ${c.passed ? 'pass' : 'FAIL'}  ${c.name}: ${c.detail}`);
    return [`${this.title}: ${good} of ${this.checks.length} passed (${share.toFixed(1)} %)`, ...lines].join(
      '\n',
    );
  }

  [Symbol.for('nodejs.util.inspect.custom')](): string {
    return this.toString();
  }
}
