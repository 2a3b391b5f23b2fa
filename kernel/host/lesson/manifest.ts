/**
 * `manifest.yaml` owns which lessons there are and their order; the file names do not.
 * A broken lesson does not take the list down: its entry carries the problem, so that the others can still be opened.
 */
import { existsSync, readFileSync } from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { parse } from 'yaml';
import { nearestName, ShardbookError } from '../../runtime/index.js';
import { parseLesson } from './parse.js';
import type { Lesson } from './types.js';

export const MANIFEST_FILE = 'manifest.yaml';

export interface ManifestLesson {
  readonly id: string;
  /** Path from the manifest's folder, with forward slashes. */
  readonly file: string;
  /** Absolute path. */
  readonly path: string;
  readonly lesson: Lesson | undefined;
  /** Why `lesson` is missing. */
  readonly problem: Error | undefined;
}

export interface ManifestLayer {
  readonly layer: number;
  readonly title: string;
  readonly lessons: readonly ManifestLesson[];
}

export interface Manifest {
  /** Absolute path of the folder that holds the manifest. */
  readonly root: string;
  readonly title: string;
  readonly layers: readonly ManifestLayer[];
}

/** Reads `manifest.yaml` in `root` and every lesson it names. */
export function loadManifest(root: string): Manifest {
  const file = join(root, MANIFEST_FILE);
  if (!existsSync(file)) {
    throw new ShardbookError({
      code: 'SB_MANIFEST_MISSING',
      message: `Cannot find lessons: no ${MANIFEST_FILE} in "${root}"`,
      help: 'Name a folder of lessons, or make one with "shardbook lesson new <id> --dir <folder>"',
    });
  }
  const value = readYaml(file);
  const layers = asList(value['layers'], 'layers').map((layer) => readLayer(asRecord(layer), resolve(root)));
  const manifest: Manifest = { root: resolve(root), title: String(value['title'] ?? 'Lessons'), layers };
  checkOrder(manifest);
  return manifest;
}

/** All lessons of a manifest in order. */
export function manifestLessons(manifest: Manifest): ManifestLesson[] {
  return manifest.layers.flatMap((layer) => [...layer.lessons]);
}

/** The entry of lesson `id`; throws with a suggestion when there is none. */
export function findLesson(manifest: Manifest, id: string): ManifestLesson {
  const entries = manifestLessons(manifest);
  const entry = entries.find((candidate) => candidate.id === id);
  if (entry !== undefined) return entry;
  const near = nearestName(
    id,
    entries.map((candidate) => candidate.id),
  );
  throw new ShardbookError({
    code: 'SB_LESSON_UNKNOWN',
    message: `Cannot find the lesson "${id}" in "${manifest.root}"`,
    help: near === undefined ? 'See "shardbook lesson list"' : `Did you mean "${near}"?`,
  });
}

function readYaml(file: string): Record<string, unknown> {
  try {
    return asRecord(parse(readFileSync(file, 'utf8')));
  } catch (error) {
    throw invalid((error as Error).message.split('\n')[0]!);
  }
}

function readLayer(value: Record<string, unknown>, root: string): ManifestLayer {
  const layer = value['layer'];
  if (!Number.isInteger(layer)) throw invalid('a layer without a number in "layer"');
  return {
    layer: layer as number,
    title: String(value['title'] ?? `Layer ${String(layer)}`),
    lessons: asList(value['lessons'], `lessons of layer ${String(layer)}`).map((entry) =>
      readEntry(asRecord(entry), root),
    ),
  };
}

function readEntry(value: Record<string, unknown>, root: string): ManifestLesson {
  const { id, file } = value;
  if (typeof id !== 'string' || typeof file !== 'string') throw invalid('a lesson without "id" and "file"');
  const path = resolve(root, file);
  if (relative(root, path).split(sep)[0] === '..')
    throw invalid(`lesson "${id}" lies outside the folder: "${file}"`);
  try {
    const lesson = parseLesson(readFileSync(path, 'utf8'), shownPath(path));
    if (lesson.id !== id)
      throw invalid(`"${file}" has the id "${lesson.id}" in its front matter, "${id}" in the manifest`);
    return { id, file, path, lesson, problem: undefined };
  } catch (error) {
    const missing = (error as NodeJS.ErrnoException).code === 'ENOENT';
    return {
      id,
      file,
      path,
      lesson: undefined,
      problem: missing ? invalid(`lesson "${id}" has no file "${file}"`) : (error as Error),
    };
  }
}

/** Ids are unique, a lesson stands in its own layer, and what it requires comes before it. */
function checkOrder(manifest: Manifest): void {
  const seen = new Set<string>();
  for (const layer of manifest.layers) {
    for (const { id, lesson } of layer.lessons) {
      if (seen.has(id)) throw invalid(`lesson "${id}" is listed twice`);
      seen.add(id);
      if (lesson === undefined) continue;
      if (lesson.layer !== layer.layer)
        throw invalid(`lesson "${id}" says layer ${lesson.layer}, listed in layer ${layer.layer}`);
      const missing = lesson.requires.find((required) => !seen.has(required));
      if (missing !== undefined)
        throw invalid(`lesson "${id}" requires "${missing}", which does not come before it`);
    }
  }
}

/** A path as a reader finds it: from here when it is below, absolute otherwise. */
export function shownPath(path: string): string {
  const below = relative(process.cwd(), path);
  return below === '' || below.startsWith('..') ? path : below;
}

function asRecord(value: unknown): Record<string, unknown> {
  if (typeof value !== 'object' || value === null || Array.isArray(value))
    throw invalid('a mapping of keys to values is wanted');
  return value as Record<string, unknown>;
}

function asList(value: unknown, what: string): unknown[] {
  if (!Array.isArray(value)) throw invalid(`"${what}" is not a list`);
  return value;
}

function invalid(problem: string): ShardbookError {
  return new ShardbookError({
    code: 'SB_MANIFEST_INVALID',
    message: `Cannot read ${MANIFEST_FILE}: ${problem}`,
  });
}
