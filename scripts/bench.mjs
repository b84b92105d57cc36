// npm run bench [-- name ...]: the native benchmarks (native/bench/*.cpp), then the others (bench/*.bench.mjs), one
// after the other. A name picks those whose file name contains it. Results are for reading, nothing here passes or
// fails by its speed.
import { existsSync, readdirSync } from 'node:fs';
import { basename, join } from 'node:path';
import { buildPreset } from './lib/native.mjs';
import { root, run } from './lib/process.mjs';

const wanted = process.argv.slice(2);
const filesIn = (folder, ending) =>
  existsSync(join(root, folder))
    ? readdirSync(join(root, folder))
        .filter((name) => name.endsWith(ending))
        .filter((name) => wanted.length === 0 || wanted.some((part) => name.includes(part)))
        .sort()
    : [];

const native = filesIn('native/bench', '.cpp').map((name) => basename(name, '.cpp'));
const scripts = filesIn('bench', '.bench.mjs');
const commands = [];
if (native.length > 0) {
  const built = await buildPreset('bench');
  if (built.code === 0) {
    commands.push(...native.map((name) => [join(root, 'build-cmake', 'bench', `bench_${name}`)]));
  } else {
    console.error(built.output);
    process.exitCode = 1;
  }
}
commands.push(...scripts.map((name) => [process.execPath, join('bench', name)]));
if (native.length + scripts.length === 0) {
  console.error(`bench: nothing is called ${wanted.join(', ') || 'a benchmark'}`);
  process.exitCode = 2;
}
for (const [command, ...args] of commands) {
  console.log(`== ${basename(args[0] ?? command)}`);
  const { code } = await run(command, args, { show: true });
  if (code !== 0) process.exitCode = 1;
}
