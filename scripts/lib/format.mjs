// The two formatters. clang-format comes from npm, pinned: its output differs between versions, and every
// distribution has another.
import { runBin } from './process.mjs';
import { filesUnder } from './stamp.mjs';

/**
 * @param {boolean} write mend files, or only check
 * @returns {Promise<{code: number, output: string}>} a failed check names the files
 */
export async function clangFormat(write) {
  const files = filesUnder(['native'], (file) => /\.(cpp|hpp|h)$/.test(file));
  const mode = write ? ['-i'] : ['--dry-run', '-Werror'];
  const { code, output } = await runBin('clang-format', [...mode, ...files]);
  const unformatted = new Set(
    [...output.matchAll(/^(.+?):\d+:\d+: .*clang-format-violations/gm)].map(([, file]) => file),
  );
  if (unformatted.size === 0) return { code, output };
  return { code, output: `not formatted, \`npm run format\` mends them:\n${[...unformatted].join('\n')}` };
}

/** @param {boolean} write mend files, or only check. @returns what `run` returns */
export function biome(write) {
  return runBin('biome', write ? ['check', '--write', '.'] : ['ci', '.']);
}
