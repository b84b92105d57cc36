// The one list of native sources (native/sources.json), as binding.gyp and CMakeLists.txt read it.
//
//   node scripts/native-sources.mjs --list linux|mac|win   prints what the addon is compiled from
//   node scripts/native-sources.mjs --check                fails when the list and the folders disagree
//   node scripts/native-sources.mjs --write                makes the list agree with the folders
//
// "core" is every layer below the binding; "core_linux" its files for Linux alone (`*_linux.cpp`); "addon" is what
// needs Node: the binding, the one file that includes <uv.h>, and the drivers that use it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const listFile = join(root, 'native', 'sources.json');
const layers = ['base', 'crypto', 'wire', 'engine', 'io', 'binding'];
const needsNode = /^native\/(binding\/|io\/(loop_|thread_driver))/;

/** @returns {{core: string[], core_linux: string[], addon: string[]}} */
export function readSources() {
  return JSON.parse(readFileSync(listFile, 'utf8'));
}

/** What the list must be for the files that are there. */
export function sourcesOnDisk() {
  const found = [];
  for (const layer of layers) {
    let names = [];
    try {
      names = readdirSync(join(root, 'native', layer), { recursive: true });
    } catch (error) {
      if (error.code !== 'ENOENT') throw error;
    }
    for (const name of names) {
      if (name.endsWith('.cpp')) found.push(`native/${layer}/${name.replaceAll('\\', '/')}`);
    }
  }
  const rank = (file) => layers.indexOf(file.split('/')[1]);
  found.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const linuxOnly = (file) => file.endsWith('_linux.cpp');
  return {
    core: found.filter((file) => !needsNode.test(file) && !linuxOnly(file)),
    core_linux: found.filter((file) => !needsNode.test(file) && linuxOnly(file)),
    addon: found.filter((file) => needsNode.test(file)),
  };
}

/** @returns {string[]} one line for each disagreement between the list and the folders */
export function checkSources() {
  const listed = readSources();
  const present = sourcesOnDisk();
  const problems = [];
  for (const part of Object.keys(present)) {
    for (const file of present[part]) {
      if (!listed[part].includes(file))
        problems.push(`${file} is missing from "${part}" in native/sources.json`);
    }
    for (const file of listed[part]) {
      if (!present[part].includes(file))
        problems.push(`native/sources.json: "${part}" names ${file}, which is not there`);
    }
  }
  return problems;
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const [action, os] = process.argv.slice(2);
  if (action === '--list') {
    const sources = readSources();
    const files = [...sources.core, ...(os === 'linux' ? sources.core_linux : []), ...sources.addon];
    process.stdout.write(`${files.join('\n')}\n`);
  } else if (action === '--check') {
    const problems = checkSources();
    for (const problem of problems) console.error(problem);
    process.exitCode = problems.length > 0 ? 1 : 0;
  } else if (action === '--write') {
    writeFileSync(listFile, `${JSON.stringify(sourcesOnDisk(), null, 2)}\n`);
  } else {
    console.error('native-sources: say --list <os>, --check or --write');
    process.exitCode = 2;
  }
}
