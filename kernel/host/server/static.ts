/** The app's files, and the headers that keep the page from loading or running anything from elsewhere. */
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import type { IncomingMessage, ServerResponse } from 'node:http';
import { extname } from 'node:path';
import { HttpError } from './http-error.js';
import { resolveInside } from './paths.js';

const mimeTypes: Record<string, string> = {
  '.html': 'text/html; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.json': 'application/json; charset=utf-8',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.woff': 'font/woff',
  '.woff2': 'font/woff2',
  '.ttf': 'font/ttf',
};

/**
 * Everything from this server only. Styles may be inline (CodeMirror, MathJax and Plotly write style elements), scripts
 * may not: an output's HTML cannot run code in the page even where it slips past the sanitizer.
 */
const CONTENT_SECURITY_POLICY = [
  "default-src 'none'",
  "script-src 'self'",
  "style-src 'self' 'unsafe-inline'",
  "img-src 'self' data: blob:",
  "font-src 'self' data:",
  "media-src 'self' data: blob:",
  "connect-src 'self'",
  "worker-src 'self' blob:",
  "form-action 'none'",
  "base-uri 'none'",
  "frame-ancestors 'none'",
].join('; ');

/** A learner's file opened in a tab of its own: shown, never run. */
export const FILES_SECURITY_POLICY =
  "sandbox; default-src 'none'; img-src 'self' data:; style-src 'unsafe-inline'";

export function securityHeaders(policy = CONTENT_SECURITY_POLICY): Record<string, string> {
  return {
    'Content-Security-Policy': policy,
    'X-Content-Type-Options': 'nosniff',
    'Referrer-Policy': 'no-referrer',
    'Cross-Origin-Opener-Policy': 'same-origin',
    'Cross-Origin-Resource-Policy': 'same-origin',
  };
}

/** Sends `path` under `root` (a real path); the type is by extension or `mimeType`. */
export async function sendFile(
  request: IncomingMessage,
  response: ServerResponse,
  root: string,
  path: string,
  o: { mimeType?: string; policy?: string } = {},
): Promise<void> {
  const file = await resolveInside(root, path);
  const info = await stat(file).catch(() => undefined);
  if (info === undefined || !info.isFile()) throw new HttpError(404, 'SB_NOT_FOUND', `Cannot find "${path}"`);
  const tag = `"${info.size.toString(36)}-${Math.round(info.mtimeMs).toString(36)}"`;
  const headers = {
    ...securityHeaders(o.policy),
    ETag: tag,
    // Chunk names carry their hash; the rest is asked for again each time and answered by 304.
    'Cache-Control': /^(chunks|assets)\//.test(path) ? 'private, max-age=31536000, immutable' : 'no-cache',
  };
  if (request.headers['if-none-match'] === tag) {
    response.writeHead(304, headers);
    response.end();
    return;
  }
  response.writeHead(200, {
    ...headers,
    'Content-Type': o.mimeType ?? mimeTypes[extname(file)] ?? 'application/octet-stream',
    'Content-Length': info.size,
  });
  if (request.method === 'HEAD') {
    response.end();
    return;
  }
  createReadStream(file)
    .on('error', () => response.destroy())
    .pipe(response);
}
