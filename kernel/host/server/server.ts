/**
 * The embedded Jupyter server: one Node process serves the app, the REST API and the kernels' WebSockets, bound to
 * 127.0.0.1. Every request passes the guard (auth.ts) before anything else looks at it.
 */

import { realpath } from 'node:fs/promises';
import { createServer, type IncomingMessage, type Server, type ServerResponse } from 'node:http';
import type { AddressInfo, Socket } from 'node:net';
import { dirname } from 'node:path';
import type { Duplex } from 'node:stream';
import { type WebSocket, WebSocketServer } from 'ws';
import { ShardbookError } from '../../runtime/base/index.js';
import { makeFolder } from '../folders/index.js';
import { createToken, Guard } from './auth.js';
import { connectChannels } from './channels.js';
import { Contents, type ContentsModel } from './contents.js';
import { V1_PROTOCOL } from './framing.js';
import { dispatch, MAX_BODY_BYTES, type Route, route, sendError } from './http.js';
import { HttpError } from './http-error.js';
import type { ExerciseProvider, KernelProvider, KernelStartOptions, LessonProvider } from './kernel-port.js';
import { Kernels } from './kernels.js';
import { LessonLibrary } from './lesson-library.js';
import { resolveInside } from './paths.js';
import { ProgressFile } from './progress.js';
import { apiRoutes } from './routes.js';
import { securityHeaders, sendFile } from './static.js';

const DEFAULT_PORT = 8931;
/** How many ports after the default are tried before the system chooses. */
const PORTS_TO_TRY = 20;

export interface ServerOptions {
  /** Learner's folder: made when missing. */
  workspace: string;
  /** Folder of the built app. */
  appFolder: string;
  kernels: KernelProvider;
  lessons: LessonProvider;
  /** Without it exercises cannot be checked here. */
  exercises?: ExerciseProvider;
  version: string;
  /** World size of notebooks that don't say theirs. */
  worldSize: number;
  /** Exactly this port, or an error; without it the default or one near it. 0: any free port. */
  port?: number;
  /** Random unless given. */
  token?: string;
  log?: (line: string) => void;
}

export interface RunningServer {
  readonly port: number;
  readonly token: string;
  /** Address with the token, to be opened in a browser. */
  readonly url: string;
  /** Ends connections and kernels; nothing is left behind. */
  stop(): Promise<void>;
}

export async function startServer(options: ServerOptions): Promise<RunningServer> {
  const log = options.log ?? (() => {});
  await makeWorkspace(options.workspace);
  const contents = new Contents(await realpath(options.workspace));
  const kernels = new Kernels(options.kernels, (path, name) =>
    kernelOptions(contents, path, name, options.worldSize),
  );
  const progress = new ProgressFile(contents.root);
  const lessons = new LessonLibrary(contents, options.lessons, progress);
  const app = await findApp(options.appFolder);

  const http = createServer();
  await listen(http, options.port);
  const { port } = http.address() as AddressInfo;
  const guard = new Guard(options.token ?? createToken(), port);
  const services = {
    contents,
    kernels,
    lessons,
    progress,
    exercises: options.exercises,
    provider: options.kernels,
    version: options.version,
    started: new Date(),
  };
  const routes = [...apiRoutes(services), ...appRoutes(app, guard)];
  const sockets = new WebSocketServer({
    noServer: true,
    perMessageDeflate: false,
    maxPayload: MAX_BODY_BYTES,
    handleProtocols: (offered) => (offered.has(V1_PROTOCOL) ? V1_PROTOCOL : false),
  });

  http.on('connection', (socket: Socket) => socket.setNoDelay(true));
  http.on('request', (request, response) => void answer(request, response, guard, routes, log));
  http.on('upgrade', (request: IncomingMessage, socket: Duplex, head: Buffer) => {
    socket.on('error', () => socket.destroy());
    upgrade({ request, socket, head, guard, sockets, kernels, log });
  });
  return {
    port,
    token: guard.token,
    url: `http://127.0.0.1:${port}/?token=${guard.token}`,
    stop: () => stop(http, sockets, kernels),
  };
}

async function answer(
  request: IncomingMessage,
  response: ServerResponse,
  guard: Guard,
  routes: readonly Route[],
  log: (line: string) => void,
): Promise<void> {
  try {
    for (const [name, value] of Object.entries(securityHeaders())) response.setHeader(name, value);
    const url = parseUrl(request);
    const refusal = guard.refuse(request, url);
    if (refusal !== undefined) {
      refuse(request, response, url, refusal.status, refusal.reason);
      return;
    }
    const found = await dispatch(routes, request, response, url);
    if (!found) throw new HttpError(404, 'SB_NOT_FOUND', `Cannot find "${url.pathname}"`);
  } catch (error) {
    if (!(error instanceof HttpError))
      log(error instanceof Error ? (error.stack ?? error.message) : String(error));
    sendError(response, error);
  }
}

function parseUrl(request: IncomingMessage): URL {
  try {
    // Not `new URL(target, base)`: "//elsewhere/" would take its host from the target.
    return new URL(`http://127.0.0.1${request.url ?? '/'}`);
  } catch {
    throw new HttpError(400, 'SB_BAD_URL', 'Cannot read the URL: it is malformed');
  }
}

function refuse(
  request: IncomingMessage,
  response: ServerResponse,
  url: URL,
  status: 401 | 403,
  reason: string,
): void {
  if (url.pathname !== '/' || request.method !== 'GET') {
    throw new HttpError(status, 'SB_REFUSED', `Cannot answer: ${reason}`);
  }
  response.writeHead(status, { 'Content-Type': 'text/html; charset=utf-8', 'Cache-Control': 'no-store' });
  response.end(
    '<!doctype html><html lang="en"><title>Shardbook</title><body style="font:16px/1.5 system-ui;max-width:36em;margin:4em auto;padding:0 1em">' +
      '<h1>Cannot open Shardbook here</h1><p>The address lacks its token, or the token is of an earlier start.</p>' +
      '<p>Use the address that <code>npm start</code> (or <code>shardbook start</code>) printed in the terminal.</p></body></html>',
  );
}

function appRoutes(app: string, guard: Guard): Route[] {
  return [
    route('GET', /^\/$/, async ({ request, response, url }) => {
      if (guard.hasUrlToken(url)) {
        // The cookie takes over, so that the token does not stay in the address bar and the history.
        response.writeHead(302, { 'Set-Cookie': guard.cookie(), Location: '/', 'Cache-Control': 'no-store' });
        response.end();
        return;
      }
      await sendFile(request, response, app, 'index.html');
    }),
    route('GET', /^\/favicon\.ico$/, ({ request, response }) =>
      sendFile(request, response, app, 'favicon.svg'),
    ),
    route('GET', /^\/app\/(.+)$/, ({ request, response, params }) =>
      sendFile(request, response, app, params[0]!),
    ),
  ];
}

interface Upgrade {
  request: IncomingMessage;
  socket: Duplex;
  head: Buffer;
  guard: Guard;
  sockets: WebSocketServer;
  kernels: Kernels;
  log: (line: string) => void;
}

function upgrade({ request, socket, head, guard, sockets, kernels, log }: Upgrade): void {
  const end = (status: string) =>
    socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\nContent-Length: 0\r\n\r\n`);
  try {
    const url = parseUrl(request);
    const refusal = guard.refuse(request, url);
    if (refusal !== undefined) return void end(refusal.status === 401 ? '401 Unauthorized' : '403 Forbidden');
    const kernelId = /^\/api\/kernels\/([^/]+)\/channels$/.exec(url.pathname)?.[1];
    if (kernelId !== undefined) {
      const kernel = kernels.get(decodeURIComponent(kernelId));
      sockets.handleUpgrade(request, socket, head, (client: WebSocket) =>
        connectChannels(client, kernel, log),
      );
    } else if (url.pathname === '/api/events/subscribe') {
      // No events are sent; the front end retries without end when the address is missing.
      sockets.handleUpgrade(request, socket, head, (client: WebSocket) =>
        client.on('error', () => client.terminate()),
      );
    } else {
      end('404 Not Found');
    }
  } catch (error) {
    end(error instanceof HttpError ? `${error.status} Refused` : '400 Bad Request');
  }
}

async function stop(http: Server, sockets: WebSocketServer, kernels: Kernels): Promise<void> {
  http.closeIdleConnections();
  const closed = new Promise<void>((resolve) => http.close(() => resolve()));
  await kernels.shutdownAll();
  for (const client of sockets.clients) client.terminate();
  sockets.close();
  http.closeAllConnections();
  await closed;
}

async function makeWorkspace(folder: string): Promise<void> {
  try {
    makeFolder(folder);
  } catch (error) {
    throw new ShardbookError({
      code: 'SB_WORKSPACE',
      message: `Cannot make the workspace "${folder}": ${(error as Error).message}`,
      help: 'Choose a folder you may write to with --workspace DIR',
    });
  }
}

async function findApp(folder: string): Promise<string> {
  try {
    return await realpath(folder);
  } catch {
    throw new ShardbookError({
      code: 'SB_NO_APP',
      message: `Cannot find the browser app in "${folder}"`,
      help: 'Build it with "npm run build"',
    });
  }
}

/** A notebook's kernel starts in the notebook's folder, with the world its metadata asks for. */
async function kernelOptions(
  contents: Contents,
  path: string,
  name: string,
  worldSize: number,
): Promise<KernelStartOptions> {
  const parent = dirname(path) === '.' ? '' : dirname(path);
  // JupyterLab starts a session under a made-up name in the notebook's folder, and tells the real path afterwards.
  const model = (await readNotebook(contents, path)) ?? (await readNotebook(contents, `${parent}/${name}`));
  const folder = await resolveInside(contents.root, parent).catch(() => contents.root);
  const metadata = (model?.content as { metadata?: { shardbook?: { world?: unknown } } } | null | undefined)
    ?.metadata;
  const wanted = metadata?.shardbook?.world;
  const valid = typeof wanted === 'number' && Number.isInteger(wanted) && wanted >= 1 && wanted <= 64;
  return { cwd: folder, worldSize: valid ? wanted : worldSize };
}

async function readNotebook(contents: Contents, path: string): Promise<ContentsModel | undefined> {
  const model = await contents.get(path).catch(() => undefined);
  return model?.type === 'notebook' ? model : undefined;
}

async function listen(http: Server, port: number | undefined): Promise<void> {
  if (port !== undefined) {
    const code = await tryListen(http, port);
    if (code === undefined) return;
    throw new ShardbookError({
      code: code === 'EADDRINUSE' ? 'SB_PORT_IN_USE' : 'SB_PORT',
      message: `Cannot serve at port ${port}: ${code === 'EADDRINUSE' ? 'it is in use' : code}`,
      help: 'Choose another with --port N, or leave the option out to get a free one',
    });
  }
  for (let candidate = DEFAULT_PORT; candidate < DEFAULT_PORT + PORTS_TO_TRY; candidate++) {
    if ((await tryListen(http, candidate)) === undefined) return;
  }
  const code = await tryListen(http, 0);
  if (code !== undefined)
    throw new ShardbookError({
      code: 'SB_PORT',
      message: `Cannot serve at 127.0.0.1: the system gives no port (${code})`,
      help: 'Choose a port with --port N',
    });
}

/** Undefined when the server listens, else the system's error code. */
function tryListen(http: Server, port: number): Promise<string | undefined> {
  return new Promise((resolve) => {
    const onError = (error: NodeJS.ErrnoException) => {
      http.off('listening', onListening);
      resolve(error.code ?? error.message);
    };
    const onListening = () => {
      http.off('error', onError);
      resolve(undefined);
    };
    http.once('error', onError);
    http.once('listening', onListening);
    http.listen(port, '127.0.0.1');
  });
}
