// A plugin of typedoc: pages are named after their headings and put into groups, which they cannot say themselves without a block at
// their beginning that GitHub would show; modules are named as they are imported, and say what they are.
import { readFileSync } from 'node:fs';
import { basename, join, relative } from 'node:path';
import { Comment, Converter, KindRouter, PageEvent, ReflectionKind } from 'typedoc';
import { root } from '../lib/process.mjs';
import { contents } from './contents.mjs';

/** @typedef {import('typedoc').DocumentReflection} DocumentReflection */

/** @type {WeakMap<object, string>} the file of each document, relative to the package */
const files = new WeakMap();

/** Pages have the names of their files in the site, too, so that links to them last longer than headings do. */
class PagesRouter extends KindRouter {
  getIdealBaseName(reflection) {
    const file = files.get(reflection);
    if (file === undefined) return super.getIdealBaseName(reflection);
    if (file === 'examples/README.md') return 'pages/examples';
    if (file === 'SECURITY.md') return 'pages/reporting';
    const folder = file.includes('/conformance/')
      ? 'pages/conformance'
      : file.includes('/guides/')
        ? 'guides'
        : 'pages';
    return `${folder}/${basename(file, '.md').toLowerCase()}`;
  }
}

/** @param {import('typedoc').Application} app */
export function load(app) {
  const groups = new Map(contents().map(({ page, group }) => [page, group]));
  app.renderer.defineRouter('pages', PagesRouter);
  app.converter.on(Converter.EVENT_CREATE_DOCUMENT, (_context, document) => {
    const path = document.project.files.getReflectionPath(document) ?? '';
    const file = relative(root, path);
    files.set(document, file);
    document.frontmatter.group = groups.get(file);
    nameAfterHeading(document, file);
    withoutWishes(document);
    asPrinted(document.content);
  });
  app.renderer.on(PageEvent.END, (page) => {
    // A folder is no page where no server makes one of it.
    const html = page.contents?.replaceAll(/ href="((?:\.\.\/)+)(#[^"]*)?"/g, ' href="$1index.html$2"');
    // Pages have headings of their own.
    const isText = page.model.isDocument?.() || page.url === 'index.html';
    page.contents = isText ? html?.replace(/<div class="tsd-page-title">.*?<\/div>/s, '') : html;
  });
  app.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => {
    asPrinted(project.readme ?? []);
    for (const module of project.getReflectionsByKind(ReflectionKind.Module)) {
      const folder = module.name === 'index' ? '' : module.name;
      module.name = `hawser${folder && `/${folder}`}`;
      module.comment = new Comment([{ kind: 'text', text: aboutModule(folder) }]);
    }
  });
}

/** What a module is, as the first line of its source has it behind its name. @param {string} folder */
function aboutModule(folder) {
  const source = readFileSync(join(root, 'src', folder, 'index.ts'), 'utf8');
  const said = /^\/\/ [\w/]+: (.+)$/m.exec(source)?.[1] ?? '';
  return said.charAt(0).toUpperCase() + said.slice(1);
}

/** What stands before a colon is enough for a list. @param {DocumentReflection} document @param {string} file */
function nameAfterHeading(document, file) {
  const text = document.content.map((part) => part.text).join('');
  const heading = /^\s*# (.+)$/m.exec(text)?.[1]?.replaceAll('`', '');
  if (heading === undefined) return;
  document.name = file.includes('/conformance/') ? heading : (heading.split(': ')[0] ?? heading);
}

/** What a page says to the test of its examples is not for readers. @param {DocumentReflection} document */
function withoutWishes(document) {
  for (const part of document.content) {
    if (part.kind === 'text') part.text = part.text.replaceAll(/^ *<!-- example: [\s\S]*?-->\n/gm, '');
  }
}

/** typedoc takes blocks without a language for TypeScript: here they are what is printed. @param {import('typedoc').CommentDisplayPart[]} parts */
function asPrinted(parts) {
  for (const part of parts) {
    if (part.kind === 'code') part.text = part.text.replace(/^( *)```\n/, '$1```text\n');
  }
}
