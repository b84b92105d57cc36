// What an application compiles against that has this package and nothing else: the optional package lmdb is not there, and the types of
// packages are checked.

import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import ts from 'typescript';
import { afterEach, beforeEach, expect, test } from 'vitest';

const root = fileURLToPath(new URL('../..', import.meta.url));

let folder: string;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'hawser-types-'));
});

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

/** Those that are published. */
function writeDeclarations(): void {
  const program = ts.createProgram([join(root, 'src', 'sync', 'index.ts')], {
    ...options,
    noEmit: false,
    declaration: true,
    emitDeclarationOnly: true,
    skipLibCheck: true,
    rootDir: join(root, 'src'),
    outDir: join(folder, 'hawser'),
  });
  program.emit();
}

/** @returns the files that it consists of, and what the compiler says. */
function compile(source: string): {
  readonly files: readonly string[];
  readonly problems: readonly string[];
} {
  const path = join(folder, 'consumer.ts');
  writeFileSync(path, source);
  writeFileSync(join(folder, 'package.json'), '{"type":"module"}');
  const program = ts.createProgram([path], options);
  const problems = ts.getPreEmitDiagnostics(program).map(({ file, messageText }) => {
    return `${file?.fileName}: ${ts.flattenDiagnosticMessageText(messageText, '\n')}`;
  });
  return { files: program.getSourceFiles().map(({ fileName }) => fileName), problems };
}

/** It compiles all sources and the declarations of all that they use: minutes, where others work too. */
const timeout = 600_000;

test('hawser/sync is compiled against without the package lmdb, and with the types of packages checked', {
  timeout,
}, () => {
  writeDeclarations();
  const { files, problems } = compile(`
    import { type LmdbQueue, type LmdbSyncStore, MemoryQueue, openQueue, openStore, type SyncStore } from './hawser/sync/index.js';
    const queue: LmdbQueue = await openQueue('queue', { durability: 'relaxed' });
    const store: LmdbSyncStore = await openStore('store', { maxBytesPerAgent: 1 });
    const [any]: SyncStore[] = [store];
    const problems: string[] = await store.check();
    const path: string = queue.path;
    const maxBytes: number | undefined = any?.usageOf('agent').maxBytes;
    console.log(problems, path, maxBytes, new MemoryQueue());
  `);
  expect(problems).toEqual([]);
  expect(files.some((file) => file.endsWith('hawser/sync/store/lmdb-store.d.ts'))).toBe(true);
  expect(files.filter((file) => file.includes('lmdb/') || file.includes('base/lmdb-'))).toEqual([]);
});
