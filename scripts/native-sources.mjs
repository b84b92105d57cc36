// The one list of native sources (native/sources.json), as binding.gyp and CMakeLists.txt read it.
//
//   node scripts/native-sources.mjs --list <os>            prints what the addon is compiled from
//   node scripts/native-sources.mjs --check                fails when the list and the folders disagree
//   node scripts/native-sources.mjs --write                makes the list agree with the folders
//
// <os> is what gyp calls the system: linux, mac, win, freebsd, ... "core" is every layer below the binding but for what
// differs between systems; "core_linux", "core_bsd" and "core_windows" are the files for those, by the ends of their
// names: `*_linux.cpp`, `*_bsd.cpp` (macOS too), `*_windows.cpp`, and `*_posix.cpp` for all but Windows. "addon" is what
// needs Node: the binding, the one file that includes <uv.h>, and the drivers that use it.
import { readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const listFile = join(root, 'native', 'sources.json');
const layers = ['base', 'crypto', 'wire', 'engine', 'io', 'binding'];
const needsNode = /^native\/(binding\/|io\/(loop_|thread_driver))/;

/**
 * The ends of the names of files that are for some systems alone, and the parts of the list that have them.
 *
 * @type {Record<string, string[]>}
 */
const ofSystems = {
  linux: ['core_linux'],
  bsd: ['core_bsd'],
  windows: ['core_windows'],
  posix: ['core_linux', 'core_bsd'],
};

/** @typedef {{core: string[], core_linux: string[], core_bsd: string[], core_windows: string[], addon: string[]}} Sources */

/** @returns {Sources} */
export function readSources() {
  return JSON.parse(readFileSync(listFile, 'utf8'));
}

/** @param {string} os as gyp calls it @returns {string[]} what the addon is compiled from there */
export function sourcesFor(os) {
  const sources = readSources();
  const own = os === 'linux' ? sources.core_linux : os === 'win' ? sources.core_windows : sources.core_bsd;
  return [...sources.core, ...own, ...sources.addon];
}

/** @returns {Sources} what the list must be for the files that are there */
export function sourcesOnDisk() {
  /** @type {string[]} */
  const found = [];
  for (const layer of layers) {
    /** @type {string[]} */
    let names = [];
    try {
      names = readdirSync(join(root, 'native', layer), { recursive: true, encoding: 'utf8' });
    } catch (error) {
      if (!(error instanceof Error && 'code' in error && error.code === 'ENOENT')) throw error;
    }
    for (const name of names) {
      if (name.endsWith('.cpp')) found.push(`native/${layer}/${name.replaceAll('\\', '/')}`);
    }
  }
  const rank = (/** @type {string} */ file) => layers.indexOf(file.split('/')[1] ?? '');
  found.sort((a, b) => rank(a) - rank(b) || (a < b ? -1 : 1));
  const systemOf = (/** @type {string} */ file) => /_(linux|bsd|windows|posix)\.cpp$/.exec(file)?.[1] ?? '';
  const core = found.filter((file) => !needsNode.test(file));
  const own = (/** @type {string} */ part) =>
    core.filter((file) => ofSystems[systemOf(file)]?.includes(part));
  return {
    core: core.filter((file) => systemOf(file) === ''),
    core_linux: own('core_linux'),
    core_bsd: own('core_bsd'),
    core_windows: own('core_windows'),
    addon: found.filter((file) => needsNode.test(file)),
  };
}

/** @returns {string[]} one line for each disagreement between the list and the folders */
export function checkSources() {
  /** @type {Record<string, string[]>} */
  const listed = { ...readSources() };
  const problems = [];
  for (const [part, present] of Object.entries(sourcesOnDisk())) {
    for (const file of present) {
      if (!listed[part]?.includes(file))
        problems.push(`${file} is missing from "${part}" in native/sources.json`);
    }
    for (const file of listed[part] ?? []) {
      if (!present.includes(file))
        problems.push(`native/sources.json: "${part}" names ${file}, which is not there`);
    }
  }
  return problems;
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) {
  const [action, os] = process.argv.slice(2);
  if (action === '--list') {
    process.stdout.write(`${sourcesFor(os ?? '').join('\n')}\n`);
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
