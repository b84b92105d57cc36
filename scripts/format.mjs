// node scripts/format.mjs [--write]: checks the formatting of every file, or mends it.
import { biome, clangFormat } from './lib/format.mjs';

const write = process.argv.includes('--write');
for (const result of [await biome(write), await clangFormat(write)]) {
  if (result.code === 0) continue;
  console.error(result.output);
  process.exitCode = 1;
}
