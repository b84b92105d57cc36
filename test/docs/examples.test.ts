// What the pages of the documentation show, tried as their reader would. CONTRIBUTING.md has the convention.

import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { afterAll, describe, expect, test } from 'vitest';
import { commandProblems } from './commands.js';
import { PageRun, printsAs } from './page-run.js';
import { type Block, blocksOf, pages, readBlocks, root } from './pages.js';
import { joinCode, typeProblems } from './type-check.js';

/** Blocks that cannot be tried: each has its reason on the page, and there are no more than these. */
const mostSkipped = 4;
/** The same languages under other names would not be tried. */
const otherNames = [
  'javascript',
  'typescript',
  'mjs',
  'cjs',
  'jsx',
  'tsx',
  'bash',
  'shell',
  'console',
  'json5',
];

mkdirSync(join(root, 'build-cmake'), { recursive: true });
// Inside the package, so that `hawser` is this package.
const folder = mkdtempSync(join(root, 'build-cmake', 'docs-'));
afterAll(() => rmSync(folder, { recursive: true, maxRetries: 3 }));

const blocks = new Map<string, readonly Block[]>(pages.map((page) => [page, readBlocks(page)]));
const all = [...blocks.values()].flat();
const shown = ({ page, line }: Block): string => `${page}:${line}`;

test('blocks are of languages that are tried, by their only names', () => {
  expect(all.filter(({ language }) => otherNames.includes(language)).map(shown)).toEqual([]);
  expect(all.length).toBeGreaterThan(60);
});

test('what is to be typed is marked as such', () => {
  const unmarked = /^```\n(?:sudo )?(?:npx|npm|hawser|node|esbuild|curl|docker|kubectl|sysctl|export) .*$/gm;
  for (const page of pages)
    expect(readFileSync(join(root, page), 'utf8').match(unmarked) ?? [], page).toEqual([]);
});

test('what is skipped has a reason, and is rare', () => {
  const skipped = all.filter(({ wish }) => wish.manner === 'skip');
  for (const block of skipped) expect(block.wish.reason.length, shown(block)).toBeGreaterThan(10);
  expect(skipped.length).toBeLessThanOrEqual(mostSkipped);
});

test('every program and fragment compiles against the types of the package', () => {
  expect(typeProblems(join(folder, 'types'), blocks)).toEqual([]);
});

test('every command exists, with its options', async () => {
  const commands = all.filter(({ language, wish }) => language === 'sh' && wish.manner !== 'skip');
  expect((await Promise.all(commands.map(commandProblems))).flat()).toEqual([]);
});

test('every block of JSON is JSON', () => {
  for (const block of all.filter(({ language }) => language === 'json')) {
    expect(() => JSON.parse(block.code), shown(block)).not.toThrow();
  }
});

/** Runs one page, to its end or the first thing that is wrong. */
async function tryPage(page: string): Promise<void> {
  const own = join(folder, page.replaceAll('/', '_'));
  mkdirSync(own);
  const run = new PageRun(own);
  let printed = '';
  try {
    for (const block of blocks.get(page) ?? []) {
      const { manner, file } = block.wish;
      try {
        if (manner === 'run' || (file !== undefined && manner === 'commands')) printed = await run.run(block);
        const wrong = manner === 'output' ? await run.compare(block, printed) : undefined;
        if (wrong !== undefined) throw new Error(wrong);
      } catch (error) {
        throw new Error(`${shown(block)}: ${error instanceof Error ? error.message : error}`);
      }
    }
    await run.loadConfigurations();
  } finally {
    await run.end();
  }
}

const runnable = pages.filter((page) =>
  blocks.get(page)?.some(({ wish }) => wish.manner === 'run' || wish.file !== undefined),
);
test.concurrent.each(runnable)('what %s runs does what it says', tryPage);

describe('the tests of pages', () => {
  const page = (comment: string): string => `text\n\n${comment}\n\`\`\`ts\nfoo();\n\`\`\`\n`;

  test('find a type that is wrong', () => {
    const wrong = blocksOf(
      'a.md',
      page('<!-- example: check\nimport { connect as foo } from "hawser";\n-->'),
    );
    expect(typeProblems(join(folder, 'wrong'), new Map([['a.md', wrong]]))).toEqual([
      expect.stringContaining('a.md:6: TS2554'),
    ]);
  });

  test('find commands and options that are none', async () => {
    const [block] = blocksOf(
      'a.md',
      '```sh\nnpx hawser gatewai\nnpx hawser ping --cont 3\nnpm run rum\nfrobnicate\n```\n',
    );
    expect(block === undefined ? [] : await commandProblems(block)).toEqual([
      'a.md:1: there is no "hawser gatewai"',
      'a.md:1: "hawser ping" has no --cont',
      'a.md:1: there is no script "rum"',
      'a.md:1: "frobnicate" is no known command',
    ]);
  });

  test('find the commands of transcripts', async () => {
    const [block] = blocksOf(
      'a.md',
      '```\n$ hawser ping --count 3 \\\n    --cont\nconnected\n$ hawser pong\n```\n',
    );
    expect(block === undefined ? [] : await commandProblems(block)).toEqual([
      'a.md:1: "hawser ping" has no --cont',
      'a.md:1: there is no "hawser pong"',
    ]);
  });

  test('refuse a wish that they do not know', () => {
    expect(() => blocksOf('a.md', page('<!-- example: chekc -->'))).toThrow('a.md:4: "chekc" is nothing');
  });

  test('find a program that prints something else, fails, or does not end', async () => {
    expect(printsAs('a 17\nb\nc\nd\n', 'a …\n...\nd\n')).toBe(true);
    expect(printsAs('a 17\nb\n', 'a …\n')).toBe(false);
    expect(printsAs('axb\n', 'a.b\n')).toBe(false);
    const own = join(folder, 'failing');
    mkdirSync(own);
    const run = new PageRun(own);
    for (const [code, wrong] of [
      ['process.exit(3);', 'exit code 3'],
      ['throw new Error("no");', 'exit code 1'],
    ]) {
      const [block] = blocksOf('a.md', `\`\`\`js\n${code}\n\`\`\`\n`);
      if (block !== undefined) await expect(run.run(block)).rejects.toThrow(wrong);
    }
    const [waiting] = blocksOf(
      'a.md',
      '<!-- example: run; until "never" -->\n```js\nconsole.log("x");\n```\n',
    );
    if (waiting !== undefined) await expect(run.run(waiting)).rejects.toThrow('it ended without "never"');
  });

  test('find a configuration that is wrong', async () => {
    const own = join(folder, 'configured');
    mkdirSync(own);
    const run = new PageRun(own);
    const [block] = blocksOf(
      'a.md',
      '<!-- example: file hawser.config.json -->\n```json\n{ "listeners": [{ "layers": ["sesions"] }] }\n```\n',
    );
    if (block !== undefined) await run.run(block);
    await expect(run.loadConfigurations()).rejects.toThrow('listeners[0].layers[0]');
  });

  test('join imports of one module', () => {
    const joined = joinCode(["import { a } from 'x';\na();\n", "import { a, b } from 'x';\nb();\n"]);
    expect(joined).toBe("import { a, b } from 'x';\na();\nb();\n");
  });
});

test('the package is built', () => expect(existsSync(join(root, 'dist', 'index.js'))).toBe(true));
