// Links of the pages in docs/.

import { existsSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { expect } from 'vitest';

/** The anchors of a page, as they are made of its headings. */
function anchorsOf(text: string): readonly string[] {
  const headings = [...text.matchAll(/^#+ (.*)$/gm)].map(([, heading = '']) => heading);
  return headings.map((heading) => {
    return heading
      .toLowerCase()
      .replace(/[^\w\- ]/g, '')
      .replaceAll(' ', '-');
  });
}

/**
 * Expects a page to have links, and each of them but those to the web to lead to a file, and to a heading of it.
 *
 * @param file its path.
 * @param least it has more than so many.
 */
export function expectLinksLeadSomewhere(file: string, least: number): void {
  const links = readFileSync(file, 'utf8').matchAll(/\]\((?!https:)([^)#]*)(?:#([^)]*))?\)/g);
  const targets = [...links].map(([, path = '', anchor]) => ({
    path: path === '' ? file : join(dirname(file), path),
    anchor,
  }));
  expect(targets.length).toBeGreaterThan(least);
  for (const { path, anchor } of targets) {
    expect(existsSync(path), path).toBe(true);
    if (anchor !== undefined) expect(anchorsOf(readFileSync(path, 'utf8')), path).toContain(anchor);
  }
}
