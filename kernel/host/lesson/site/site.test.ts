import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';
import type { CellOutput } from '../../session/index.js';
import { loadManifest } from '../manifest.js';
import { buildSite } from './build.js';
import { markdownHtml } from './markdown.js';
import { outputsHtml } from './outputs.js';

const folder = mkdtempSync(join(tmpdir(), 'shardbook-site-'));
afterAll(() => rmSync(folder, { recursive: true }));
const plain = { glossary: new Map([['rank', 'One of "many".']]), glossaryPage: '../glossary.html' };

const LESSON = (id: string, body: string): string =>
  `---\nid: ${id}\ntitle: ${id} & more\nlayer: 0\ncovers: []\nrequires: []\nteaches: [count]\nminutes: 10\nworld: 2\n---\n\n# ${id} & more\n\n${body}\n\n\`\`\`{code-cell} typescript\nrank < 2\n\`\`\`\n\n\`\`\`{output}\ntrue < stated\n\`\`\`\n`;

function course(name: string): string {
  const files: Record<string, string> = {
    'manifest.yaml':
      'title: Course\nlayers:\n  - { layer: 0, title: Zero, lessons: [{ id: one, file: layer-0/one.md }, { id: two, file: layer-0/two.md }] }\n',
    'layer-0/one.md': LESSON('one', 'See [two](two.md#there).'),
    'layer-0/two.md': LESSON('two', '## There\n\nA {term}`rank`.'),
    'glossary.md': '# Glossary\n\n## rank\n\nOne of many.\n',
  };
  for (const [file, text] of Object.entries(files)) {
    const path = join(folder, name, file);
    mkdirSync(dirname(path), { recursive: true });
    writeFileSync(path, text);
  }
  return join(folder, name);
}

const read = (...path: string[]): string => readFileSync(join(folder, ...path), 'utf8');

describe('buildSite()', () => {
  it('writes pages that find each other, a map, a glossary and an index to search', async () => {
    const out = join(folder, 'out');
    const pages = await buildSite(loadManifest(course('lessons')), {
      out,
      plotly: join(folder, 'none'),
      run: async ({ id }) =>
        id === 'one'
          ? new Map([[0, [{ type: 'stream', name: 'stdout', text: 'ran\n', ranks: [0] } as CellOutput]]])
          : undefined,
    });
    expect(pages).toBe(4);
    const one = read('out/layer-0/one.html');
    expect(one).toContain('<title>one &amp; more - Course</title>');
    expect(one).toContain('<a href="two.html#there">two</a>');
    expect(one).toContain('<a href="two.html">Next: two &amp; more</a>');
    expect(one).toContain('<pre>ran</pre>');
    expect(one).toContain('src="../site.js"');
    const two = read('out/layer-0/two.html');
    expect(two).toContain('<h2 id="there">There</h2>');
    expect(two).toContain('href="../glossary.html#rank"');
    expect(two).toContain('<pre>true &lt; stated</pre>');
    expect(read('out/index.html')).toContain(
      '<a href="layer-0/one.html"><strong>one &amp; more</strong></a>',
    );
    expect(read('out/search.js')).toContain('"href":"glossary.html"');
    expect(existsSync(join(out, 'plotly.min.js'))).toBe(false);
  });

  it('asks no other host, and runs no script of a page', async () => {
    for (const page of ['index.html', 'layer-0/one.html', 'layer-0/two.html', 'glossary.html']) {
      const html = read('out', page);
      expect(html).toContain("default-src 'none'; script-src 'self'");
      expect(html.match(/(?:src|href)="https?:/g) ?? []).toEqual([]);
      expect(html).not.toMatch(/<script>|\son\w+="/);
    }
  });
});

describe('markdownHtml()', () => {
  it('draws formulas, words, listings and admonitions', () => {
    expect(markdownHtml('So $a_1^2$, a {term}`ranks <rank>`, `$x$`.', plain)).toMatch(
      /<p>So <span class="katex"><math[\s\S]*<\/math><\/span>, a <a class="term" href="..\/glossary.html#rank" title="One of &quot;many&quot;.">ranks<\/a>, <code>\$x\$<\/code>.<\/p>/,
    );
    expect(markdownHtml('```ts\nconst x = "<b>";\n```', plain)).toContain('hljs-keyword">const</span>');
    expect(markdownHtml('```text\na < b\n```', plain)).toBe(
      '<pre class="code"><code>a &lt; b</code></pre>\n',
    );
    expect(markdownHtml('```{note}\nMind `this`.\n```', plain)).toBe(
      '<aside class="note"><p class="aside-title">Note</p>\n<p>Mind <code>this</code>.</p>\n</aside>\n',
    );
  });
});

describe('outputsHtml()', () => {
  it('escapes text, keeps HTML, marks plots and applies updates', () => {
    const stream = (text: string): CellOutput => ({ type: 'stream', name: 'stdout', text, ranks: [0] });
    const display = (data: Record<string, unknown>, displayId?: string): CellOutput =>
      ({
        type: 'display_data',
        data,
        metadata: {},
        ranks: [0],
        ...(displayId === undefined ? {} : { displayId }),
      }) as CellOutput;
    expect(outputsHtml([stream('a<'), stream('b\n')])).toBe('<pre>a&lt;b</pre>');
    expect(outputsHtml([display({ 'text/html': '<b>x</b>', 'text/plain': 'x' })])).toBe(
      '<div class="rich"><b>x</b></div>',
    );
    expect(
      outputsHtml([
        display({ 'application/vnd.plotly.v1+json': { data: [{ y: ['<'] }] }, 'text/plain': 'Figure' }),
      ]),
    ).toContain('data-plot="{&quot;data&quot;:[{&quot;y&quot;:[&quot;&lt;&quot;]}]}"');
    expect(
      outputsHtml([
        display({ 'text/plain': 'old' }, 'd'),
        {
          type: 'update_display_data',
          data: { 'text/plain': 'new' },
          metadata: {},
          displayId: 'd',
          ranks: [0],
        } as CellOutput,
      ]),
    ).toBe('<pre>new</pre>');
  });
});
