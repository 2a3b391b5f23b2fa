/** Hints that are opened one after the other. */
import { element } from './dom.js';
import { partButton } from './predict.js';

/** The button that opens the next hint, and the list they are shown in. Empty without hints. */
export function hintLadder(
  hints: readonly string[],
  draw: (text: string) => Promise<HTMLElement>,
): HTMLElement[] {
  if (hints.length === 0) return [];
  const list = element('ol', { class: 'sb-hints', 'aria-label': 'Hints' });
  let opened = 0;
  const button = partButton('Hint', async () => {
    const text = hints[opened];
    if (text === undefined) return;
    opened++;
    if (opened === hints.length) button.remove();
    else button.textContent = 'Next hint';
    list.append(
      element(
        'li',
        {},
        element('p', { class: 'sb-part-title' }, `Hint ${opened} of ${hints.length}`),
        await draw(text),
      ),
    );
  });
  return [button, list];
}
