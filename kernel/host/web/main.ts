/** Entry of the browser app: `#/` is the curriculum, `#/lesson/ID` a lesson. */
import './styles.css';
import { openLesson } from './api.js';
import { element } from './dom.js';
import { followTheme } from './theme.js';

const page = document.getElementById('page')!;
let leave: (() => Promise<void>) | undefined;
let turn = Promise.resolve();

/** Shows what the address says, and says so in `data-shown`. Until then nothing takes input: it would be lost with the page. */
async function show(hash: string): Promise<void> {
  page.inert = true;
  const previous = leave;
  leave = undefined;
  await previous?.();
  const lesson = /^#\/lesson\/([^/]+)$/.exec(hash)?.[1];
  try {
    // Notebooks are most of the app: the curriculum is shown without them.
    if (lesson === undefined) await (await import('./home.js')).showHome(page);
    else {
      const id = decodeURIComponent(lesson);
      // The server finds the notebook and starts its kernel while the browser reads the code of notebooks.
      const opened = openLesson(id);
      opened.catch(() => {});
      leave = await (await loadNotebooks()).showLesson(page, id, opened);
    }
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const home = element('p', {}, element('a', { href: '#/' }, 'To the lessons'));
    page.replaceChildren(element('main', { class: 'sb-failure', role: 'alert' }, message, home));
  }
  page.dataset['shown'] = hash;
  page.inert = location.hash !== hash;
}

/** The code of notebooks with what it imports, asked for at once instead of one after the other. */
function loadNotebooks(): Promise<typeof import('./lesson.js')> {
  const chunks =
    document.querySelector<HTMLMetaElement>('meta[name=shardbook-notebook-chunks]')?.content ?? '';
  for (const chunk of chunks.split(' ').filter((name) => name !== '')) {
    const link = document.createElement('link');
    link.rel = 'modulepreload';
    link.href = chunk;
    document.head.append(link);
  }
  const styles = document.createElement('link');
  styles.rel = 'preload';
  styles.as = 'style';
  styles.href = '/app/lab.css';
  document.head.append(styles);
  return import('./lesson.js');
}

followTheme();
window.addEventListener('hashchange', () => {
  page.inert = true;
  // One page at a time: the next waits until the last one has saved.
  turn = turn.then(() => show(location.hash));
});
turn = show(location.hash).then(() => {
  // Read ahead while the learner looks for a lesson.
  if (leave === undefined) requestIdleCallback?.(() => void import('./lesson.js'));
});
