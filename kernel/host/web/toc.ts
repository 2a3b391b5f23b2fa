/** The lesson's headings as links beside the notebook; the one that is read is marked. */
import { type Notebook, NotebookActions } from '@jupyterlab/notebook';
import { element } from './dom.js';

interface Heading {
  text: string;
  level: number;
  cell: number;
  /** Its position among the headings of its cell. */
  inCell: number;
}

export interface TableOfContents {
  node: HTMLElement;
  dispose(): void;
}

export function createTableOfContents(notebook: Notebook, onJump: () => void): TableOfContents {
  const list = element('ol', {});
  const node = element('nav', { class: 'sb-toc', 'aria-label': 'Table of contents' }, list);
  let headings: Heading[] = [];
  let timer: ReturnType<typeof setTimeout> | undefined;
  let shown = '';

  const draw = () => {
    headings = headingsOf(notebook);
    const text = JSON.stringify(headings);
    if (text === shown) return;
    shown = text;
    list.replaceChildren(
      ...headings.map((heading, index) =>
        element(
          'li',
          { 'data-level': String(heading.level) },
          element('button', { type: 'button', onclick: () => jump(index) }, heading.text),
        ),
      ),
    );
    if (headings.length === 0) list.append(element('li', { class: 'sb-soft' }, 'No headings yet.'));
    else mark();
  };
  const schedule = () => {
    clearTimeout(timer);
    timer = setTimeout(draw, 300);
  };
  const jump = (index: number) => {
    const heading = headings[index]!;
    const cell = notebook.widgets[heading.cell];
    if (cell === undefined) return;
    notebook.activeCellIndex = heading.cell;
    NotebookActions.focusActiveCell(notebook, { preventScroll: true } as never);
    notebook.mode = 'command';
    const target = headingNodes(cell.node)[heading.inCell] ?? cell.node;
    target.scrollIntoView({ block: 'start' });
    onJump();
  };
  const mark = () => {
    if (headings.length === 0) return;
    const top = notebook.node.getBoundingClientRect().top + 80;
    let current = 0;
    for (const [index, heading] of headings.entries()) {
      const cell = notebook.widgets[heading.cell];
      const target = cell && (headingNodes(cell.node)[heading.inCell] ?? cell.node);
      if (target !== undefined && target.getBoundingClientRect().top <= top) current = index;
    }
    for (const [index, item] of [...list.children].entries()) {
      if (index === current) item.firstElementChild!.setAttribute('aria-current', 'location');
      else item.firstElementChild!.removeAttribute('aria-current');
    }
  };
  let frame = 0;
  const onScroll = () => {
    cancelAnimationFrame(frame);
    frame = requestAnimationFrame(mark);
  };
  notebook.modelContentChanged.connect(schedule);
  notebook.modelChanged.connect(schedule);
  notebook.node.addEventListener('scroll', onScroll, { capture: true, passive: true });
  draw();
  return {
    node,
    dispose: () => {
      clearTimeout(timer);
      cancelAnimationFrame(frame);
      notebook.modelContentChanged.disconnect(schedule);
      notebook.modelChanged.disconnect(schedule);
      notebook.node.removeEventListener('scroll', onScroll, { capture: true });
    },
  };
}

function headingNodes(node: HTMLElement): HTMLElement[] {
  return [...node.querySelectorAll<HTMLElement>('.jp-RenderedMarkdown :is(h1, h2, h3)')];
}

function headingsOf(notebook: Notebook): Heading[] {
  const headings: Heading[] = [];
  for (const [cell, widget] of notebook.widgets.entries()) {
    if (widget.model.type !== 'markdown') continue;
    let fenced = false;
    let inCell = 0;
    for (const line of widget.model.sharedModel.getSource().split('\n')) {
      if (/^\s*(```|~~~)/.test(line)) fenced = !fenced;
      const match = fenced ? null : /^(#{1,3})\s+(.+?)\s*#*$/.exec(line);
      if (match) headings.push({ text: plain(match[2]!), level: match[1]!.length, cell, inCell: inCell++ });
    }
  }
  return headings;
}

function plain(markdown: string): string {
  return markdown.replace(/\[([^\]]*)\]\([^)]*\)/g, '$1').replace(/[`*_]/g, '');
}
