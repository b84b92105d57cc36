// Which pages the site has, in which groups and order. A page of docs/ that is not named here is in the last group.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/process.mjs';

/** @type {readonly (readonly [group: string, pages: readonly string[]])[]} */
const named = [
  [
    'Guides',
    [
      'docs/index.md',
      ...['quick-start', 'choosing-channels', 'security-model', 'testing-your-protocol'].map(
        (name) => `docs/guides/${name}.md`,
      ),
      ...['dgram', 'ws', 'geckos', 'netcode'].map((name) => `docs/guides/migrating-from-${name}.md`),
    ],
  ],
  [
    'Layers',
    [
      'transport',
      'channels',
      'interaction',
      'sync',
      'sessions',
      'cluster',
      'keys',
      'keys-personas',
      'netcode',
      'testing',
      'gateway',
    ].map((name) => `docs/${name}.md`),
  ],
  [
    'Operation',
    ['install', 'operations', 'kubernetes', 'dashboard', 'observability', 'capture', 'cli'].map(
      (name) => `docs/${name}.md`,
    ),
  ],
  [
    'Reference',
    [
      'errors',
      'protocol',
      'keys-wire',
      'security',
      'architecture',
      'performance',
      'prebuilds',
      'releases',
      'licences',
    ].map((name) => `docs/${name}.md`),
  ],
];
const lastGroup = 'Project';

/** The Markdown files of a folder of the package. @param {string} folder */
function pagesOf(folder) {
  return readdirSync(join(root, folder))
    .filter((name) => name.endsWith('.md'))
    .map((name) => `${folder}/${name}`)
    .sort();
}

/** @returns {{page: string, group: string}[]} every page that is there, in order */
export function contents() {
  const there = [...pagesOf('docs'), ...pagesOf('docs/guides')];
  const others = there.filter((page) => !named.some(([, pages]) => pages.includes(page)));
  const last = [
    'examples/README.md',
    ...others,
    ...pagesOf('docs/conformance'),
    'CONTRIBUTING.md',
    'SECURITY.md',
    'CHANGELOG.md',
  ];
  /** @type {(readonly [string, readonly string[]])[]} */
  const all = [...named, [lastGroup, last]];
  return all.flatMap(([group, pages]) =>
    pages
      .filter((page) => !page.startsWith('docs/') || there.includes(page) || pages === last)
      .map((page) => ({ page, group })),
  );
}
