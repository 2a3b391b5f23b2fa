/**
 * Who may talk to the server. It runs the learner's code, so a web page from elsewhere must never reach it:
 *
 * - a random token of each start (URL, `Authorization` header, or the cookie that the first page sets);
 * - `Host` must name this machine: a page whose domain was re-bound to 127.0.0.1 still sends its own name;
 * - `Origin`, where a browser sends it, must be this server: other pages may not post or open WebSockets with the cookie.
 */
import { createHash, randomBytes, timingSafeEqual } from 'node:crypto';
import type { IncomingMessage } from 'node:http';

export type Refusal = { status: 401 | 403; reason: string };

export function createToken(): string {
  return randomBytes(24).toString('hex');
}

export class Guard {
  readonly cookieName: string;
  #digest: Buffer;
  #hosts: ReadonlySet<string>;

  constructor(
    readonly token: string,
    readonly port: number,
  ) {
    // Cookies ignore ports: two servers on one machine need two names.
    this.cookieName = `shardbook-${port}`;
    this.#digest = digest(token);
    this.#hosts = new Set(['127.0.0.1', 'localhost', '[::1]'].map((name) => `${name}:${port}`));
  }

  /** Undefined when the request may pass. */
  refuse(request: IncomingMessage, url: URL): Refusal | undefined {
    return this.refuseForeign(request) ?? this.#refuseStranger(request, url);
  }

  /** The part of the check that needs no token: from where the request came. */
  refuseForeign(request: IncomingMessage): Refusal | undefined {
    const host = request.headers.host;
    if (host === undefined || !this.#hosts.has(host.toLowerCase())) {
      return { status: 403, reason: `Host "${host ?? ''}" is not this machine` };
    }
    const origin = request.headers.origin;
    if (origin !== undefined && !this.#isOwnOrigin(origin)) {
      return { status: 403, reason: `Origin "${origin}" is not this server` };
    }
    const site = request.headers['sec-fetch-site'];
    const navigates = request.headers['sec-fetch-mode'] === 'navigate' && request.method === 'GET';
    if ((site === 'cross-site' || site === 'same-site') && !navigates) {
      return { status: 403, reason: 'the request comes from another site' };
    }
    return undefined;
  }

  /** True when the URL carries the right token: then the page may set the cookie. */
  hasUrlToken(url: URL): boolean {
    const token = url.searchParams.get('token');
    return token !== null && this.#isToken(token);
  }

  /** `Set-Cookie` value that stands for the token until the browser closes. */
  cookie(): string {
    return `${this.cookieName}=${this.token}; Path=/; HttpOnly; SameSite=Lax`;
  }

  #refuseStranger(request: IncomingMessage, url: URL): Refusal | undefined {
    const given = [
      url.searchParams.get('token'),
      headerToken(request),
      cookieValue(request, this.cookieName),
    ];
    const [inUrl, inHeader, inCookie] = given.map(
      (token) => typeof token === 'string' && this.#isToken(token),
    );
    if (inUrl || inHeader) return undefined;
    if (inCookie) {
      // The cookie comes by itself: what changes something must also say that it comes from our own page.
      const reads = request.method === 'GET' || request.method === 'HEAD';
      const own = request.headers.origin !== undefined || request.headers['sec-fetch-site'] === 'same-origin';
      return reads || own ? undefined : { status: 403, reason: 'it does not say from which page it comes' };
    }
    return { status: given.some(Boolean) ? 403 : 401, reason: 'the token is missing or wrong' };
  }

  #isToken(token: string): boolean {
    return timingSafeEqual(digest(token), this.#digest);
  }

  #isOwnOrigin(origin: string): boolean {
    return origin.startsWith('http://') && this.#hosts.has(origin.slice('http://'.length).toLowerCase());
  }
}

function digest(text: string): Buffer {
  return createHash('sha256').update(text).digest();
}

function headerToken(request: IncomingMessage): string | undefined {
  return /^(?:token|bearer)\s+(\S+)$/i.exec(request.headers.authorization ?? '')?.[1];
}

function cookieValue(request: IncomingMessage, name: string): string | undefined {
  for (const pair of (request.headers.cookie ?? '').split(';')) {
    const at = pair.indexOf('=');
    if (at > 0 && pair.slice(0, at).trim() === name) return pair.slice(at + 1).trim();
  }
  return undefined;
}
