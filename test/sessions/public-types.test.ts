// What an application compiles against that has this package and nothing else: the optional packages lmdb and etcd3 are not there, prom-client only
// for whoever names it, and the types of packages are checked. The programs are those of docs/sessions.md.

import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterEach, beforeEach, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));
const page = readFileSync(join(root, 'docs', 'sessions.md'), 'utf8');

/** The compiler has much to do, for which a busy machine takes its time. */
const compilingMs = 300_000;

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hawser-types-'));
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  writeDeclarations();
}, compilingMs);

afterEach(() => rmSync(folder, { recursive: true, force: true }));

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts', 'lib.es2024.string.d.ts', 'lib.esnext.disposable.d.ts'],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  types: ['node'],
  typeRoots: [join(root, 'node_modules', '@types')],
  strict: true,
  exactOptionalPropertyTypes: true,
  noEmit: true,
  skipLibCheck: false,
};

const entries: Readonly<Record<string, string>> = {
  hawser: 'index',
  'hawser/sessions': 'sessions/index',
  'hawser/token': 'token/index',
};

/** Those that are published. */
function writeDeclarations(): void {
  const files = Object.values(entries).map((entry) => join(root, 'src', `${entry}.ts`));
  const program = ts.createProgram(files, {
    ...options,
    noEmit: false,
    noCheck: true,
    declaration: true,
    emitDeclarationOnly: true,
    isolatedDeclarations: true,
    skipLibCheck: true,
    rootDir: join(root, 'src'),
    outDir: join(folder, 'hawser'),
  });
  program.emit();
}

/** @returns the files that they consist of, and what the compiler says. */
function compile(sources: Readonly<Record<string, string>>): {
  readonly files: readonly string[];
  readonly problems: readonly string[];
} {
  const paths = Object.keys(sources).map((name) => join(folder, name));
  for (const [name, source] of Object.entries(sources)) writeFileSync(join(folder, name), source);
  const found = Object.entries(entries).map(([name, entry]) => [
    name,
    [join(folder, 'hawser', `${entry}.d.ts`)],
  ]);
  const promClient = { 'prom-client': [join(root, 'node_modules', 'prom-client', 'index.d.ts')] };
  const program = ts.createProgram(paths, {
    ...options,
    paths: { ...Object.fromEntries(found), ...promClient },
  });
  const problems = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
    return `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
  return { files: program.getSourceFiles().map(({ fileName }) => fileName), problems };
}

/** The blocks of code of the page, each with what its comment says comes before it. */
function blocks(): Record<string, string> {
  const code = page.matchAll(/(?:<!-- example: check\n([^>]*)-->\n)?```ts\n(.*?)```/gs);
  const programs = Array.from(code, ([, before = '', text = ''], at) => {
    return [`block-${at}.ts`, `${before}${text}\nexport {};\n`] as const;
  });
  return Object.fromEntries(programs);
}

function serverWith(text: string): string {
  return `import { MemorySessionStore, SessionServer } from 'hawser/sessions';
    new SessionServer({ store: new MemorySessionStore(), ${text} });`;
}

const stores = `
  import { type LmdbSessionStore, openEtcdStore, openSessionStore, type SessionStore } from 'hawser/sessions';
  const lmdb: LmdbSessionStore = await openSessionStore('store');
  const etcd: SessionStore = await openEtcdStore({ hosts: ['http://127.0.0.1:2379'] });
  console.log(lmdb.shared, etcd.shared);
`;

/** A handler whose outcome has no result: without it, the compiler might have looked at nothing. */
const wrong = serverWith('onRequest: () => ({ results: new Uint8Array(0) })');

test('hawser/sessions and the programs of its page compile without any optional package, with the types of packages checked', {
  timeout: compilingMs,
}, () => {
  const programs = blocks();
  expect(Object.keys(programs).length).toBeGreaterThanOrEqual(4);
  const sources = { ...programs, 'stores.ts': stores, 'wrong.ts': wrong };
  const { files, problems } = compile(sources);
  expect(problems).toEqual([expect.stringMatching(/wrong\.ts: .*RequestHandler/s)]);
  expect(files.some((file) => file.endsWith('hawser/sessions/store/etcd-store.d.ts'))).toBe(true);
  expect(files.filter((file) => /\/(lmdb|etcd3|@grpc)\/|base\/lmdb-/.test(file))).toEqual([]);
  const own = files.filter((file) => file.startsWith(join(folder, 'hawser')));
  expect(own.filter((file) => readFileSync(file, 'utf8').includes("'prom-client'"))).toEqual([]);
});
