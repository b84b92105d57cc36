// npm run docs: the site, in docs/site. It needs no server: open docs/site/index.html.
import { join } from 'node:path';
import { deadLinks } from './docs/dead-links.mjs';
import { buildSite } from './docs/site.mjs';
import { root } from './lib/process.mjs';

const out = join(root, 'docs', 'site');
const problems = await buildSite(out);
problems.push(...deadLinks(out).map((link) => `leads nowhere: ${link}`));
for (const problem of problems) console.error(`docs: ${problem}`);
if (problems.length > 0) process.exitCode = 1;
else console.log('docs: docs/site/index.html');
