/** First page: the curriculum as a list of layers and lessons, with a search over titles and what they teach. */
import type { LayerView, LessonView } from '../server/index.js';
import { type Curriculum, fetchCurriculum } from './api.js';
import { element } from './dom.js';

export async function showHome(page: HTMLElement): Promise<void> {
  document.title = 'Shardbook';
  const curriculum = await fetchCurriculum();
  const titles = new Map(
    curriculum.layers.flatMap((layer) => layer.lessons.map((lesson) => [lesson.id, lesson.title])),
  );
  const list = element('div');
  const draw = (query: string) => {
    const layers = curriculum.layers
      .map((layer) => ({ ...layer, lessons: layer.lessons.filter((lesson) => matches(lesson, query)) }))
      .filter((layer) => layer.lessons.length > 0);
    const nothing = element(
      'p',
      { class: 'sb-empty', role: 'status' },
      query === '' ? 'There are no lessons yet.' : `No lesson matches "${query}".`,
    );
    list.replaceChildren(
      ...(layers.length > 0 ? layers.map((layer) => drawLayer(layer, curriculum, titles)) : [nothing]),
    );
  };
  const search: HTMLInputElement = element('input', {
    class: 'sb-search',
    type: 'search',
    placeholder: 'Search lessons',
    'aria-label': 'Search lessons',
    oninput: () => draw(search.value.trim()),
  });
  page.replaceChildren(
    element(
      'main',
      { class: 'sb-home' },
      element(
        'header',
        { class: 'sb-home-head' },
        element('img', { src: '/app/favicon.svg', alt: '' }),
        element('h1', {}, 'Shardbook'),
        search,
      ),
      element(
        'p',
        { class: 'sb-home-lead' },
        'Distributed training from the first message between ranks to sharded models: each lesson is a notebook whose cells run on several ranks at once. Your edits stay in your own workspace.',
      ),
      ...curriculum.problems.map((problem) => element('p', { class: 'sb-problem', role: 'alert' }, problem)),
      list,
    ),
  );
  draw('');
}

function drawLayer(
  layer: LayerView,
  curriculum: Curriculum,
  titles: ReadonlyMap<string, string>,
): HTMLElement {
  const minutes = layer.lessons.reduce((sum, lesson) => sum + lesson.minutes, 0);
  const count = layer.lessons.length === 1 ? '1 lesson' : `${layer.lessons.length} lessons`;
  const headingId = `layer-${layer.id}`;
  return element(
    'section',
    { class: 'sb-layer', 'aria-labelledby': headingId },
    element(
      'h2',
      { id: headingId },
      element('span', { class: 'sb-layer-number' }, `Layer ${layer.id}`),
      layer.title,
      element('span', { class: 'sb-layer-count' }, `${count}, ${duration(minutes)}`),
    ),
    element(
      'ul',
      { class: 'sb-lessons' },
      ...layer.lessons.map((lesson) => drawLesson(lesson, curriculum.started.includes(lesson.id), titles)),
    ),
  );
}

function drawLesson(lesson: LessonView, started: boolean, titles: ReadonlyMap<string, string>): HTMLElement {
  const facts = [
    element('span', { class: 'sb-tag' }, duration(lesson.minutes)),
    element('span', { class: 'sb-tag' }, lesson.world === 1 ? '1 rank' : `${lesson.world} ranks`),
  ];
  if (started) facts.push(element('span', { class: 'sb-tag sb-tag-started' }, 'Started'));
  if (lesson.requires.length > 0) {
    const names = lesson.requires.map((id) => titles.get(id) ?? id).join(', ');
    facts.push(element('span', { class: 'sb-tag' }, `After: ${names}`));
  }
  return element(
    'li',
    { class: 'sb-lesson' },
    element('h3', {}, element('a', { href: `#/lesson/${encodeURIComponent(lesson.id)}` }, lesson.title)),
    element(
      'ul',
      { 'aria-label': 'What it teaches' },
      ...lesson.teaches.map((line) => element('li', {}, line)),
    ),
    element('div', { class: 'sb-lesson-facts' }, ...facts),
  );
}

function matches(lesson: LessonView, query: string): boolean {
  const text = [lesson.id, lesson.title, ...lesson.teaches].join(' ').toLowerCase();
  return query
    .toLowerCase()
    .split(/\s+/)
    .every((word) => text.includes(word));
}

function duration(minutes: number): string {
  if (minutes < 60) return `${minutes} min`;
  const rest = minutes % 60;
  return rest === 0 ? `${minutes / 60} h` : `${Math.floor(minutes / 60)} h ${rest} min`;
}
