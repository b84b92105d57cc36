// What must and must not be in the tarball, and in package.json, for an install that runs nothing and compiles nothing.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from './process.mjs';

const permissive = ['MIT', 'ISC', 'Apache-2.0', 'BSD-2-Clause', 'BSD-3-Clause', '0BSD'];
// npm would run each of these on the machine of whoever installs the package.
const installScripts = ['preinstall', 'install', 'postinstall', 'prepare', 'prepublish'];

/**
 * npm writes only the optional packages that it could resolve into the lock file, and `npm ci` then fails wherever it
 * can resolve more, or fewer.
 *
 * @returns {string[]} one line for each optional dependency without an entry in package-lock.json
 */
export function lockFileProblems() {
  const { packages } = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  const problems = [];
  for (const [path, entry] of Object.entries(packages)) {
    for (const name of Object.keys(entry.optionalDependencies ?? {})) {
      if (packages[`node_modules/${name}`] || packages[`${path}/node_modules/${name}`]) continue;
      problems.push(`package-lock.json: ${path} names ${name}, which has no entry`);
    }
  }
  return problems;
}

/** With all prebuilds; with fewer of them there is room to spare. */
const maxPackedBytes = 4 * 1024 * 1024;

/** What users need besides what package.json points at: to read, and to compile the addon (`hawser build`). */
const besides = [
  'LICENSE',
  'README.md',
  'CHANGELOG.md',
  'SECURITY.md',
  'dashboard/index.html',
  'docs/install.md',
  'addon-source/addon.gyp',
  'addon-source/native/sources.json',
  'addon-source/node-addon-api/LICENSE.md',
  'addon-source/node-addon-api/napi.h',
  'addon-source/scripts/libsodium.mjs',
  'addon-source/scripts/native-sources.mjs',
];

/** Every file that package.json points at. */
function entryFiles(manifest) {
  const targets = Object.values(manifest.exports).flatMap((target) =>
    typeof target === 'string' ? [target] : Object.values(target),
  );
  return [...targets, ...Object.values(manifest.bin), manifest.main, manifest.types].map((path) =>
    path.replace(/^\.\//, ''),
  );
}

/**
 * @param {string[]} files the paths in the tarball
 * @param {number} bytes how long the tarball is
 * @returns {string[]} one line for each thing that is wrong
 */
export function packageProblems(files, bytes) {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const problems = [];
  // Licences of what is linked into them ask for it.
  const notices = files.some((file) => file.endsWith('.node')) ? ['prebuilds/NOTICES.txt'] : [];
  for (const file of [...entryFiles(manifest), ...besides, ...notices]) {
    if (!files.includes(file)) problems.push(`${file} is not in the tarball`);
  }
  for (const file of files) {
    const ours =
      /^(src|test|scripts|native|bench|build|build-cmake|examples|docs\/conformance|docs\/api|docs\/site)(\/|$)/.test(
        file,
      );
    // npm runs node-gyp for a binding.gyp; maps of sources that are not packed are half of a package for nothing.
    if (ours || /(^|\/)binding\.gyp$|\.map$/.test(file)) {
      problems.push(`${file} must not be in the tarball`);
    }
  }
  if (bytes > maxPackedBytes)
    problems.push(`the tarball has ${bytes} bytes; at most ${maxPackedBytes} are wanted`);
  for (const name of installScripts) {
    if (manifest.scripts[name]) problems.push(`package.json has a script "${name}"`);
  }
  if (manifest.gypfile !== false)
    problems.push('package.json must say "gypfile": false, or npm runs node-gyp');

  const licence = readFileSync(join(root, 'LICENSE'), 'utf8');
  if (manifest.license !== 'MIT' || !licence.startsWith('MIT License'))
    problems.push('the licence is not MIT');
  const lock = JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
  for (const [path, entry] of Object.entries(lock.packages)) {
    if (path === '' || entry.dev || (entry.optional && !existsSync(join(root, path)))) continue;
    if (!permissive.includes(entry.license))
      problems.push(`${path}: licence ${entry.license ?? 'not stated'}`);
    if (entry.hasInstallScript) problems.push(`${path} has an install script`);
  }
  return problems;
}
