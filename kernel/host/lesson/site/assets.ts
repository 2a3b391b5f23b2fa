/** Styles and scripts of a site; they ask no other host and need no build. */

/** Runs before the page is painted. */
export const THEME_SCRIPT = `const chosen = localStorage.getItem('theme');
if (chosen) document.documentElement.dataset.theme = chosen;
`;

export const SITE_SCRIPT = `const base = document.currentScript.dataset.base;
const root = document.documentElement;
const isDark = () =>
  root.dataset.theme ? root.dataset.theme === 'dark' : matchMedia('(prefers-color-scheme: dark)').matches;
document.querySelector('.theme').addEventListener('click', () => {
  root.dataset.theme = isDark() ? 'light' : 'dark';
  localStorage.setItem('theme', root.dataset.theme);
  drawPlots();
});

const input = document.querySelector('.search input');
const list = document.querySelector('.search ul');
input.addEventListener('input', () => {
  const words = input.value.toLowerCase().split(/\\s+/).filter(Boolean);
  const score = ({ title, text }) => {
    let sum = 0;
    for (const word of words) {
      const inTitle = title.toLowerCase().includes(word);
      const at = text.indexOf(word);
      if (!inTitle && at < 0) return 0;
      sum += (inTitle ? 10 : 0) + (at < 0 ? 0 : 1);
    }
    return sum;
  };
  const found = window.SEARCH.map((page) => ({ page, score: score(page) }))
    .filter((entry) => entry.score > 0)
    .sort((a, b) => b.score - a.score)
    .slice(0, 12);
  list.replaceChildren(
    ...found.map(({ page }) => {
      const item = document.createElement('li');
      const link = document.createElement('a');
      link.href = base + page.href;
      link.textContent = page.title;
      item.append(link);
      return item;
    }),
  );
  if (words.length > 0 && found.length === 0) list.textContent = 'Nothing found.';
  list.hidden = words.length === 0;
});
document.addEventListener('keydown', (event) => {
  if (event.key === 'Escape') list.hidden = true;
  if (event.key === '/' && !event.target.closest('input, textarea')) {
    event.preventDefault();
    input.focus();
  }
});

function drawPlots() {
  const plots = document.querySelectorAll('.plot');
  if (plots.length === 0) return;
  if (!window.Plotly) {
    const script = document.createElement('script');
    script.src = base + 'plotly.min.js';
    script.onload = drawPlots;
    document.head.append(script);
    return;
  }
  const colour = (name) => getComputedStyle(root).getPropertyValue(name).trim();
  const axis = { gridcolor: colour('--line'), zerolinecolor: colour('--soft'), linecolor: colour('--soft') };
  for (const node of plots) {
    const { data, layout = {} } = JSON.parse(node.dataset.plot);
    node.querySelector('pre')?.remove();
    const template = { layout: { xaxis: axis, yaxis: axis } };
    const own = { template, font: { color: colour('--text') }, paper_bgcolor: 'transparent', plot_bgcolor: 'transparent' };
    window.Plotly.react(node, data, { ...layout, ...own }, { responsive: true, displaylogo: false });
  }
}
drawPlots();
// A plot inside of a closed fold has no size yet.
document.addEventListener('toggle', (event) => {
  for (const node of event.target.querySelectorAll?.('.plot') ?? []) window.Plotly?.Plots.resize(node);
}, true);
`;

export const SITE_STYLES = `:root {
  color-scheme: light dark;
  --text: #1b1f2a; --soft: #5a6275; --ground: #ffffff; --panel: #f4f5fa; --line: #d9dce6; --brand: #3a48c8;
  --error: #b3261e; --keyword: #7a1fa2; --string: #0f7a4a; --number: #b14400; --comment: #6a7183;
}
@media (prefers-color-scheme: dark) {
  :root:not([data-theme="light"]) {
    --text: #e6e9f2; --soft: #a3abc0; --ground: #12141d; --panel: #1c1f2b; --line: #343949; --brand: #98a2ff;
    --error: #ff8f85; --keyword: #d59bff; --string: #7fd6a6; --number: #f2ad77; --comment: #8f97ab;
  }
}
:root[data-theme="light"] { color-scheme: light; }
:root[data-theme="dark"] {
  color-scheme: dark;
  --text: #e6e9f2; --soft: #a3abc0; --ground: #12141d; --panel: #1c1f2b; --line: #343949; --brand: #98a2ff;
  --error: #ff8f85; --keyword: #d59bff; --string: #7fd6a6; --number: #f2ad77; --comment: #8f97ab;
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--ground); color: var(--text); font: 16px/1.6 system-ui, sans-serif; }
header { display: flex; gap: 16px; align-items: center; padding: 10px 20px; border-bottom: 1px solid var(--line); }
.home { font-weight: 700; color: inherit; text-decoration: none; }
.search { position: relative; flex: 1; max-width: 420px; margin-left: auto; }
.search input { width: 100%; padding: 6px 10px; border: 1px solid var(--line); border-radius: 7px; background: var(--panel); color: inherit; font: inherit; }
.search ul { position: absolute; z-index: 1; width: 100%; margin: 4px 0; padding: 6px; border: 1px solid var(--line); border-radius: 7px; background: var(--ground); list-style: none; }
.search li a { display: block; padding: 4px 6px; }
.theme { border: 1px solid var(--line); border-radius: 7px; background: var(--panel); color: inherit; font-size: 18px; cursor: pointer; }
main { max-width: 900px; margin: 0 auto; padding: 20px; }
a { color: var(--brand); }
a.term { color: inherit; text-decoration: underline dotted; }
h1, h2, h3 { line-height: 1.25; }
.facts, .aside-title { color: var(--soft); font-size: 14px; }
.map li { margin: 10px 0; }
pre { overflow-x: auto; margin: 0; padding: 10px 14px; font: 13.5px/1.5 ui-monospace, monospace; }
pre.code { border: 1px solid var(--line); border-radius: 8px; background: var(--panel); }
pre.error { color: var(--error); }
code { font-family: ui-monospace, monospace; }
:not(pre) > code { padding: 0 4px; border-radius: 4px; background: var(--panel); font-size: 0.92em; overflow-wrap: anywhere; }
.cell { margin: 18px 0; }
.output { overflow-x: auto; padding: 6px 0; }
.rich { padding: 6px 14px; }
.ask { margin: 18px 0; padding: 6px 16px; border-left: 3px solid var(--brand); border-radius: 0 8px 8px 0; background: var(--panel); }
.ask pre.code { background: var(--ground); }
details { margin: 8px 0; }
summary { cursor: pointer; color: var(--brand); }
aside { margin: 16px 0; padding: 6px 16px; border-left: 3px solid var(--number); background: var(--panel); }
.aside-title { margin-bottom: 0; font-weight: 700; }
table { border-collapse: collapse; display: block; overflow-x: auto; }
th, td { padding: 5px 12px; border: 1px solid var(--line); text-align: left; }
img { max-width: 100%; }
.around { display: flex; justify-content: space-between; gap: 20px; margin-top: 40px; padding-top: 14px; border-top: 1px solid var(--line); }
.hljs-keyword, .hljs-built_in, .hljs-literal { color: var(--keyword); }
.hljs-string, .hljs-regexp { color: var(--string); }
.hljs-number { color: var(--number); }
.hljs-comment { color: var(--comment); }
.hljs-title, .hljs-attr { color: var(--brand); }
@media (max-width: 640px) { header { flex-wrap: wrap; } main { padding: 14px; } }
`;
