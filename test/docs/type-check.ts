// Compiles the blocks of all pages at once, against the types that the package has for its users.

import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join, relative } from 'node:path';
import ts from 'typescript';
import type { Block } from './pages.js';

/** A parameter of plain JavaScript has no type to say, and what is unknown cannot be narrowed by a word. */
const implicitAny = [7006, 7031, 7034, 7005, 7018];

const options: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts', 'lib.es2024.string.d.ts', 'lib.esnext.disposable.d.ts'],
  types: ['node'],
  module: ts.ModuleKind.NodeNext,
  moduleResolution: ts.ModuleResolutionKind.NodeNext,
  moduleDetection: ts.ModuleDetectionKind.Force,
  strict: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  noEmit: true,
  allowJs: true,
  checkJs: true,
  allowImportingTsExtensions: true,
};

/** Imports of the same module are one import: blocks that go on with each other repeat them. */
export function joinCode(parts: readonly string[]): string {
  const imports = new Map<string, Set<string>>();
  const others = new Set<string>();
  const rest = parts.map((part) =>
    part.replaceAll(/^import (?:\{([^}]*)\} from '([^']+)'|[^;]*);\n/gm, (whole, names, module) => {
      if (module === undefined) others.add(whole);
      else {
        const known = imports.get(module) ?? new Set();
        for (const name of names.split(',')) if (name.trim() !== '') known.add(name.trim());
        imports.set(module, known);
      }
      return '';
    }),
  );
  const joined = [...imports].map(
    ([module, names]) => `import { ${[...names].join(', ')} } from '${module}';\n`,
  );
  return [...others, ...joined, ...rest].join('');
}

/** What stands before a block so that it compiles, and the block: of one that continues, also those before it. */
function sourceOf(block: Block, blocks: readonly Block[]): string {
  const parts = [block.code];
  let first = block;
  while (first.wish.continues) {
    parts.unshift(first.wish.prelude);
    const before = blocks.slice(0, blocks.indexOf(first)).findLast((each) => /^[jt]s$/.test(each.language));
    if (before === undefined) throw new Error(`${block.page}:${block.line}: continues nothing`);
    parts.unshift(before.code);
    first = before;
  }
  return joinCode([first.wish.prelude, ...parts]);
}

/**
 * Compiles blocks of TypeScript and JavaScript.
 *
 * @param folder where they are written, inside the package, so that `hawser` is the package.
 * @returns a line for each thing that is wrong, with the page and the line of the block.
 */
export function typeProblems(
  folder: string,
  pages: ReadonlyMap<string, readonly Block[]>,
): readonly string[] {
  const files = new Map<string, Block>();
  for (const [page, blocks] of pages) {
    for (const block of blocks) {
      if (!/^[jt]s$/.test(block.language) || block.wish.manner === 'skip') continue;
      const plain = block.language === 'js' && block.wish.prelude === '' && !block.wish.continues;
      const name = block.wish.file ?? `line-${block.line}.${plain ? 'js' : 'ts'}`;
      const file = join(folder, page.replaceAll('/', '_'), name);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, sourceOf(block, blocks));
      files.set(file, block);
    }
  }
  const program = ts.createProgram([...files.keys()], options);
  return ts.getPreEmitDiagnostics(program).flatMap((diagnostic) => {
    const { file, start = 0, code } = diagnostic;
    const message = ts.flattenDiagnosticMessageText(diagnostic.messageText, '\n');
    if (file === undefined) return [message];
    const isPlain = /\.m?js$/.test(file.fileName);
    if (isPlain && (implicitAny.includes(code) || message.endsWith("on type 'unknown'."))) return [];
    const block = files.get(file.fileName);
    const where = block === undefined ? relative(folder, file.fileName) : `${block.page}:${block.line}`;
    const { line } = file.getLineAndCharacterOfPosition(start);
    return [`${where}: TS${code}: ${message} | ${file.text.split('\n')[line]?.trim()}`];
  });
}
