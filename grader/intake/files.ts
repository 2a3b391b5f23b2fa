/**
 * Reads what was handed in: a .ts file, a folder, or a notebook (.ipynb or MyST .md). Only TypeScript is taken from a folder:
 * configuration of any kind, dotfiles, symbolic links and packages have no effect. Nothing is followed and nothing is run.
 */
import { createHash } from 'node:crypto';
import {
  closeSync,
  constants,
  type Dirent,
  fstatSync,
  lstatSync,
  openSync,
  readdirSync,
  readSync,
} from 'node:fs';
import { basename, extname, join } from 'node:path';
import { ShardbookError } from 'shardbook';
import type { Exercise } from '../exercise.js';
import { CheckFailure } from '../verdict.js';
import { refused } from './compile.js';
import { type Assembled, assemble, cleanText, mystCells, notebookCells, type Place } from './notebook.js';

export interface SourceFile {
  /** Path within the submission, with `/`. */
  readonly name: string;
  readonly text: string;
}

export interface Submission {
  /** For messages and reports. */
  readonly name: string;
  readonly kind: 'file' | 'folder' | 'notebook' | 'myst';
  /** Of the bytes that count. */
  readonly sha256: string;
  /** The first one is the entry. */
  readonly files: readonly SourceFile[];
  /** What was left out, put in order or put back, in words. */
  readonly notes: readonly string[];
  /** Where a line of one of the files, or of the entry, stands in what was handed in. */
  readonly place: (line: number, file?: string) => Place;
}

const LARGEST_SOURCE = 256 * 1024;
const LARGEST_FOLDER = 1024 * 1024;
const LARGEST_NOTEBOOK = 16 * 2 ** 20;
const MOST_ENTRIES = 500;
const DEEPEST = 4;
const UNREADABLE = ['EACCES', 'EPERM', 'ELOOP', 'ENXIO', 'EISDIR', 'ENOTDIR', 'ENODEV'];
const ENTRY_NAMES = ['submission.ts', 'starter.ts', 'index.ts', 'main.ts'];

/** Code of the error for a path at which nothing is. */
export const SUBMISSION_MISSING = 'SB_SUBMISSION_MISSING';

/** Reads a submission; a path that is not there is the caller's mistake, everything else the learner's. */
export function readSubmission(path: string, exercise: Exercise): Submission {
  let stat: ReturnType<typeof lstatSync>;
  try {
    stat = lstatSync(path);
  } catch {
    throw new ShardbookError({
      code: SUBMISSION_MISSING,
      message: `Cannot grade "${path}": there is no such file or folder`,
      help: 'Name a .ts file, a folder, or a notebook (.ipynb, .md)',
    });
  }
  const name = submissionName(path);
  if (stat.isSymbolicLink()) throw refused('The submission is a symbolic link, wanted a file or a folder');
  if (stat.isDirectory()) return readFolder(path, name, exercise);
  return readOne(path, name, exercise, []);
}

function readOne(path: string, name: string, exercise: Exercise, notes: readonly string[]): Submission {
  const kind = extname(path).toLowerCase();
  if (kind === '.zip' || kind === '.gz' || kind === '.tar')
    throw refused(`The submission is an archive (${kind}), which is not unpacked here`);
  const isNotebook = kind === '.ipynb' || kind === '.md';
  const bytes = readBytes(path, isNotebook ? LARGEST_NOTEBOOK : LARGEST_SOURCE);
  const text = decode(bytes, name);
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (!isNotebook) {
    return {
      name,
      kind: 'file',
      sha256,
      files: [{ name: sourceName(name), text }],
      notes,
      place: (line) => ({ file: name, line }),
    };
  }
  const cells = kind === '.ipynb' ? notebookCells(text) : mystCells(text);
  const assembled: Assembled = assemble(cells, exercise, name);
  if (assembled.text.length > LARGEST_SOURCE)
    throw refused(`The cells have ${assembled.text.length} characters, at most ${LARGEST_SOURCE} are taken`);
  return {
    name,
    kind: kind === '.ipynb' ? 'notebook' : 'myst',
    // Outputs and other cells do not count: they change nothing about the verdict.
    sha256: createHash('sha256').update(assembled.text).digest('hex'),
    files: [{ name: sourceName(name), text: assembled.text }],
    notes: [...notes, ...assembled.notes],
    place: assembled.place,
  };
}

function readFolder(folder: string, name: string, exercise: Exercise): Submission {
  const sources: string[] = [];
  const notebooks: string[] = [];
  const ignored: string[] = [];
  let entries = 0;
  const walk = (path: string, prefix: string, depth: number): void => {
    for (const entry of entriesOf(path)) {
      if (++entries > MOST_ENTRIES) throw refused(`The folder holds more than ${MOST_ENTRIES} files`);
      const relative = `${prefix}${entry.name}`;
      if (entry.isSymbolicLink()) ignored.push(`${relative} (a symbolic link)`);
      else if (entry.name.startsWith('.') || entry.name === 'node_modules') ignored.push(relative);
      else if (entry.isDirectory()) {
        if (depth >= DEEPEST) throw refused(`The folder is nested deeper than ${DEEPEST}`);
        walk(join(path, entry.name), `${relative}/`, depth + 1);
      } else if (!entry.isFile()) ignored.push(`${relative} (not a file)`);
      else if (/^[\w./-]+\.ts$/.test(relative) && !/\.d\.ts$|\.(test|spec|config)\.ts$/.test(relative))
        sources.push(relative);
      else if (/\.(ipynb|md)$/i.test(relative) && !/readme\.md$/i.test(relative)) notebooks.push(relative);
      else ignored.push(relative);
    }
  };
  walk(folder, '', 1);
  const notes =
    ignored.length === 0
      ? []
      : [
          `Not taken: ${ignored.slice(0, 10).map(cleanText).join(', ')}${ignored.length > 10 ? ` and ${ignored.length - 10} more` : ''}`,
        ];
  const entry =
    [`${exercise.id}.ts`, ...ENTRY_NAMES].find((candidate) => sources.includes(candidate)) ??
    (sources.length === 1 ? sources[0] : undefined);
  if (entry === undefined) {
    const notebook =
      notebooks.find((candidate) => candidate.startsWith(exercise.id)) ??
      (notebooks.length === 1 ? notebooks[0] : undefined);
    if (sources.length === 0 && notebook !== undefined)
      return readOne(join(folder, notebook), cleanName(notebook), exercise, notes);
    const message =
      sources.length === 0
        ? 'The folder holds no TypeScript file'
        : `The folder holds ${sources.length} TypeScript files and none is "${exercise.id}.ts" or "submission.ts"`;
    if (sources.length === 0) throw new CheckFailure('not-attempted', { message });
    throw refused(message);
  }
  const hash = createHash('sha256');
  let size = 0;
  const files = [entry, ...sources.filter((source) => source !== entry)].map((source) => {
    const bytes = readBytes(join(folder, source), LARGEST_SOURCE);
    size += bytes.length;
    if (size > LARGEST_FOLDER)
      throw refused(`The folder holds more than ${LARGEST_FOLDER} bytes of TypeScript`);
    hash.update(`${source}\0${bytes.length}\0`).update(bytes);
    return { name: source, text: decode(bytes, source) };
  });
  return {
    name,
    kind: 'folder',
    sha256: hash.digest('hex'),
    files,
    notes,
    place: (line, file = entry) => ({ file, line }),
  };
}

/** Opens without following a link or waiting for a pipe, and reads no more than is allowed. */
function readBytes(path: string, most: number): Uint8Array {
  let file: number;
  try {
    file = openSync(path, constants.O_RDONLY | (constants.O_NOFOLLOW ?? 0) | (constants.O_NONBLOCK ?? 0));
  } catch (error) {
    throw unreadable(error, 'file');
  }
  try {
    const stat = fstatSync(file);
    if (!stat.isFile()) throw refused('The submission is neither a file nor a folder');
    if (stat.size > most) throw refused(`The file has ${stat.size} bytes, at most ${most} are taken`);
    const bytes = new Uint8Array(stat.size);
    let filled = 0;
    while (filled < bytes.length) {
      const count = readSync(file, bytes, filled, bytes.length - filled, filled);
      if (count === 0) break;
      filled += count;
    }
    return bytes.subarray(0, filled);
  } finally {
    closeSync(file);
  }
}

function entriesOf(folder: string): Dirent[] {
  try {
    return readdirSync(folder, { withFileTypes: true }).sort((a, b) => (a.name < b.name ? -1 : 1));
  } catch (error) {
    throw unreadable(error, 'folder');
  }
}

/** What the learner made so that nobody can read it is refused; a disk or a system that fails is no submission's fault. */
function unreadable(error: unknown, what: 'file' | 'folder'): unknown {
  const { code = '' } = error as NodeJS.ErrnoException;
  return UNREADABLE.includes(code) ? refused(`The ${what} cannot be read: ${code}`) : error;
}

function decode(bytes: Uint8Array, name: string): string {
  try {
    return new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch {
    throw refused('The file is not UTF-8 text', undefined, name);
  }
}

/** What a submission is called in messages and reports. */
export function submissionName(path: string): string {
  return cleanName(basename(path));
}

/** A name is the learner's choice: nothing but plain characters goes into messages, paths and reports. */
function cleanName(name: string): string {
  return (
    name
      .replace(/[^\w./-]/g, '_')
      .replace(/\.\.+/g, '.')
      .slice(0, 100) || 'submission'
  );
}

/** Under which the source is written for the ranks: TypeScript, whatever it is called, and no name that means something there. */
function sourceName(name: string): string {
  return `${/^[^.]*/.exec(basename(name))![0] || 'submission'}.ts`;
}
