// The files that a configuration can be in, read by a process of its own: as Node.js itself loads modules.

import { execFile } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { temporaryFolder } from '../cli/support.js';

const program = fileURLToPath(new URL('children/load-configs.mjs', import.meta.url));
const folder = temporaryFolder();
const secret = 'hawser-key-1:7:AAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8';

function file(name: string, content: string): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** What comes of reading them, one after another. */
async function load(
  files: readonly string[],
  { node = [], cwd = folder }: { readonly node?: readonly string[]; readonly cwd?: string } = {},
): Promise<{ readonly names?: string[]; readonly file?: string; readonly message?: string }[]> {
  const { stdout } = await promisify(execFile)(process.execPath, [...node, program, ...files], { cwd });
  return stdout
    .trim()
    .split('\n')
    .map((line) => JSON.parse(line));
}

const typed = `const config: { name: string } = { name: 'typed' };\nexport default config;\n`;
const stripsTypes = Boolean(Reflect.get(process.features, 'typescript'));

test('every kind of file is read, and read anew, whether a value, a function or a promise is its default', async () => {
  const kinds: Readonly<Record<string, (name: string) => string>> = {
    'object.mjs': (name) => `export default { name: '${name}' };`,
    'function.mjs': (name) => `export default () => ({ name: '${name}' });`,
    'promise.mjs': (name) => `export default async () => ({ name: '${name}' });`,
    'defined.js': (name) =>
      `const make = async () => (await import('node:path')).basename('${name}');\nexport default { name: await make() };`,
    // CommonJS, which Node.js keeps whatever the URL.
    'common.cjs': (name) => `module.exports = { name: '${name}' };`,
    'common.js': (name) => `module.exports = () => ({ name: '${name}' });`,
    'plain.json': (name) => JSON.stringify({ name }),
  };
  const paths = Object.entries(kinds).map(([kind, contentOf]) => {
    file(`${kind}.next`, contentOf('second'));
    return file(kind, contentOf('first'));
  });
  const read = await load(paths.map((path) => `+${path}`));
  expect(read).toEqual(paths.map((path) => ({ file: path, names: ['first', 'second'] })));
});

test('the first of the names in the working directory is taken, and none is an error that lists them', async () => {
  const cwd = join(folder, 'own');
  mkdirSync(cwd);
  const [none] = await load(['.'], { cwd });
  expect(none).toMatchObject({
    code: 'ERR_HAWSER_CONFIG',
    message: `there is no hawser.config.js, hawser.config.mjs, hawser.config.ts, hawser.config.mts, hawser.config.json in ${cwd}; give a file`,
  });
  file('own/hawser.config.json', '{"name":"json"}');
  expect(await load(['.'], { cwd })).toEqual([{ file: join(cwd, 'hawser.config.json'), names: ['json'] }]);
  file('own/hawser.config.mjs', 'export default { name: "mjs" };');
  expect(await load(['.', 'hawser.config.json'], { cwd })).toEqual([
    { file: join(cwd, 'hawser.config.mjs'), names: ['mjs'] },
    { file: join(cwd, 'hawser.config.json'), names: ['json'] },
  ]);
});

test('what cannot be loaded is told with its file, its line where there is one, and nothing of a secret', async () => {
  const wrong: readonly (readonly [string, string, string | RegExp])[] = [
    ['none.mjs', '', /^FILE must export a configuration, or a function that returns one, as its default$/],
    ['named.mjs', 'export const config = {};', /^FILE must export a configuration, /],
    ['nothing.mjs', 'export default () => undefined;', /^FILE must export a configuration, /],
    [
      'throws.mjs',
      '\nthrow new Error("no luck");',
      /^cannot load FILE: Error: no luck\n +at file:\/\/FILE\?reading=\d+:2:7\n/,
    ],
    ['text.mjs', 'throw "no luck";', /^cannot load FILE: no luck$/],
    [
      'rejects.mjs',
      'export default async () => { throw new TypeError("odd"); };',
      /^cannot load FILE: TypeError: odd\n/,
    ],
    [
      'syntax.mjs',
      `export default {\n  keys: ['${secret}' 5],\n};`,
      /^cannot load FILE: SyntaxError: .*; "node --check FILE" shows where$/,
    ],
    [
      'syntax.cjs',
      `module.exports = {\n  keys: ['${secret}' 5],\n};`,
      /^cannot load FILE: SyntaxError: .* in line 2$/,
    ],
    [
      'parses.mjs',
      '\nJSON.parse("{");',
      /^cannot load FILE: SyntaxError: .* file:\/\/FILE\?reading=\d+:2:6\n/s,
    ],
    ['imports.mjs', 'import "./other.mjs";', /^cannot load FILE: Error .*Cannot find module .*other\.mjs/],
    [
      'packages.mjs',
      'import "no-such-package";',
      /^cannot load FILE: Error .*Cannot find package 'no-such-package'/,
    ],
    ['broken.json', `{ "keys": ["${secret}" }`, /^FILE is not JSON: it ends being so at position \d+/],
    ['utf16.json', '\ud800', /^FILE is not JSON|^FILE is not UTF-8$/],
    ['large.json', ' '.repeat(1_048_577), /^FILE has more than 1048576 bytes$/],
    [
      'wrong.mjs',
      'export default { nmae: "a" };',
      /^FILE: unknown option 'nmae' in the configuration; did you mean 'name'\?$/,
    ],
    ['list.json', '[]', /^FILE: the configuration must be an object; got an array of 0$/],
    ['some.yaml', 'name: a', /^FILE: a configuration is a file of \.js, \.mjs, \.ts or \.json$/],
  ];
  const paths = wrong.map(([name, content]) => file(name, content));
  const missing = [join(folder, 'missing.mjs'), join(folder, 'missing.json'), folder];
  const read = await load([...paths, ...missing]);
  wrong.forEach(([name, , expected], at) => {
    const { message = '' } = read[at] ?? {};
    expect(read[at], name).toMatchObject({ name: 'HawserError', code: 'ERR_HAWSER_CONFIG' });
    expect(message.replaceAll(paths[at] ?? '', 'FILE'), name).toMatch(expected);
    expect(message).not.toContain(secret.slice(15));
  });
  expect(read.slice(wrong.length).map(({ message }) => message)).toEqual([
    `cannot read ${missing[0]}: no such file or directory`,
    `cannot read ${missing[1]}: no such file or directory`,
    `${folder}: a configuration is a file of .js, .mjs, .ts or .json`,
  ]);
});

test('TypeScript is read where Node.js strips types, and otherwise refused with the ways out', async () => {
  const paths = [file('typed.ts', typed), file('typed.mts', typed)];
  const refused = {
    name: 'HawserError',
    code: 'ERR_HAWSER_CONFIG',
    message: `${paths[0]}: Node.js ${process.versions.node} does not run TypeScript; 22.18, 24 and later do, earlier versions from 22.10 on with --experimental-strip-types: or write the configuration as .js (with "@type {import('hawser/gateway').GatewayConfig}" in a comment) or .json`,
  };
  if (!stripsTypes) {
    expect((await load(paths))[0]).toEqual(refused);
    return;
  }
  expect(await load(paths)).toEqual(paths.map((path) => ({ file: path, names: ['typed'] })));
  const [without] = await load(paths, { node: ['--no-experimental-strip-types'] });
  expect(without?.message).toMatch(/ does not run TypeScript; /);
});
