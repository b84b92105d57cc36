// Links of the pages, as they are in the repository: in the site, test/docs/site.test.ts follows them.

import { join } from 'node:path';
import { expect, test } from 'vitest';
import { expectLinksLeadSomewhere } from '../page-links.js';
import { pages, root } from './pages.js';

test.each([...pages, 'examples/README.md'])(
  'every link of %s leads to a file, and to a heading of it',
  (page) => {
    expectLinksLeadSomewhere(join(root, page), -1);
  },
);

test('the table of contents has every page', async () => {
  const { contents } = await import('../../scripts/docs/contents.mjs');
  const listed = contents().map(({ page }) => page);
  for (const page of pages.filter((each) => each !== 'README.md')) expect(listed).toContain(page);
  expect(new Set(listed).size).toBe(listed.length);
});
