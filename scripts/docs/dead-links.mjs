// Looks whether every link of a folder of HTML leads to something in it.
import { existsSync, readdirSync, readFileSync, statSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';

/** @param {string} html @returns {Iterable<string>} the attributes of a page that lead somewhere, as they are written */
function* targetsOf(html) {
  for (const [, target = ''] of html.matchAll(
    /<(?:a|link|script|img|iframe)\b[^>]*?\s(?:href|src)="([^"]*)"/g,
  )) {
    yield target.replaceAll('&amp;', '&').replaceAll('&#x2F;', '/');
  }
}

/**
 * Links to other sites are not followed.
 *
 * @param {string} folder
 * @returns {string[]} one line for each link to a file or an anchor that is not there
 */
export function deadLinks(folder) {
  const pages = readdirSync(folder, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.html'),
  );
  /** @type {Map<string, Set<string>>} */
  const anchors = new Map();
  const texts = new Map(pages.map((page) => [join(folder, page), readFileSync(join(folder, page), 'utf8')]));
  for (const [file, html] of texts) {
    anchors.set(file, new Set([...html.matchAll(/\s(?:id|name)="([^"]*)"/g)].map(([, id = '']) => id)));
  }
  const dead = new Set();
  for (const [file, html] of texts) {
    for (const target of targetsOf(html)) {
      if (/^([a-z]+:|\/\/)/i.test(target) || target === '#') continue;
      const [path = '', anchor] = target.split('#');
      const there = path === '' ? file : join(dirname(file), decodeURIComponent(path.replace(/\?.*$/, '')));
      const leads = existsSync(there) && statSync(there).isFile();
      const known = anchors.get(there);
      if (leads && (!anchor || known === undefined || known.has(decodeURIComponent(anchor)))) continue;
      dead.add(`${relative(folder, file)}: ${target}`);
    }
  }
  return [...dead].sort();
}
