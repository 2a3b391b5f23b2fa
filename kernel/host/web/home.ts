/** First page: the curriculum as a map of layers and lessons, what comes before what, how far the learner is, and a search. */
import type { LayerView, LessonView } from '../server/index.js';
import { fetchCurriculum } from './api.js';
import { element } from './dom.js';
import { type Share, shareOf } from './progress.js';
import { themeButton } from './theme.js';

interface Known {
  lesson: LessonView;
  layer: LayerView;
  share: Share;
}

export async function showHome(page: HTMLElement): Promise<void> {
  document.title = 'Shardbook';
  const curriculum = await fetchCurriculum();
  const known = new Map<string, Known>();
  for (const layer of curriculum.layers)
    for (const lesson of layer.lessons) {
      const share = shareOf(lesson, curriculum.progress[lesson.id], curriculum.started.includes(lesson.id));
      known.set(lesson.id, { lesson, layer, share });
    }
  const list = element('div', { class: 'sb-map' });
  const found = element('p', { class: 'sb-hidden-text', role: 'status' });
  const draw = (query: string) => {
    const layers = curriculum.layers
      .map((layer) => ({
        ...layer,
        lessons: layer.lessons.filter((lesson) => matches(lesson, layer, query)),
      }))
      .filter((layer) => layer.lessons.length > 0);
    const count = layers.reduce((sum, layer) => sum + layer.lessons.length, 0);
    found.textContent = query === '' ? '' : `${count} ${count === 1 ? 'lesson matches' : 'lessons match'}`;
    const nothing = element(
      'p',
      { class: 'sb-empty', role: 'status' },
      query === '' ? 'There are no lessons yet.' : `No lesson matches "${query}".`,
    );
    list.replaceChildren(...(layers.length > 0 ? layers.map((layer) => drawLayer(layer, known)) : [nothing]));
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
        themeButton(),
      ),
      element(
        'p',
        { class: 'sb-home-lead' },
        'Distributed training from the first message between ranks to sharded models: each lesson is a notebook whose cells run on several ranks at once. Your edits stay in your own workspace.',
      ),
      ...curriculum.problems.map((problem) => element('p', { class: 'sb-problem', role: 'alert' }, problem)),
      ...drawOverview(known),
      found,
      list,
    ),
  );
  draw('');
  showRelations(list, known);
  performance.mark('shardbook-home');
}

/** All progress in one line, and what to do next. */
function drawOverview(known: ReadonlyMap<string, Known>): HTMLElement[] {
  if (known.size === 0) return [];
  const all = [...known.values()];
  const complete = all.filter(({ share }) => share.state === 'complete').length;
  const minutesLeft = all
    .filter(({ share }) => share.state !== 'complete')
    .reduce((sum, { lesson, share }) => sum + lesson.minutes * (1 - share.percent / 100), 0);
  const ready = ({ lesson }: Known) =>
    lesson.requires.every((id) => (known.get(id)?.share.state ?? 'complete') === 'complete');
  const open = all.filter(({ share }) => share.state !== 'complete');
  const next = open.find(({ share }) => share.state === 'started') ?? open.find(ready) ?? open[0];
  const facts = `${complete} of ${all.length} lessons complete${minutesLeft >= 1 ? `, about ${duration(Math.round(minutesLeft))} to go` : ''}`;
  const overview = element(
    'section',
    { class: 'sb-overview', 'aria-label': 'Your progress' },
    element(
      'div',
      { class: 'sb-overview-facts' },
      element('strong', {}, 'Your progress'),
      element('span', {}, facts),
      element(
        'a',
        {
          href: '/api/shardbook/progress',
          download: 'shardbook-progress.json',
          title: 'What you ran, predicted, answered and checked, as a file; it is on this machine only',
        },
        'Export',
      ),
      element(
        'a',
        { href: lessonAddress('scratch'), title: 'A notebook of your own, to try things in' },
        'Scratch notebook',
      ),
    ),
    bar(all.reduce((sum, { share }) => sum + share.percent, 0) / all.length, facts),
  );
  if (next !== undefined) {
    const label = next.share.state === 'started' ? 'Continue' : complete === 0 ? 'Start' : 'Next';
    overview.append(
      element(
        'a',
        { class: 'sb-next', href: lessonAddress(next.lesson.id) },
        element('span', {}, `${label}:`),
        ` ${next.lesson.title}`,
      ),
    );
  }
  return [overview];
}

function drawLayer(layer: LayerView, known: ReadonlyMap<string, Known>): HTMLElement {
  const minutes = layer.lessons.reduce((sum, lesson) => sum + lesson.minutes, 0);
  const count = layer.lessons.length === 1 ? '1 lesson' : `${layer.lessons.length} lessons`;
  const complete = layer.lessons.filter((lesson) => known.get(lesson.id)?.share.state === 'complete').length;
  const headingId = `layer-${layer.id}`;
  return element(
    'section',
    { class: 'sb-layer', 'aria-labelledby': headingId },
    element(
      'h2',
      { id: headingId },
      element('span', { class: 'sb-layer-number' }, `Layer ${layer.id}`),
      layer.title,
      element(
        'span',
        { class: 'sb-layer-count' },
        `${count}, ${duration(minutes)}${complete > 0 ? `, ${complete} complete` : ''}`,
      ),
    ),
    element('ol', { class: 'sb-lessons' }, ...layer.lessons.map((lesson) => drawLesson(lesson, known))),
  );
}

function drawLesson(lesson: LessonView, known: ReadonlyMap<string, Known>): HTMLElement {
  const { share } = known.get(lesson.id)!;
  const facts = [tag(duration(lesson.minutes)), tag(lesson.world === 1 ? '1 rank' : `${lesson.world} ranks`)];
  if (lesson.exercises.length > 0)
    facts.push(tag(lesson.exercises.length === 1 ? '1 exercise' : `${lesson.exercises.length} exercises`));
  if (share.state === 'complete') facts.push(tag('Complete', 'sb-tag-complete'));
  else if (share.state === 'started') facts.push(tag('Started', 'sb-tag-started'));
  const card = element(
    'li',
    { class: 'sb-lesson', 'data-lesson': lesson.id, 'data-state': share.state },
    element('h3', {}, element('a', { href: lessonAddress(lesson.id) }, lesson.title)),
    element(
      'ul',
      { 'aria-label': 'What it teaches' },
      ...lesson.teaches.map((line) => element('li', {}, line)),
    ),
  );
  if (lesson.requires.length > 0) {
    const list = lesson.requires.flatMap((id, index) => {
      const before = known.get(id);
      const done = before?.share.state === 'complete';
      const link = element(
        'a',
        { class: 'sb-before', href: lessonAddress(id), 'data-done': String(done) },
        before?.lesson.title ?? id,
        ...(done ? [element('span', { class: 'sb-hidden-text' }, ' (complete)')] : []),
      );
      return index === 0 ? [link] : [', ', link];
    });
    card.append(element('p', { class: 'sb-requires' }, 'After: ', ...list));
  }
  card.append(element('div', { class: 'sb-lesson-facts' }, ...facts));
  if (share.state !== 'new') card.append(bar(share.percent, share.text));
  return card;
}

function tag(text: string, extra = ''): HTMLElement {
  return element('span', { class: `sb-tag ${extra}`.trim() }, text);
}

function bar(percent: number, label: string): HTMLElement {
  const fill = element('span', {});
  fill.style.width = `${percent}%`;
  return element(
    'div',
    {
      class: 'sb-progress',
      role: 'progressbar',
      'aria-valuemin': '0',
      'aria-valuemax': '100',
      'aria-valuenow': String(Math.round(percent)),
      'aria-label': label,
      title: label,
    },
    fill,
  );
}

/** Pointing at a lesson shows what comes before it and what it opens. */
function showRelations(list: HTMLElement, known: ReadonlyMap<string, Known>): void {
  const mark = (event: Event, on: boolean) => {
    const id = (event.target as HTMLElement).closest<HTMLElement>('[data-lesson]')?.dataset['lesson'];
    const lesson = id === undefined ? undefined : known.get(id)?.lesson;
    for (const card of list.querySelectorAll<HTMLElement>('[data-lesson]')) {
      const other = known.get(card.dataset['lesson']!)?.lesson;
      card.classList.toggle('sb-is-before', on && lesson?.requires.includes(other?.id ?? '') === true);
      card.classList.toggle('sb-is-after', on && other?.requires.includes(lesson?.id ?? '') === true);
    }
  };
  for (const type of ['pointerover', 'focusin']) list.addEventListener(type, (event) => mark(event, true));
  for (const type of ['pointerout', 'focusout']) list.addEventListener(type, (event) => mark(event, false));
}

function lessonAddress(id: string): string {
  return `#/lesson/${encodeURIComponent(id)}`;
}

function matches(lesson: LessonView, layer: LayerView, query: string): boolean {
  const text = [lesson.id, lesson.title, ...lesson.teaches, `layer ${layer.id}`, layer.title]
    .join(' ')
    .toLowerCase();
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
