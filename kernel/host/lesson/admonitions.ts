/** Directives that put a text apart; they stay text. Read by the browser app too, so nothing is imported here. */
export const ADMONITIONS = ['note', 'tip', 'hint', 'important', 'warning', 'caution'] as const;

/** What stands above an admonition: its own title, or the name of its kind. */
export function admonitionTitle(kind: string, title: string): string {
  return title === '' ? kind[0]!.toUpperCase() + kind.slice(1) : title;
}
