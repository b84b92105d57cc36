// The site is made of all pages and all public names, as `npm run docs` makes it, and each of its links leads to something.

import {
  existsSync,
  mkdirSync,
  mkdtempSync,
  readdirSync,
  readFileSync,
  rmSync,
  writeFileSync,
} from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { contents } from '../../scripts/docs/contents.mjs';
import { deadLinks } from '../../scripts/docs/dead-links.mjs';
import { buildSite } from '../../scripts/docs/site.mjs';
import { errorTable } from '../../src/index.js';
import { root } from './pages.js';

const folder = mkdtempSync(join(tmpdir(), 'hawser-site-'));
const site = join(folder, 'site');
afterAll(() => rmSync(folder, { recursive: true }));

describe('the site', () => {
  let problems: readonly string[] = [];
  beforeAll(async () => {
    problems = await buildSite(site);
  }, 600_000);

  test('documents every public name', () => expect(problems).toEqual([]));

  test('has no dead link', () => expect(deadLinks(site)).toEqual([]));

  test('has a page for each page, and for each module', () => {
    const front = readFileSync(join(site, 'index.html'), 'utf8');
    expect(front).toContain('Secure UDP sessions');
    expect(contents().length).toBeGreaterThan(20);
    for (const name of ['token', 'interaction', 'sync', 'sessions', 'keys', 'gateway', 'testing']) {
      expect(existsSync(join(site, 'modules', `hawser_${name}.html`)), name).toBe(true);
    }
    expect(existsSync(join(site, 'guides', 'quick-start.html'))).toBe(true);
  });

  test('says of each module what it is', () => {
    for (const name of ['hawser', 'hawser_token', 'hawser_gateway', 'hawser_testing']) {
      const page = readFileSync(join(site, 'modules', `${name}.html`), 'utf8');
      expect(page, name).toMatch(/<h1>Module .*?<section class="tsd-panel tsd-comment">.*?<p>[A-Z]/s);
    }
  });

  test('takes what is printed for text, not for code', () => {
    expect(readFileSync(join(site, 'index.html'), 'utf8')).toContain('<code class="text">');
    expect(readFileSync(join(site, 'pages', 'cli.html'), 'utf8')).not.toContain('<pre><code><span');
  });

  test('says nothing to readers that is for the tests of its examples', () => {
    expect(readFileSync(join(site, 'guides', 'quick-start.html'), 'utf8')).not.toContain('example: ');
  });
});

describe('the check of links', () => {
  test('finds files, anchors and pictures that are not there', () => {
    const pages = join(folder, 'pages');
    mkdirSync(pages);
    writeFileSync(
      join(pages, 'a.html'),
      '<h1 id="top">a</h1><a href="b.html#there">b</a><a href="#top">t</a>',
    );
    const body =
      '<p id="there"></p><a href="a.html#nowhere">a</a><img src="c.png"><a href="https://x.example/">x</a>';
    writeFileSync(join(pages, 'b.html'), body);
    expect(deadLinks(pages)).toEqual(['b.html: a.html#nowhere', 'b.html: c.png']);
  });
});

test('error codes that comments and pages name are in the table', () => {
  const sources = readdirSync(join(root, 'src'), { recursive: true, encoding: 'utf8' })
    .filter((name) => name.endsWith('.ts'))
    .map((name) => join('src', name));
  const named = [...sources, ...contents().map(({ page }) => page)].flatMap((file) =>
    [...readFileSync(join(root, file), 'utf8').matchAll(/\bERR_HAWSER_[A-Z_]*[A-Z]\b/g)].map(([code]) => ({
      code,
      file,
    })),
  );
  expect(named.length).toBeGreaterThan(100);
  expect(named.filter(({ code }) => !(code in errorTable))).toEqual([]);
});
