// What README.md says is tried here as its reader would.

import { spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { expect, test } from 'vitest';
import { hawser } from './support.js';

const root = fileURLToPath(new URL('../..', import.meta.url));
const readme = readFileSync(join(root, 'README.md'), 'utf8');

/** The content of the first code block of a language behind a text. */
function block(language: string, after: string): string {
  const from = readme.indexOf(`\`\`\`${language}\n`, readme.indexOf(after)) + language.length + 4;
  return readme.slice(from, readme.indexOf('```', from));
}

test('the program prints what it says', () => {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-readme-'));
  const entry = (path: string): string => pathToFileURL(join(root, 'dist', path)).href;
  try {
    const program = block('js', '## Use it')
      .replace("'hawser'", `'${entry('index.js')}'`)
      .replace("'hawser/token'", `'${entry('token/index.js')}'`);
    const file = join(folder, 'program.mjs');
    writeFileSync(file, program);
    const { status, stdout, stderr } = spawnSync(process.execPath, [file], { encoding: 'utf8' });
    expect([status, stderr]).toEqual([0, '']);
    expect(stdout).toBe(block('', 'It prints:'));
  } finally {
    rmSync(folder, { recursive: true });
  }
});

test('every link leads to a file', () => {
  const links = [...readme.matchAll(/\]\(([^)#]+)\)/g)].map(([, target = '']) => target);
  expect(links.length).toBeGreaterThan(10);
  for (const target of links.filter((each) => !each.startsWith('https://'))) {
    expect(existsSync(join(root, target)), target).toBe(true);
  }
});

test('every command is one', async () => {
  const { stdout } = await hawser('--help');
  const named = [...readme.matchAll(/^npx hawser (\w+)/gm)].map(([, name = '']) => name);
  expect(named.length).toBeGreaterThan(2);
  for (const name of [...named, 'demo', 'token', 'keygen']) {
    expect(stdout).toMatch(new RegExp(`^ {2}${name} `, 'm'));
  }
});
