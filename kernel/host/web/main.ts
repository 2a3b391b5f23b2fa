/** Entry of the browser app: `#/` is the curriculum, `#/lesson/ID` a lesson. */
import './styles.css';
import { element } from './dom.js';
import { followTheme } from './theme.js';

const page = document.getElementById('page')!;
let leave: (() => Promise<void>) | undefined;
let turn = Promise.resolve();

async function show(hash: string): Promise<void> {
  const previous = leave;
  leave = undefined;
  await previous?.();
  const lesson = /^#\/lesson\/([^/]+)$/.exec(hash)?.[1];
  try {
    // Notebooks are most of the app: the curriculum is shown without them.
    if (lesson === undefined) await (await import('./home.js')).showHome(page);
    else leave = await (await import('./lesson.js')).showLesson(page, decodeURIComponent(lesson));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const home = element('p', {}, element('a', { href: '#/' }, 'To the lessons'));
    page.replaceChildren(element('main', { class: 'sb-failure', role: 'alert' }, message, home));
  }
}

followTheme();
window.addEventListener('hashchange', () => {
  // One page at a time: the next waits until the last one has saved.
  turn = turn.then(() => show(location.hash));
});
turn = show(location.hash).then(() => {
  // Read ahead while the learner looks for a lesson.
  if (leave === undefined) requestIdleCallback?.(() => void import('./lesson.js'));
});
