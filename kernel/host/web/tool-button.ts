/** A button of the toolbar: a drawing and a word. */
import { element, icon, toast } from './dom.js';

/** What `action` throws is shown to the learner; `path` is the drawing's, as `icon` takes it. */
export function toolButton(
  label: string,
  hint: string,
  path: string,
  action: () => unknown,
  extra = '',
): HTMLElement {
  const run = async () => {
    try {
      await action();
    } catch (error) {
      toast(error instanceof Error ? error.message : String(error));
    }
  };
  return element(
    'button',
    {
      type: 'button',
      class: `sb-button ${extra}`.trim(),
      title: hint,
      'aria-label': label,
      onclick: () => void run(),
    },
    icon(path),
    element('span', {}, label),
  );
}
