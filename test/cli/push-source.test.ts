import { mkdir, symlink, truncate, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { CommandError } from '../../src/cli/errors.js';
import { type LongDocument, openSource, type SourceDocument } from '../../src/cli/push-source.js';
import { temporaryFolder } from './support.js';

const folder = temporaryFolder();
let files = 0;

async function documentsOf(path: string, idField = 'id'): Promise<[id: string, data: string][]> {
  const found: [string, string][] = [];
  for await (const { id, data } of openSource(path, idField).documents())
    found.push([id, data === undefined ? 'too long' : Buffer.from(data).toString()]);
  return found;
}

/** A new file with that content. */
async function file(content: string | Uint8Array, ending = '.ndjson'): Promise<string> {
  const path = join(folder, `${++files}${ending}`);
  await writeFile(path, content);
  return path;
}

async function refusal(path: string, idField?: string): Promise<string> {
  try {
    await documentsOf(path, idField);
  } catch (error) {
    if (error instanceof CommandError) return error.message;
    throw error;
  }
  return 'none';
}

test('the files *.json of a directory and of those within are documents, in the order of their names', async () => {
  const root = join(folder, 'tree');
  await mkdir(join(root, 'b', 'deep'), { recursive: true });
  await writeFile(join(root, 'z.json'), '{ "z": 1.0 }\n');
  await writeFile(join(root, 'a.json'), '{}');
  await writeFile(join(root, 'b', 'deep', 'ключ.json'), '{"n":12345678901234567890}');
  await writeFile(join(root, 'notes.txt'), 'no document');
  await symlink(join(root, 'a.json'), join(root, 'link.json'));
  expect(await documentsOf(root)).toEqual([
    ['a.json', '{}'],
    ['b/deep/ключ.json', '{"n":12345678901234567890}'],
    ['z.json', '{ "z": 1.0 }\n'],
  ]);
  expect(openSource(`${root}/`, 'id')).toMatchObject({ name: 'tree', path: root });
});

test('a file that is too long is named with its length, and not read', async () => {
  const root = join(folder, 'long');
  await mkdir(root);
  await writeFile(join(root, 'fits.json'), `{"a":"${'x'.repeat(61_440 - 8)}"}`);
  // More than can be read at once; on the disk it is nothing.
  await writeFile(join(root, 'long.json'), '');
  await truncate(join(root, 'long.json'), 2 ** 32);
  const found: (SourceDocument | LongDocument)[] = [];
  for await (const document of openSource(root, 'id').documents()) found.push(document);
  expect(found.map(({ id, data }) => [id, data?.length])).toEqual([
    ['fits.json', 61_440],
    ['long.json', undefined],
  ]);
  expect(found[1]).toMatchObject({ bytes: 2 ** 32, where: join(root, 'long.json') });
});

test('each line of a file is a document; blank ones are none, and its data are the bytes that stand there', async () => {
  const path = await file('{"id":"a","n":1.0}\r\n\n  {"id":7}\t\n \r\n{"n":[], "id":"ж"}');
  expect(await documentsOf(path)).toEqual([
    ['a', '{"id":"a","n":1.0}'],
    ['7', '{"id":7}'],
    ['ж', '{"n":[], "id":"ж"}'],
  ]);
  expect(await documentsOf(await file(''))).toEqual([]);
  expect(openSource(path, 'id').name).toMatch(/^\d+$/);
});

test('the id is in the field that was named', async () => {
  const path = await file('{"id":"a","name":"x"}\n{"name":"y"}\n');
  expect((await documentsOf(path, 'name')).map(([id]) => id)).toEqual(['x', 'y']);
  expect(await refusal(path)).toBe(
    `${path}, line 2: the object has no "id" that is a text or a whole number; --id-field names another field`,
  );
});

test('lines are found wherever the file is cut into pieces', async () => {
  const lines = Array.from({ length: 3000 }, (_, n) => `{"id":${n},"pad":"${'ж'.repeat(n % 97)}"}`);
  expect((await documentsOf(await file(lines.join('\n')))).map(([, data]) => data)).toEqual(lines);
});

test.each([
  ['what is no JSON', '{"id":1', /line 1: .*JSON/],
  ['an array', '[]', /line 1: a document must be a JSON object$/],
  ['null', 'null', /line 1: a document must be a JSON object$/],
  ['a text', '"id"', /line 1: a document must be a JSON object$/],
  ['an id that is null', '{"id":null}', /no "id" that is a text or a whole number/],
  ['an id with a fraction', '{"id":1.5}', /no "id" that is a text or a whole number/],
  ['an id that loses digits', '{"id":9007199254740993}', /no "id" that is a text or a whole number/],
  ['an empty id', '{"id":""}', /an id has 1 to 1024 bytes; this one has 0$/],
  ['an id that is too long', `{"id":"${'ж'.repeat(513)}"}`, /this one has 1026$/],
  ['half a surrogate pair', '{"id":"\\ud800"}', /half a surrogate pair/],
  ['a byte order mark', '\uFEFF{"id":1}', /begins with a byte order mark/],
])('%s is refused with its line', async (_, line, complaint) => {
  expect(await refusal(await file(line))).toMatch(complaint);
});

test('bytes that are no UTF-8 are refused, not replaced', async () => {
  const bytes = Buffer.concat([
    Buffer.from('{"id":1}\n{"id":2,"t":"'),
    Buffer.from([0xff]),
    Buffer.from('"}'),
  ]);
  expect(await refusal(await file(bytes))).toMatch(/line 2: it is not UTF-8$/);
});

test('a line without an end is refused before it fills the memory', async () => {
  const path = await file(Buffer.alloc(2 ** 24 + 2 ** 17, 0x20));
  expect(await refusal(path)).toBe(`${path}: a line is longer than 16 MiB`);
});

test('a file of a directory is refused with its path', async () => {
  const root = join(folder, 'bad');
  await mkdir(root);
  await writeFile(join(root, 'x.json'), 'x');
  expect(await refusal(root)).toContain(`${join(root, 'x.json')}: `);
});

test('what is not there is said so', () => {
  expect(() => openSource(join(folder, 'none'), 'id')).toThrow(/none: no such file or directory$/);
});
