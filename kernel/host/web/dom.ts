/** Elements without a framework: text is always set as text, never parsed. */
type Attributes = Record<string, string | boolean | ((event: Event) => void)>;

export function element<K extends keyof HTMLElementTagNameMap>(
  tag: K,
  attributes: Attributes = {},
  ...children: (Node | string)[]
): HTMLElementTagNameMap[K] {
  const node = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (typeof value === 'function') node.addEventListener(name.slice(2), value);
    else if (value === true) node.setAttribute(name, '');
    else if (value !== false) node.setAttribute(name, value);
  }
  node.append(...children);
  return node;
}

/** A small line drawing for a button; `path` is SVG path data in a 24 by 24 box. */
export function icon(path: string): SVGElement {
  const svg = document.createElementNS('http://www.w3.org/2000/svg', 'svg');
  svg.setAttribute('viewBox', '0 0 24 24');
  svg.setAttribute('aria-hidden', 'true');
  const shape = document.createElementNS('http://www.w3.org/2000/svg', 'path');
  shape.setAttribute('d', path);
  svg.append(shape);
  return svg;
}

/** A message that goes by itself; read out by screen readers. */
export function toast(message: string, milliseconds = 6000): void {
  document.querySelector('.sb-toast')?.remove();
  const node = element('div', { class: 'sb-toast', role: 'status' }, message);
  document.body.append(node);
  setTimeout(() => node.remove(), milliseconds);
}
