/** Light, dark, or as the system says; the choice stays on this machine. */
import { element, icon } from './dom.js';

export type Theme = 'system' | 'light' | 'dark';

const KEY = 'shardbook-theme';
const NEXT: Record<Theme, Theme> = { system: 'light', light: 'dark', dark: 'system' };
const ICONS: Record<Theme, string> = {
  system: 'M4 5h16v11H4zM9 20h6M12 16v4',
  light:
    'M12 8a4 4 0 1 0 0 8a4 4 0 0 0 0-8M12 2v2M12 20v2M4.9 4.9l1.4 1.4M17.7 17.7l1.4 1.4M2 12h2M20 12h2M4.9 19.1l1.4-1.4M17.7 6.3l1.4-1.4',
  dark: 'M20 14.5A8 8 0 1 1 9.5 4a6.5 6.5 0 0 0 10.5 10.5',
};
const system = matchMedia('(prefers-color-scheme: dark)');

function currentTheme(): Theme {
  const stored = localStorage.getItem(KEY);
  return stored === 'light' || stored === 'dark' ? stored : 'system';
}

/** JupyterLab's widgets and icons ask the body which theme is on. */
export function followTheme(): void {
  system.addEventListener('change', applyTheme);
  applyTheme();
}

function applyTheme(): void {
  const theme = currentTheme();
  const dark = theme === 'dark' || (theme === 'system' && system.matches);
  document.documentElement.dataset['theme'] = dark ? 'dark' : 'light';
  document.body.dataset['jpThemeLight'] = String(!dark);
  document.body.dataset['jpThemeName'] = dark ? 'Shardbook Dark' : 'Shardbook Light';
  document.dispatchEvent(new CustomEvent('shardbook-theme'));
}

export function themeButton(): HTMLElement {
  const button = element('button', {
    type: 'button',
    class: 'sb-button sb-icon-button',
    onclick: () => turn(),
  });
  const draw = () => {
    const theme = currentTheme();
    button.replaceChildren(icon(ICONS[theme]));
    const label = `Colours: ${theme === 'system' ? 'as the system' : theme}`;
    button.setAttribute('aria-label', label);
    button.title = `${label}. Press for ${NEXT[theme] === 'system' ? 'the system’s' : NEXT[theme]}`;
  };
  const turn = () => {
    const next = NEXT[currentTheme()];
    if (next === 'system') localStorage.removeItem(KEY);
    else localStorage.setItem(KEY, next);
    applyTheme();
    draw();
  };
  draw();
  return button;
}
