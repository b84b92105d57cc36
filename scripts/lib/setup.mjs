// What setup.mjs does once Node is known to be new enough.
import { chmodSync, existsSync, readFileSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { unsuitableHost } from '../prebuild/toolchain.mjs';
import { jobs, nodeHeadersPrefix, root, runBin, runNpm } from './process.mjs';
import { filesUnder, hashOf, Stamp } from './stamp.mjs';
import { cxxCompiler, ensureSystem } from './system.mjs';

const purposes = ['start', 'test', 'fuzz', 'bench', 'prebuild'];

/** Runs one step of the set-up: a line when it begins and ends, its output only when it fails. */
async function step(title, work) {
  console.log(`setup: ${title} ...`);
  const started = performance.now();
  const { code, output } = await work();
  if (code !== 0) {
    console.error(output.trimEnd());
    throw new Error(`${title}: failed`);
  }
  console.log(`setup: ${title}: done in ${((performance.now() - started) / 1000).toFixed(1)} s`);
}

/** Whether node_modules of a folder holds what its package-lock.json asks for. */
function dependenciesAreCurrent(folder) {
  const installedFile = join(folder, 'node_modules', '.package-lock.json');
  if (!existsSync(installedFile)) return false;
  const wanted = JSON.parse(readFileSync(join(folder, 'package-lock.json'), 'utf8')).packages;
  const installed = JSON.parse(readFileSync(installedFile, 'utf8')).packages;
  const ownOptional = Object.keys(wanted[''].optionalDependencies ?? {}).map(
    (name) => `node_modules/${name}`,
  );
  return Object.entries(wanted).every(([path, entry]) => {
    if (path === '') return true;
    const present = installed[path];
    // Optional packages for other platforms are in the lock file and never installed. One that package.json itself names, and that says
    // nothing of platforms, has been added since.
    const forSome = entry.os !== undefined || entry.cpu !== undefined || !ownOptional.includes(path);
    if (present === undefined) return entry.optional === true && forSome;
    return present.version === entry.version && present.integrity === entry.integrity;
  });
}

async function ensureDependencies(folder, title, options = []) {
  if (dependenciesAreCurrent(folder)) return;
  // No package of ours needs an install script; NODE_ENV=production must not leave the build tools out.
  const args = [
    'ci',
    '--include=dev',
    '--include=optional',
    '--ignore-scripts',
    '--no-audit',
    '--no-fund',
    ...options,
  ];
  await step(title, () => runNpm(args, { cwd: folder }));
}

async function ensureAddon() {
  const inputs = filesUnder(
    ['native/base', 'native/crypto', 'native/wire', 'native/engine', 'native/io', 'native/binding'],
    (file) => /\.(cpp|hpp|h)$/.test(file),
  );
  const build = ['native/sources.json', 'binding.gyp', 'scripts/libsodium.mjs', 'scripts/native-sources.mjs'];
  const addonApi = 'node_modules/node-addon-api/package.json';
  const compiler = cxxCompiler();
  // The addon knows its version, and that must be the package's.
  const { version } = JSON.parse(readFileSync(join(root, 'package.json'), 'utf8'));
  const facts = [process.version, process.platform, process.arch, compiler, version];
  const hash = hashOf([...inputs, ...build, addonApi], facts);
  const stamp = new Stamp('addon');
  if (existsSync(join(root, 'build', 'Release', 'hawser.node')) && stamp.matches(hash)) return;
  const prefix = nodeHeadersPrefix();
  const args = ['configure', 'build', '--release', '--jobs', String(jobs)];
  if (prefix !== undefined) args.push('--nodedir', prefix);
  await step('native addon (node-gyp)', () =>
    runBin('node-gyp', args, { env: compilerEnvironment(compiler) }),
  );
  stamp.write(hash);
}

/** node-gyp calls g++ and gcc unless told otherwise; a machine may have clang alone. */
function compilerEnvironment(compiler) {
  const cc = process.env.CC ?? (compiler === 'clang++' ? 'clang' : undefined);
  return { CXX: compiler, ...(cc && { CC: cc }) };
}

async function ensureDist() {
  const inputs = filesUnder(['src', 'tsconfig.json', 'package.json', 'node_modules/typescript/package.json']);
  const hash = hashOf(inputs);
  const stamp = new Stamp('dist');
  if (existsSync(join(root, 'dist', 'index.js')) && stamp.matches(hash)) return;
  rmSync(join(root, 'dist'), { recursive: true, force: true });
  await step('TypeScript (tsc)', () => runBin('tsc', ['-p', 'tsconfig.json']));
  // What npm does on installing; a folder that is linked keeps what is here.
  chmodSync(join(root, 'dist', 'cli', 'main.js'), 0o755);
  stamp.write(hash);
}

/** The cross compiler, and the other kinds of Node.js that what it makes is tried on. */
async function ensurePrebuildToolchain() {
  const folder = join(root, 'scripts', 'prebuild');
  await ensureDependencies(join(folder, 'toolchain'), 'cross compiler (npm ci)');
  // Most of them say, rightly, that they are not for this machine.
  await ensureDependencies(join(folder, 'try'), 'Node.js for other systems (npm ci)', ['--force']);
}

/** @param {string[]} args the command line */
export async function main(args) {
  try {
    const { values } = parseArgs({ args, options: { for: { type: 'string', default: 'start' } } });
    const purpose = values.for;
    if (!purposes.includes(purpose)) throw new Error(`--for ${purpose}: say one of ${purposes.join(', ')}`);
    const started = performance.now();
    const unsuitable = purpose === 'prebuild' ? unsuitableHost() : undefined;
    if (unsuitable !== undefined) throw new Error(unsuitable);
    await ensureSystem(purpose, step);
    await ensureDependencies(root, 'npm dependencies (npm ci)');
    // Prebuilds are compiled by other compilers, and without dist.
    if (purpose !== 'fuzz' && purpose !== 'prebuild') {
      await ensureAddon();
      await ensureDist();
    }
    if (purpose === 'test')
      await ensureDependencies(
        join(root, 'test', 'install', 'nodes'),
        'Node.js 20 to 26 for the install test (npm ci)',
      );
    if (purpose === 'prebuild') await ensurePrebuildToolchain();
    if (purpose === 'bench')
      await ensureDependencies(join(root, 'bench'), 'npm dependencies of bench (npm ci)');
    console.log(`setup: ready in ${((performance.now() - started) / 1000).toFixed(1)} s`);
  } catch (error) {
    for (const line of error.message.split('\n')) console.error(`setup: ${line}`);
    process.exitCode = 1;
  }
}
