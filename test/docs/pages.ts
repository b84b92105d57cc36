// The pages of the documentation, and their blocks of code.

import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** The folder of the package. */
export const root: string = fileURLToPath(new URL('../..', import.meta.url));

/** Where each page is, relative to the package: those for readers, not those that list what is proven. */
export const pages: readonly string[] = [
  'README.md',
  'CONTRIBUTING.md',
  'SECURITY.md',
  ...['docs', 'docs/guides'].flatMap((folder) =>
    readdirSync(join(root, folder))
      .filter((name) => name.endsWith('.md'))
      .map((name) => `${folder}/${name}`),
  ),
];

/** What CONTRIBUTING.md says that the comment before a block can ask for. */
export interface Wish {
  /** `run` unless something else is said; of `sh`, `commands`. */
  readonly manner: 'run' | 'check' | 'commands' | 'output' | 'skip';
  /** Why it is left out. */
  readonly reason: string;
  /** The file that it is. */
  readonly file: string | undefined;
  /** What it has printed when it is there, or done: it would not end by itself. */
  readonly until: string | undefined;
  /** Whether it goes on until the page is over. */
  readonly stays: boolean;
  /** Its argument is the token that this file has printed. */
  readonly tokenOf: string | undefined;
  /** Whether it goes on where the block of code before it ends. */
  readonly continues: boolean;
  /** What has to stand before it so that it compiles. */
  readonly prelude: string;
}

/** One block of code. */
export interface Block {
  readonly page: string;
  /** The line of its fence, from 1. */
  readonly line: number;
  readonly language: string;
  readonly code: string;
  readonly wish: Wish;
}

const comment = /<!-- example: ([^\n]*?)(?:\n([\s\S]*?))? ?-->\s*$/;
const clauses: readonly RegExp[] = [
  /^(?<manner>run|check|commands)$/,
  /^(?<manner>skip): (?<reason>.+)$/,
  /^file (?<file>[\w.-]+)$/,
  /^until "(?<until>.+)"$/,
  /^(?<stays>start)$/,
  /^with the token of (?<tokenOf>[\w.-]+)$/,
  /^(?<continues>continues)$/,
];

/**
 * What a comment asks for.
 *
 * @throws Error that names the clause which is none.
 */
export function parseWish(text: string, language: string, prelude: string): Wish {
  const said: Record<string, string | undefined> = {};
  for (const clause of text.split(';').map((each) => each.trim())) {
    if (clause === '') continue;
    const groups = clauses.map((pattern) => pattern.exec(clause)?.groups).find((each) => each !== undefined);
    if (groups === undefined) throw new Error(`"${clause}" is nothing that an example can ask for`);
    Object.assign(said, Object.fromEntries(Object.entries(groups).filter(([, value]) => value)));
  }
  const usual = { js: 'run', ts: 'run', '': 'output' }[language] ?? 'commands';
  const manner = said.manner ?? (said.stays === undefined ? usual : 'run');
  return {
    manner: manner as Wish['manner'],
    reason: said.reason ?? '',
    file: said.file,
    until: said.until,
    stays: said.stays !== undefined,
    tokenOf: said.tokenOf,
    continues: said.continues !== undefined,
    prelude,
  };
}

/** The commands of a transcript: what is behind `$ `, with the lines that it goes on in. */
function typedIn(code: string): string {
  return [...code.matchAll(/^\$ ((?:.*\\\n)*.*)$/gm)].map(([, command = '']) => `${command}\n`).join('');
}

/** The blocks of a text, in their order. */
export function blocksOf(page: string, text: string): readonly Block[] {
  const blocks: Block[] = [];
  let end = 0;
  for (const match of text.matchAll(/^( *)```([\w+-]*)\n([\s\S]*?)^\1```$/gm)) {
    const [whole, indentation = '', language = '', body = ''] = match;
    const between = text.slice(end, match.index);
    end = match.index + whole.length;
    const line = text.slice(0, match.index).split('\n').length;
    const code = body.replaceAll(new RegExp(`^${indentation}`, 'gm'), '');
    const [, asked = '', prelude = ''] = comment.exec(between) ?? [];
    const typed = language === '' ? typedIn(code) : '';
    // Only what a page says that something prints is compared with that.
    if (language === '' && typed === '' && !/prints[^\n]*:\s*$/.test(between)) continue;
    const block = typed === '' ? { language, code } : { language: 'sh', code: typed };
    try {
      blocks.push({ page, line, ...block, wish: parseWish(asked, block.language, prelude) });
    } catch (error) {
      throw new Error(`${page}:${line}: ${error instanceof Error ? error.message : error}`);
    }
  }
  return blocks;
}

/** The blocks of a page of the documentation. */
export function readBlocks(page: string): readonly Block[] {
  return blocksOf(page, readFileSync(join(root, page), 'utf8'));
}
