// What a release depends on, out of the lock file: what npm installs with it, what users may add, and what is compiled in.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { root } from '../lib/process.mjs';

/**
 * @typedef {object} Dependency
 * @property {string} name
 * @property {string} version
 * @property {string | undefined} licence an SPDX expression, as the package states it
 */

/**
 * What is compiled or linked into the addon.
 *
 * @typedef {Dependency & {where: string, from: 'npm' | 'generic'}} NativePart
 */

/**
 * Licences that let a program which is not free carry the code; all of those beside MIT that occur so far. The exceptions
 * of GCC and glibc are what lets any program contain those parts of them.
 */
export const allowed = [
  '0BSD',
  'Apache-2.0',
  'Apache-2.0 WITH LLVM-exception',
  'BlueOak-1.0.0',
  'BSD-2-Clause',
  'BSD-3-Clause',
  'GPL-3.0-or-later WITH GCC-exception-3.1',
  'ISC',
  'LGPL-2.1-or-later WITH GCC-exception-2.0-note',
  'MIT',
  'Python-2.0',
  'ZPL-2.1',
];

/** @returns {any} package-lock.json */
function lockFile() {
  return JSON.parse(readFileSync(join(root, 'package-lock.json'), 'utf8'));
}

/** Where Node finds a package from another one. @param {any} packages @param {string} from @param {string} name */
function locate(packages, from, name) {
  for (let folder = from; ; folder = folder.slice(0, Math.max(0, folder.lastIndexOf('/node_modules/')))) {
    const path = folder === '' ? `node_modules/${name}` : `${folder}/node_modules/${name}`;
    if (packages[path]) return path;
    // The folder of the last package before the root has no slash in front of node_modules.
    if (folder === '') return undefined;
  }
}

/**
 * @param {readonly string[]} names of packages that the root depends on
 * @param {any} [lock]
 * @returns {Dependency[]} these and all that they need, by name
 */
export function closure(names, lock = lockFile()) {
  const { packages } = lock;
  /** @type {Map<string, Dependency>} */
  const found = new Map();
  const waiting = names.map((name) => ({ from: '', name }));
  for (let next = waiting.pop(); next !== undefined; next = waiting.pop()) {
    const path = locate(packages, next.from, next.name);
    // An optional package for another platform, which this lock file could not resolve.
    if (path === undefined || found.has(path)) continue;
    const { version, license, dependencies, optionalDependencies } = packages[path];
    found.set(path, { name: path.slice(path.lastIndexOf('node_modules/') + 13), version, licence: license });
    for (const name of Object.keys({ ...dependencies, ...optionalDependencies }))
      waiting.push({ from: path, name });
  }
  return [...found.values()].sort((a, b) => (`${a.name}@${a.version}` < `${b.name}@${b.version}` ? -1 : 1));
}

/** @returns {Dependency[]} what `npm install hawser` installs */
export function runtimeDependencies() {
  const lock = lockFile();
  return closure(Object.keys(lock.packages[''].dependencies), lock);
}

/** @returns {Dependency[]} the optional peers and what they need, without what is installed anyway */
export function optionalDependencies() {
  const lock = lockFile();
  const always = new Set(runtimeDependencies().map(({ name, version }) => `${name}@${version}`));
  const all = closure(Object.keys(lock.packages[''].peerDependencies), lock);
  return all.filter(({ name, version }) => !always.has(`${name}@${version}`));
}

/** The version is that of what a build has found on its machine; the bill of materials of a release asks for it. */
const asBuilt = 'see the bill of materials';

/** @param {string} where @param {string} licence @param {readonly string[]} names @returns {NativePart[]} */
function linked(where, licence, names) {
  return names.map((name) => ({ name, version: asBuilt, licence, where, from: 'generic' }));
}

/**
 * What is compiled into the prebuilt addons. Only the headers of node-addon-api are; all else is linked statically, so
 * that nobody has to have it installed. An addon of `hawser build` contains the first two, and uses the C++ library of
 * its machine.
 *
 * @returns {NativePart[]}
 */
export function compiledIn() {
  const { version, license } = lockFile().packages['node_modules/node-addon-api'];
  return [
    ...linked('all', 'ISC', ['libsodium']),
    { name: 'node-addon-api', version, licence: license, where: 'all', from: 'npm' },
    ...linked('Linux, macOS', 'Apache-2.0 WITH LLVM-exception', ['libc++', 'libc++abi']),
    ...linked('Linux', 'Apache-2.0 WITH LLVM-exception', ['libunwind']),
    ...linked('Linux, macOS', 'MIT', ['zig-compiler-rt']),
    // What of it is linked to every library, and to none by its name: crti.o, crtn.o, libc_nonshared.a.
    ...linked('Linux with glibc', 'LGPL-2.1-or-later WITH GCC-exception-2.0-note', ['glibc-nonshared']),
    ...linked('Windows', 'GPL-3.0-or-later WITH GCC-exception-3.1', ['libstdc++', 'libgcc']),
    ...linked('Windows', 'ZPL-2.1', ['mingw-w64']),
    ...linked('Windows', 'MIT AND BSD-3-Clause', ['winpthreads']),
  ];
}

/**
 * @param {string | undefined} expression of SPDX; a licence WITH an exception is one licence
 * @returns {boolean} whether one may choose among its licences those of the list alone
 */
export function isAllowed(expression) {
  if (expression === undefined) return false;
  return expression
    .replace(/[()]/g, '')
    .split(' OR ')
    .some((choice) => choice.split(' AND ').every((name) => allowed.includes(name)));
}

/**
 * @param {readonly Dependency[]} dependencies
 * @returns {string[]} one line for each package whose licence is not on the list
 */
export function licenceProblems(dependencies) {
  return dependencies
    .filter(({ licence }) => !isAllowed(licence))
    .map(({ name, version, licence }) => `${name}@${version}: licence ${licence ?? 'not stated'}`);
}
