/** Jupyter's contents API over a folder: notebooks, text and binary files, folders, one checkpoint per file. */

import { randomBytes } from 'node:crypto';
import type { Stats } from 'node:fs';
import { copyFile, readdir, readFile, rename, rm, rmdir, stat, writeFile } from 'node:fs/promises';
import { basename, dirname, extname, join } from 'node:path';
import { makeFolder } from '../folders/index.js';
import { HttpError } from './http-error.js';
import { normalizeApiPath, realInside, resolveInside } from './paths.js';
import { TrustStore } from './trust.js';

export interface ContentsModel {
  name: string;
  path: string;
  type: 'notebook' | 'file' | 'directory';
  writable: boolean;
  created: string;
  last_modified: string;
  size: number | null;
  mimetype: string | null;
  format: 'json' | 'text' | 'base64' | null;
  content: unknown;
}

export interface CheckpointModel {
  id: string;
  last_modified: string;
}

/** Larger files are not for a page to hold; what is saved has the same limit (http.ts). */
const MAX_FILE_BYTES = 64 * 1024 * 1024;
/** The one checkpoint each file can have. */
const CHECKPOINT = 'checkpoint';
const CHECKPOINT_FOLDER = '.ipynb_checkpoints';

const mimeTypes: Record<string, string> = {
  '.ts': 'text/typescript',
  '.js': 'text/javascript',
  '.json': 'application/json',
  '.md': 'text/markdown',
  '.txt': 'text/plain',
  '.csv': 'text/csv',
  '.html': 'text/html',
  '.svg': 'image/svg+xml',
  '.png': 'image/png',
  '.jpg': 'image/jpeg',
  '.gif': 'image/gif',
};

export function mimeTypeOf(path: string): string | undefined {
  return mimeTypes[extname(path).toLowerCase()];
}

export class Contents {
  readonly #trust: TrustStore;

  /** `root` must be a real path (links resolved). */
  constructor(readonly root: string) {
    this.#trust = new TrustStore(root);
  }

  #turns = new Map<string, Promise<unknown>>();

  /**
   * One after the other on the same path: a page that is loaded again while its last save is under way must see that save,
   * or it would take the file for changed by somebody else.
   */
  #inTurn<T>(apiPath: string, work: () => Promise<T>): Promise<T> {
    const path = normalizeApiPath(apiPath);
    const before = this.#turns.get(path) ?? Promise.resolve();
    const result = before.then(work, work);
    const settled = result.catch(() => {});
    this.#turns.set(path, settled);
    void settled.then(() => {
      if (this.#turns.get(path) === settled) this.#turns.delete(path);
    });
    return result;
  }

  async get(
    apiPath: string,
    o: { content?: boolean; type?: string; format?: string } = {},
  ): Promise<ContentsModel> {
    return this.#inTurn(apiPath, () => this.#get(apiPath, o));
  }

  async #get(
    apiPath: string,
    o: { content?: boolean; type?: string; format?: string } = {},
  ): Promise<ContentsModel> {
    const path = normalizeApiPath(apiPath);
    const file = await resolveInside(this.root, path);
    const info = await this.#stat(file, path);
    const model = this.#model(path, info);
    if (o.type !== undefined && o.type !== model.type && !(o.type === 'file' && model.type === 'notebook')) {
      throw new HttpError(400, 'SB_WRONG_TYPE', `Cannot read "${path}" as ${o.type}: it is a ${model.type}`);
    }
    if (o.content === false) return model;
    if (model.type === 'directory')
      return { ...model, format: 'json', content: await this.#list(path, file) };
    if (info.size > MAX_FILE_BYTES) {
      throw new HttpError(
        413,
        'SB_FILE_TOO_LARGE',
        `Cannot open "${path}": it has ${info.size} bytes, ${MAX_FILE_BYTES} at most`,
      );
    }
    const bytes = await readFile(file).catch((error) => {
      throw fileError(error, path);
    });
    if (model.type === 'notebook' && o.type !== 'file') {
      const content = parseNotebook(path, bytes);
      await this.#trust.mark(path, bytes, content);
      return { ...model, format: 'json', mimetype: null, content };
    }
    const text = o.format === 'base64' ? undefined : decodeUtf8(bytes);
    if (text === undefined && o.format === 'text') {
      throw new HttpError(400, 'SB_NOT_TEXT', `Cannot read "${path}" as text: it is not UTF-8`);
    }
    if (text !== undefined)
      return {
        ...model,
        type: 'file',
        format: 'text',
        mimetype: mimeTypeOf(path) ?? 'text/plain',
        content: text,
      };
    return {
      ...model,
      type: 'file',
      format: 'base64',
      mimetype: mimeTypeOf(path) ?? 'application/octet-stream',
      content: bytes.toString('base64'),
    };
  }

  async save(
    apiPath: string,
    body: Record<string, unknown>,
  ): Promise<{ model: ContentsModel; created: boolean }> {
    return this.#inTurn(apiPath, () => this.#save(apiPath, body));
  }

  async #save(
    apiPath: string,
    body: Record<string, unknown>,
  ): Promise<{ model: ContentsModel; created: boolean }> {
    const path = normalizeApiPath(apiPath);
    if (path === '')
      throw new HttpError(400, 'SB_WRONG_TYPE', 'Cannot save the workspace itself: want a file in it');
    const file = await resolveInside(this.root, path);
    const before = await stat(file).catch(() => undefined);
    if (body['type'] === 'directory') {
      makeFolderFor(file, path);
    } else {
      if (before?.isDirectory())
        throw new HttpError(400, 'SB_WRONG_TYPE', `Cannot save "${path}": it is a folder`);
      makeFolderFor(dirname(file), path);
      const isNotebook = body['type'] === 'notebook' || body['format'] === 'json';
      const own = isNotebook && this.#trust.takeMarks(body['content']);
      const bytes = encodeContent(path, body);
      await writeWhole(file, bytes, before);
      if (isNotebook) await this.#trust.saved(path, bytes, own);
    }
    return { model: await this.#get(path, { content: false }), created: before === undefined };
  }

  /** A new untitled file or folder in `folder`, or a copy of `copy_from`. */
  async create(folder: string, body: Record<string, unknown>): Promise<ContentsModel> {
    const parent = normalizeApiPath(folder);
    const copyFrom = body['copy_from'];
    if (typeof copyFrom === 'string') {
      const source = await resolveInside(this.root, copyFrom);
      const extension = extname(copyFrom);
      const path = await this.#freeName(parent, `${basename(copyFrom, extension)}-Copy`, extension);
      await copyFile(source, await resolveInside(this.root, path)).catch((error) => {
        throw fileError(error, copyFrom);
      });
      return this.get(path, { content: false });
    }
    const type = body['type'] ?? 'file';
    const wanted = typeof body['ext'] === 'string' ? body['ext'] : '';
    const extension = type === 'notebook' ? '.ipynb' : type === 'directory' ? '' : wanted;
    const path = await this.#freeName(
      parent,
      type === 'directory' ? 'Untitled Folder' : 'Untitled',
      extension,
    );
    const content = type === 'notebook' ? emptyNotebook() : '';
    const format = type === 'notebook' ? 'json' : 'text';
    return (await this.save(path, { type, format, content })).model;
  }

  async rename(apiPath: string, to: string): Promise<ContentsModel> {
    const [source, target] = [await resolveInside(this.root, apiPath), await resolveInside(this.root, to)];
    if (source === this.root || target === this.root)
      throw new HttpError(400, 'SB_WRONG_TYPE', 'Cannot rename the workspace');
    if (source !== target && (await stat(target).catch(() => undefined))) {
      throw new HttpError(409, 'SB_EXISTS', `Cannot rename to "${to}": it exists already`);
    }
    await rename(source, target).catch((error) => {
      throw fileError(error, apiPath);
    });
    await this.#trust.moved(normalizeApiPath(apiPath), normalizeApiPath(to));
    return this.get(to, { content: false });
  }

  /** Deletes a file or an empty folder; a full folder is refused, for the learner's sake. */
  async remove(apiPath: string): Promise<void> {
    const file = await resolveInside(this.root, apiPath);
    if (file === this.root) throw new HttpError(400, 'SB_WRONG_TYPE', 'Cannot delete the workspace');
    const info = await this.#stat(file, apiPath);
    try {
      if (info.isDirectory()) {
        await realInside(this.root, join(file, CHECKPOINT_FOLDER));
        await rm(join(file, CHECKPOINT_FOLDER), { recursive: true, force: true });
        await rmdir(file);
      } else {
        const copy = await this.#checkpointFile(file);
        await rm(file);
        await rm(copy, { force: true });
      }
    } catch (error) {
      throw fileError(error, apiPath);
    }
  }

  async checkpoints(apiPath: string): Promise<CheckpointModel[]> {
    const copy = await this.#checkpointFile(await resolveInside(this.root, apiPath));
    const info = await stat(copy).catch(() => undefined);
    return info === undefined ? [] : [{ id: CHECKPOINT, last_modified: info.mtime.toISOString() }];
  }

  async createCheckpoint(apiPath: string): Promise<CheckpointModel> {
    const file = await resolveInside(this.root, apiPath);
    const info = await this.#stat(file, apiPath);
    if (!info.isFile())
      throw new HttpError(400, 'SB_WRONG_TYPE', `Cannot make a checkpoint of "${apiPath}": it is no file`);
    const copy = await this.#checkpointFile(file);
    makeFolderFor(dirname(copy), apiPath);
    await writeWhole(copy, await readFile(file), undefined);
    return { id: CHECKPOINT, last_modified: (await stat(copy)).mtime.toISOString() };
  }

  async restoreCheckpoint(apiPath: string, id: string): Promise<void> {
    const file = await resolveInside(this.root, apiPath);
    await this.#needCheckpoint(apiPath, id);
    await writeWhole(file, await readFile(await this.#checkpointFile(file)), undefined);
  }

  async removeCheckpoint(apiPath: string, id: string): Promise<void> {
    await this.#needCheckpoint(apiPath, id);
    await rm(await this.#checkpointFile(await resolveInside(this.root, apiPath)));
  }

  /** Where the copy of a file is; the folder's name is hidden, so a link of that name was not put there by us. */
  async #checkpointFile(file: string): Promise<string> {
    const extension = extname(file);
    const name = `${basename(file, extension)}-${CHECKPOINT}${extension}`;
    const copy = join(dirname(file), CHECKPOINT_FOLDER, name);
    await realInside(this.root, copy);
    return copy;
  }

  async #needCheckpoint(apiPath: string, id: string): Promise<void> {
    if (id === CHECKPOINT && (await this.checkpoints(apiPath)).length > 0) return;
    throw new HttpError(404, 'SB_NOT_FOUND', `Cannot find checkpoint "${id}" of "${apiPath}"`);
  }

  async #stat(file: string, path: string): Promise<Stats> {
    const info = await stat(file).catch((error) => {
      throw fileError(error, path);
    });
    // A pipe or a device would never end.
    if (!info.isFile() && !info.isDirectory())
      throw new HttpError(400, 'SB_WRONG_TYPE', `Cannot use "${path}": it is neither a file nor a folder`);
    return info;
  }

  #model(path: string, info: Stats): ContentsModel {
    const type = info.isDirectory() ? 'directory' : path.endsWith('.ipynb') ? 'notebook' : 'file';
    return {
      name: basename(path),
      path,
      type,
      writable: true,
      created: info.birthtime.toISOString(),
      last_modified: info.mtime.toISOString(),
      size: type === 'directory' ? null : info.size,
      mimetype: null,
      format: null,
      content: null,
    };
  }

  async #list(path: string, folder: string): Promise<ContentsModel[]> {
    const models: ContentsModel[] = [];
    const names = await readdir(folder).catch((error) => {
      throw fileError(error, path);
    });
    for (const name of names.sort()) {
      if (name.startsWith('.')) continue;
      const child = path === '' ? name : `${path}/${name}`;
      // What leads out of the workspace or has just gone is not shown.
      const model = await this.get(child, { content: false }).catch(() => undefined);
      if (model !== undefined) models.push(model);
    }
    return models;
  }

  async #freeName(folder: string, stem: string, extension: string): Promise<string> {
    for (let count = 0; ; count++) {
      const name = `${stem}${count === 0 ? '' : count}${extension}`;
      const path = folder === '' ? name : `${folder}/${name}`;
      if (!(await stat(await resolveInside(this.root, path)).catch(() => undefined))) return path;
    }
  }
}

function makeFolderFor(folder: string, path: string): void {
  try {
    makeFolder(folder);
  } catch (error) {
    throw fileError(error, path);
  }
}

/** Writes beside the file and renames, so that a crash leaves the old file or the new one, never half of it. */
async function writeWhole(
  file: string,
  bytes: Uint8Array | string,
  before: Stats | undefined,
): Promise<void> {
  const temporary = join(dirname(file), `.~${randomBytes(6).toString('hex')}`);
  try {
    await writeFile(temporary, bytes, before === undefined ? {} : { mode: before.mode });
    await rename(temporary, file);
  } catch (error) {
    await rm(temporary, { force: true });
    throw fileError(error, basename(file));
  }
}

function encodeContent(path: string, body: Record<string, unknown>): string | Uint8Array {
  const { content, format, type } = body;
  if (type === 'notebook' || format === 'json') {
    if (typeof content !== 'object' || content === null || !('cells' in content)) {
      throw new HttpError(400, 'SB_BAD_NOTEBOOK', `Cannot save "${path}": its content is not a notebook`);
    }
    return `${JSON.stringify(content, undefined, 1)}\n`;
  }
  if (typeof content !== 'string')
    throw new HttpError(400, 'SB_BAD_BODY', `Cannot save "${path}": its content is not text`);
  return format === 'base64' ? Buffer.from(content, 'base64') : content;
}

function parseNotebook(path: string, bytes: Buffer): unknown {
  try {
    const notebook: unknown = JSON.parse(bytes.toString('utf8'));
    if (typeof notebook === 'object' && notebook !== null && 'cells' in notebook) return notebook;
  } catch {
    // Said below: not JSON and not a notebook have the same cure.
  }
  throw new HttpError(
    400,
    'SB_BAD_NOTEBOOK',
    `Cannot open "${path}": it is not a notebook`,
    'Delete it or mend its JSON by hand; a lesson can be reset.',
  );
}

function emptyNotebook(): unknown {
  return { cells: [], metadata: {}, nbformat: 4, nbformat_minor: 5 };
}

function decodeUtf8(bytes: Buffer): string | undefined {
  try {
    return new TextDecoder('utf-8', { fatal: true, ignoreBOM: true }).decode(bytes);
  } catch {
    return undefined;
  }
}

function fileError(error: unknown, path: string): Error {
  if (error instanceof HttpError) return error;
  const code = (error as NodeJS.ErrnoException).code;
  if (code === 'ENAMETOOLONG')
    return new HttpError(
      400,
      'SB_PATH_REFUSED',
      `Cannot use the path "${path.slice(0, 40)}...": a name in it is too long`,
    );
  if (code === 'EISDIR' || code === 'EEXIST' || code === 'EINVAL' || code === 'EXDEV')
    return new HttpError(400, 'SB_WRONG_TYPE', `Cannot use "${path}": another kind of file is there`);
  if (code === 'ENOENT' || code === 'ENOTDIR')
    return new HttpError(404, 'SB_NOT_FOUND', `Cannot find "${path}"`);
  if (code === 'ENOTEMPTY')
    return new HttpError(400, 'SB_NOT_EMPTY', `Cannot delete "${path}": the folder is not empty`);
  if (code === 'EACCES' || code === 'EPERM' || code === 'EROFS') {
    return new HttpError(403, 'SB_NO_PERMISSION', `Cannot write "${path}": no permission`);
  }
  if (code === 'ENOSPC')
    return new HttpError(507, 'SB_DISK_FULL', `Cannot write "${path}": the disk is full`);
  return error as Error;
}
