/** Small helpers over node:http: JSON in and out with a size limit, and a router of patterns. */
import type { IncomingMessage, ServerResponse } from 'node:http';
import { ShardbookError } from '../../runtime/base/index.js';
import { HttpError } from './http-error.js';

export interface Call {
  request: IncomingMessage;
  response: ServerResponse;
  url: URL;
  /** Decoded groups of the pattern. */
  params: readonly string[];
  /** The body as JSON; an empty body is `{}`. */
  json(): Promise<Record<string, unknown>>;
}

export interface Route {
  method: string;
  pattern: RegExp;
  handle(call: Call): Promise<void> | void;
}

/** A notebook with plots can be large; beyond this it is not a notebook. */
export const MAX_BODY_BYTES = 64 * 1024 * 1024;

export function route(method: string, pattern: RegExp, handle: Route['handle']): Route {
  return { method, pattern, handle };
}

/** Runs the first route that matches; returns false when none does. */
export async function dispatch(
  routes: readonly Route[],
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
): Promise<boolean> {
  let pathMatched = false;
  const method = request.method === 'HEAD' ? 'GET' : request.method;
  for (const candidate of routes) {
    const match = candidate.pattern.exec(url.pathname);
    if (match === null) continue;
    pathMatched = true;
    if (candidate.method !== method) continue;
    const params = match.slice(1).map((group) => decodePart(group ?? ''));
    await candidate.handle({ request, response, url, params, json: () => readJson(request) });
    return true;
  }
  if (pathMatched)
    throw new HttpError(
      405,
      'SB_BAD_METHOD',
      `Cannot ${request.method} "${url.pathname}": no such method here`,
    );
  return false;
}

function decodePart(text: string): string {
  try {
    return decodeURIComponent(text);
  } catch {
    throw new HttpError(400, 'SB_BAD_URL', 'Cannot read the URL: invalid percent encoding');
  }
}

/** What a form of another site can send without being asked; our callers send JSON. */
const FORM_TYPES = /^\s*(application\/x-www-form-urlencoded|multipart\/form-data)/i;

async function readJson(request: IncomingMessage): Promise<Record<string, unknown>> {
  if (FORM_TYPES.test(request.headers['content-type'] ?? ''))
    throw new HttpError(415, 'SB_BAD_BODY', 'Cannot read the request: its body is a form, want JSON');
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of request as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    if (size > MAX_BODY_BYTES) {
      throw new HttpError(
        413,
        'SB_BODY_TOO_LARGE',
        `Cannot take the request: its body is over ${MAX_BODY_BYTES} bytes`,
      );
    }
    chunks.push(chunk);
  }
  if (size === 0) return {};
  let value: unknown;
  try {
    value = JSON.parse(Buffer.concat(chunks).toString('utf8'));
  } catch {
    throw new HttpError(400, 'SB_BAD_BODY', 'Cannot read the request: its body is not JSON');
  }
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw new HttpError(400, 'SB_BAD_BODY', 'Cannot read the request: its body is not a JSON object');
  }
  return value as Record<string, unknown>;
}

export function sendJson(
  response: ServerResponse,
  status: number,
  value: unknown,
  headers: Record<string, string> = {},
): void {
  const body = JSON.stringify(value);
  response.writeHead(status, {
    'Content-Type': 'application/json; charset=utf-8',
    'Content-Length': Buffer.byteLength(body),
    'Cache-Control': 'no-store',
    ...headers,
  });
  response.end(response.req.method === 'HEAD' ? undefined : body);
}

export function sendEmpty(response: ServerResponse, status = 204): void {
  response.writeHead(status, { 'Cache-Control': 'no-store' });
  response.end();
}

/** An error as Jupyter's REST gives it; what is not the caller's fault keeps its details to the log. */
export function sendError(response: ServerResponse, error: unknown): void {
  const known = error instanceof HttpError || error instanceof ShardbookError;
  if (response.headersSent) {
    response.destroy();
    return;
  }
  // A coded error of what stands behind the server is something the learner can act on.
  const status = error instanceof HttpError ? error.status : known ? 409 : 500;
  const message = known ? error.message : 'Cannot answer: the server failed, see its log';
  // A body that was not read would block the connection: end it with the answer.
  const headers: Record<string, string> = response.req.complete ? {} : { Connection: 'close' };
  sendJson(response, status, { message, reason: known ? error.code : 'SB_INTERNAL' }, headers);
}
