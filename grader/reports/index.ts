export { codeQualityReport, githubAnnotations } from './annotations.js';
export { ctrfReport } from './ctrf.js';
export { gradescopeReport } from './gradescope.js';
export { junitReport } from './junit.js';
export { markdownReport } from './markdown.js';
export { reportSchema } from './schema.js';
export { formatReport } from './terminal.js';
export { escapeCsv, neutralize, points, visibleJson } from './text.js';
