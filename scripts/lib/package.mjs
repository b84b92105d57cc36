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
 * @returns {string[]} one line for each thing that is wrong
 */
export function packageProblems(files) {
  const manifest = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const problems = [];
  for (const file of [...entryFiles(manifest), 'LICENSE', 'README.md', 'CHANGELOG.md', 'SECURITY.md']) {
    if (!files.includes(file)) problems.push(`${file} is not in the tarball`);
  }
  for (const file of files) {
    if (/^(binding\.gyp|native|src|test|scripts|bench|build|build-cmake)(\/|$)/.test(file)) {
      problems.push(`${file} must not be in the tarball`);
    }
  }
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
