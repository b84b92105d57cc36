// The files of the dashboard. They are few and small, and are read once: a request finds one of them by its whole path or nothing at all.

import { createHash } from 'node:crypto';
import { readdir, readFile } from 'node:fs/promises';
import { extname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HawserError } from '../../base/errors.js';
import type { Answer } from './answer.js';

const folder = fileURLToPath(new URL('../../../dashboard/', import.meta.url));

const contentTypes: Readonly<Record<string, string>> = {
  '.html': 'text/html; charset=utf-8',
  '.css': 'text/css; charset=utf-8',
  '.js': 'text/javascript; charset=utf-8',
  '.svg': 'image/svg+xml',
};

export interface StaticFile {
  readonly contentType: string;
  readonly etag: string;
  readonly content: Buffer;
}

/** Files by their path: `/`, `/main.js`, `/style/theme.css`. */
export type StaticFiles = ReadonlyMap<string, StaticFile>;

/** @throws HawserError (rejects) ERR_HAWSER_SYSTEM when they are not there. */
export async function loadDashboard(): Promise<StaticFiles> {
  try {
    const names = await readdir(folder, { recursive: true });
    const files = new Map<string, StaticFile>();
    for (const name of names) {
      const contentType = contentTypes[extname(name)];
      if (contentType === undefined) continue;
      const content = await readFile(join(folder, name));
      const etag = `"${createHash('sha256').update(content).digest('base64url').slice(0, 22)}"`;
      files.set(pathOf(name), { contentType, etag, content });
    }
    return files;
  } catch (cause) {
    throw new HawserError('ERR_HAWSER_SYSTEM', 'the files of the dashboard cannot be read', { cause });
  }
}

function pathOf(name: string): string {
  const path = `/${name.replaceAll('\\', '/')}`;
  return path === '/index.html' ? '/' : path.replace(/\.html$/, '');
}

/** @param ifNoneMatch that header of the request: what the browser has already. */
export function fileAnswer(file: StaticFile, ifNoneMatch: string | undefined): Answer {
  // Browsers ask each time, so that an update of the package is seen, and are told that nothing changed.
  const headers = { etag: file.etag, 'cache-control': 'no-cache' };
  const known = ifNoneMatch?.split(',').map((each) => each.trim().replace(/^W\//, ''));
  if (known?.some((each) => each === file.etag || each === '*')) return { status: 304, headers };
  return { status: 200, headers: { ...headers, 'content-type': file.contentType }, body: file.content };
}
