/** Markdown outside of cells, drawn as the notebook draws it. */
import { type IRenderMimeRegistry, MimeModel } from '@jupyterlab/rendermime';

/** The text is sanitised. */
export async function drawMarkdown(rendermime: IRenderMimeRegistry, text: string): Promise<HTMLElement> {
  const renderer = rendermime.createRenderer('text/markdown');
  await renderer.renderModel(new MimeModel({ data: { 'text/markdown': text }, trusted: false }));
  return renderer.node;
}
