/** Jupyter's REST as far as JupyterLab's services and notebook widget call it, and Shardbook's own few addresses. */
import type { Contents } from './contents.js';
import { mimeTypeOf } from './contents.js';
import { type Call, type Route, route, sendEmpty, sendJson } from './http.js';
import { HttpError } from './http-error.js';
import type { ExerciseProvider, KernelProvider } from './kernel-port.js';
import type { Kernels } from './kernels.js';
import type { LessonLibrary } from './lesson-library.js';
import { type ProgressFile, progressChange } from './progress.js';
import { FILES_SECURITY_POLICY, sendFile } from './static.js';

export interface Services {
  contents: Contents;
  kernels: Kernels;
  lessons: LessonLibrary;
  progress: ProgressFile;
  exercises: ExerciseProvider | undefined;
  provider: KernelProvider;
  version: string;
  started: Date;
}

export function apiRoutes(services: Services): Route[] {
  return [
    ...statusRoutes(services),
    ...kernelRoutes(services),
    ...sessionRoutes(services),
    ...checkpointRoutes(services),
    ...contentsRoutes(services),
    ...shardbookRoutes(services),
    ...exerciseRoutes(services),
  ];
}

function statusRoutes({ kernels, provider, version, started }: Services): Route[] {
  const { name, displayName, language } = provider.spec;
  const spec = {
    argv: [],
    env: {},
    display_name: displayName,
    language,
    interrupt_mode: 'message',
    metadata: { debugger: true },
  };
  const model = { name, spec, resources: {} };
  const user = {
    username: 'learner',
    name: 'Learner',
    display_name: 'Learner',
    initials: 'L',
    avatar_url: null,
    color: null,
  };
  return [
    route('GET', /^\/api\/?$/, ({ response }) => sendJson(response, 200, { version })),
    route('GET', /^\/api\/status$/, ({ response }) => {
      const list = kernels.list();
      sendJson(response, 200, {
        started: started.toISOString(),
        last_activity:
          list
            .map((kernel) => kernel.last_activity)
            .sort()
            .at(-1) ?? started.toISOString(),
        connections: list.reduce((sum, kernel) => sum + kernel.connections, 0),
        kernels: list.length,
      });
    }),
    route('GET', /^\/api\/me$/, ({ response }) =>
      sendJson(response, 200, { identity: user, permissions: {} }),
    ),
    route('GET', /^\/api\/kernelspecs$/, ({ response }) =>
      sendJson(response, 200, { default: name, kernelspecs: { [name]: model } }),
    ),
    route('GET', /^\/api\/kernelspecs\/([^/]+)$/, ({ response, params }) => {
      if (params[0] !== name)
        throw new HttpError(404, 'SB_NO_KERNELSPEC', `Cannot find kernelspec "${params[0]}"`);
      sendJson(response, 200, model);
    }),
    route('POST', /^\/api\/events$/, ({ response }) => sendEmpty(response)),
  ];
}

function kernelRoutes({ kernels }: Services): Route[] {
  const one = /^\/api\/kernels\/([^/]+)$/;
  return [
    route('GET', /^\/api\/kernels$/, ({ response }) => sendJson(response, 200, kernels.list())),
    route('POST', /^\/api\/kernels$/, async ({ response, json }) => {
      const body = await json();
      const entry = await kernels.start(textOr(body['name'], undefined), textOr(body['path'], ''));
      sendJson(response, 201, entry.model(), { Location: `/api/kernels/${entry.id}` });
    }),
    route('GET', one, ({ response, params }) => sendJson(response, 200, kernels.get(params[0]!).model())),
    route('DELETE', one, async ({ response, params }) => {
      await kernels.shutdown(params[0]!);
      sendEmpty(response);
    }),
    route('POST', /^\/api\/kernels\/([^/]+)\/interrupt$/, async ({ response, params }) => {
      await kernels.interrupt(params[0]!);
      sendEmpty(response);
    }),
    route('POST', /^\/api\/kernels\/([^/]+)\/restart$/, async ({ response, params }) => {
      sendJson(response, 200, (await kernels.restart(params[0]!)).model());
    }),
  ];
}

function sessionRoutes({ kernels }: Services): Route[] {
  const one = /^\/api\/sessions\/([^/]+)$/;
  return [
    route('GET', /^\/api\/sessions$/, ({ response }) => sendJson(response, 200, kernels.sessions())),
    route('POST', /^\/api\/sessions$/, async ({ response, json }) => {
      const session = await kernels.openSession(await json());
      sendJson(response, 201, session, { Location: `/api/sessions/${session.id}` });
    }),
    route('GET', one, ({ response, params }) => sendJson(response, 200, kernels.session(params[0]!))),
    route('PATCH', one, async ({ response, params, json }) => {
      sendJson(response, 200, await kernels.patchSession(params[0]!, await json()));
    }),
    route('DELETE', one, async ({ response, params }) => {
      await kernels.closeSession(params[0]!);
      sendEmpty(response);
    }),
  ];
}

/** Stands before the contents routes, whose pattern takes any path. */
function checkpointRoutes({ contents }: Services): Route[] {
  const all = /^\/api\/contents\/(.+)\/checkpoints$/;
  const one = /^\/api\/contents\/(.+)\/checkpoints\/([^/]+)$/;
  return [
    route('GET', all, async ({ response, params }) =>
      sendJson(response, 200, await contents.checkpoints(params[0]!)),
    ),
    route('POST', all, async ({ response, params }) => {
      sendJson(response, 201, await contents.createCheckpoint(params[0]!));
    }),
    route('POST', one, async ({ response, params }) => {
      await contents.restoreCheckpoint(params[0]!, params[1]!);
      sendEmpty(response);
    }),
    route('DELETE', one, async ({ response, params }) => {
      await contents.removeCheckpoint(params[0]!, params[1]!);
      sendEmpty(response);
    }),
  ];
}

function contentsRoutes({ contents }: Services): Route[] {
  const any = /^\/api\/contents(?:\/(.*))?$/;
  return [
    route('GET', any, async ({ response, url, params }) => {
      const { searchParams } = url;
      const model = await contents.get(params[0]!, {
        content: searchParams.get('content') !== '0',
        ...optional('type', searchParams.get('type')),
        ...optional('format', searchParams.get('format')),
      });
      sendJson(response, 200, model);
    }),
    route('POST', any, async ({ response, params, json }) => {
      sendJson(response, 201, await contents.create(params[0]!, await json()));
    }),
    route('PUT', any, async ({ response, params, json }) => {
      const { model, created } = await contents.save(params[0]!, await json());
      sendJson(response, created ? 201 : 200, model);
    }),
    route('PATCH', any, async ({ response, params, json }) => {
      const to = textOr((await json())['path'], undefined);
      if (to === undefined) throw new HttpError(400, 'SB_BAD_BODY', 'Cannot rename: the body has no "path"');
      sendJson(response, 200, await contents.rename(params[0]!, to));
    }),
    route('DELETE', any, async ({ response, params }) => {
      await contents.remove(params[0]!);
      sendEmpty(response);
    }),
    route('GET', /^\/files\/(.+)$/, ({ request, response, params }: Call) => {
      // A file of the workspace is data: a page may show it, never run it.
      const use = request.headers['sec-fetch-dest'];
      if (typeof use === 'string' && !SHOWN_AS.includes(use))
        throw new HttpError(403, 'SB_REFUSED', `Cannot give a file of the workspace as ${use}`);
      return sendFile(request, response, contents.root, params[0]!, {
        mimeType: mimeTypeOf(params[0]!) ?? 'application/octet-stream',
        policy: FILES_SECURITY_POLICY,
      });
    }),
  ];
}

/** `Sec-Fetch-Dest` of requests that cannot run what they get. */
const SHOWN_AS = ['document', 'image', 'audio', 'video', 'track', 'empty'];

function shardbookRoutes({ lessons, kernels, progress }: Services): Route[] {
  return [
    route('GET', /^\/api\/shardbook\/curriculum$/, async ({ response }) =>
      sendJson(response, 200, await lessons.list()),
    ),
    route('POST', /^\/api\/shardbook\/lessons\/([^/]+)\/open$/, async ({ response, params }) => {
      const path = await lessons.open(params[0]!);
      // Its kernel starts while the page still loads.
      void kernels.warm(path);
      sendJson(response, 200, { path });
    }),
    route('POST', /^\/api\/shardbook\/lessons\/([^/]+)\/reset$/, async ({ response, params }) => {
      const { path, kept } = await lessons.reset(params[0]!);
      sendJson(response, 200, { path, kept: kept ?? null });
    }),
    route('GET', /^\/api\/shardbook\/kernels\/([^/]+)\/ranks$/, ({ response, params }) => {
      const entry = kernels.get(params[0]!);
      sendJson(response, 200, { state: entry.state, ranks: entry.handle.ranks() });
    }),
    route('GET', /^\/api\/shardbook\/kernels\/([^/]+)\/cluster$/, ({ response, params }) => {
      const { handle, state } = kernels.get(params[0]!);
      const view = handle.cluster?.() ?? {
        watching: false,
        machine: '',
        ranks: handle.ranks(),
        failures: [],
      };
      sendJson(response, 200, { state, ...view });
    }),
    route('GET', /^\/api\/shardbook\/kernels\/([^/]+)\/variables$/, async ({ response, params }) => {
      const { handle } = kernels.get(params[0]!);
      sendJson(response, 200, (await handle.variables?.()) ?? { stale: true, ranks: [] });
    }),
    route('GET', /^\/api\/shardbook\/progress$/, async ({ response }) =>
      sendJson(response, 200, (await progress.read()).progress),
    ),
    route('POST', /^\/api\/shardbook\/lessons\/([^/]+)\/progress$/, async ({ response, params, json }) => {
      sendJson(response, 200, await lessons.note(params[0]!, progressChange(await json())));
    }),
  ];
}

/** A submission is text of a person. */
const MOST_SOURCE = 1024 * 1024;

function exerciseRoutes({ exercises, progress }: Services): Route[] {
  const known = async (id: string): Promise<ExerciseProvider> => {
    const named = exercises !== undefined && /^[a-z0-9][a-z0-9-]*$/.test(id);
    if (named && (await exercises.lessonOf(id)) !== undefined) return exercises;
    throw new HttpError(404, 'SB_NO_EXERCISE', `Cannot find exercise "${id}": there is no such exercise`);
  };
  return [
    route('POST', /^\/api\/shardbook\/exercises\/([^/]+)\/check$/, async ({ response, params, json }) => {
      const id = params[0]!;
      const provider = await known(id);
      const { source, lesson: asked } = await json();
      if (typeof source !== 'string' || source.length > MOST_SOURCE)
        throw new HttpError(
          400,
          'SB_BAD_BODY',
          'Cannot check: the body has no "source", or a text over 1 MiB',
        );
      const result = await provider.check(id, source);
      // A lesson may ask for an exercise of another: it counts where it was done.
      const inLesson = typeof asked === 'string' && /^[a-z0-9][a-z0-9-]{0,79}$/.test(asked);
      const lesson = inLesson ? asked : await provider.lessonOf(id);
      if (lesson !== undefined && lesson !== '' && result.verdict !== 'infra-error')
        await progress.checked(lesson, id, { verdict: result.verdict, ...result.score });
      sendJson(response, 200, result);
    }),
    route('POST', /^\/api\/shardbook\/exercises\/([^/]+)\/hint$/, async ({ response, params }) => {
      sendJson(response, 200, await (await known(params[0]!)).hint(params[0]!));
    }),
    route('POST', /^\/api\/shardbook\/exercises\/([^/]+)\/solution$/, async ({ response, params, json }) => {
      const reveal = (await json())['reveal'] === true;
      sendJson(response, 200, { solution: await (await known(params[0]!)).solution(params[0]!, reveal) });
    }),
  ];
}

function textOr<T>(value: unknown, otherwise: T): string | T {
  return typeof value === 'string' ? value : otherwise;
}

function optional<K extends string>(key: K, value: string | null): { [P in K]?: string } {
  return value === null ? {} : ({ [key]: value } as { [P in K]?: string });
}
