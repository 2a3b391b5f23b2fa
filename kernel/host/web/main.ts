/** Entry of the browser app: `#/` is the curriculum, `#/lesson/ID` a lesson. */
import './styles.css';
import { element } from './dom.js';
import { showHome } from './home.js';
import { showLesson } from './lesson.js';

const page = document.getElementById('page')!;
let leave: (() => Promise<void>) | undefined;
let turn = Promise.resolve();

async function show(hash: string): Promise<void> {
  const previous = leave;
  leave = undefined;
  await previous?.();
  const lesson = /^#\/lesson\/([^/]+)$/.exec(hash)?.[1];
  try {
    if (lesson === undefined) await showHome(page);
    else leave = await showLesson(page, decodeURIComponent(lesson));
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    const home = element('p', {}, element('a', { href: '#/' }, 'To the lessons'));
    page.replaceChildren(element('main', { class: 'sb-failure', role: 'alert' }, message, home));
  }
}

/** JupyterLab's widgets and icons ask the body which theme is on. */
function followTheme(): void {
  const dark = matchMedia('(prefers-color-scheme: dark)');
  const apply = () => {
    document.body.dataset['jpThemeLight'] = String(!dark.matches);
    document.body.dataset['jpThemeName'] = dark.matches ? 'Shardbook Dark' : 'Shardbook Light';
  };
  dark.addEventListener('change', apply);
  apply();
}

followTheme();
window.addEventListener('hashchange', () => {
  // One page at a time: the next waits until the last one has saved.
  turn = turn.then(() => show(location.hash));
});
turn = show(location.hash);
