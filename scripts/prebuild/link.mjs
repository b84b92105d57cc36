// Makes an addon of objects and libraries: one linker for each system.
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../lib/process.mjs';
import { exportedFunctions, makeNodeImports } from './node-imports.mjs';
import { compileSupport } from './support.mjs';
import { oldestMacos } from './targets.mjs';
import { machLinker, toolsFor, zigLibraries } from './toolchain.mjs';

/** @typedef {import('./targets.mjs').Target} Target */

/**
 * Takes the target, the objects and archives that are linked, the file to make, and a folder for what it makes on the
 * way. Rejects with what the linker said.
 *
 * @typedef {(target: Target, inputs: string[], output: string, folder: string) => Promise<void>} Linker
 */

/**
 * @param {Target} target
 * @param {import('./toolchain.mjs').Command} command
 * @param {Record<string, string>} env
 * @returns {Promise<string>} what it printed
 * @throws {Error} with that, when it failed
 */
async function must(target, [command, ...args], env) {
  const { code, output } = await run(command, args, { env });
  if (code !== 0) throw new Error(`${target.name}: linking failed\n${output.trimEnd()}`);
  return output;
}

/** @type {Linker} */
async function linkForLinux(target, inputs, output, folder) {
  const { cxx, env } = toolsFor(target);
  const script = join(folder, 'exports.map');
  writeFileSync(script, `{ global: ${exportedFunctions.join('; ')}; local: *; };\n`);
  const flags = [
    '-shared',
    '-s',
    '-Wl,--gc-sections',
    '-Wl,-z,now',
    '-Wl,-z,relro',
    `-Wl,--version-script=${script}`,
  ];
  await must(target, [...cxx, ...flags, '-o', output, ...inputs], env);
}

/**
 * Its own C++ library and threads go into the file: nobody has them installed.
 *
 * @type {Linker}
 */
async function linkForWindows(target, inputs, output, folder) {
  const { cxx, env } = toolsFor(target);
  const imports = await makeNodeImports(target, inputs, folder);
  const hook = await compileSupport(target, 'find_node_windows.c', folder);
  const flags = ['-shared', '-static', '-s', '-Wl,--gc-sections'];
  const system = ['-lws2_32', '-ladvapi32', '-ldelayimp'];
  await must(target, [...cxx, ...flags, '-o', output, ...inputs, hook, imports, ...system], env);
}

/**
 * Zig's own linker for macOS shows all symbols to others and keeps all names. It is asked which libraries it would take
 * (among them its C++ library, which it compiles on the way), and that of LLVM does the work.
 *
 * @type {Linker}
 */
async function linkForMacos(target, inputs, output, folder) {
  const { cxx, env } = toolsFor(target);
  /** @type {import('./toolchain.mjs').Command} */
  const first = [
    ...cxx,
    '-shared',
    '-Wl,-undefined,dynamic_lookup',
    '-o',
    join(folder, 'unused.node'),
    ...inputs,
  ];
  const said = await must(target, first, { ...env, ZIG_VERBOSE_LINK: '1' });
  // Each is named a second time where it has to be compiled first.
  const named = said.split(/\s+/).filter((word) => /[\\/]lib(c\+\+|c\+\+abi|compiler_rt)\.a$/.test(word));
  const libraries = [...new Set(named)];
  if (libraries.length !== 3)
    throw new Error(`${target.name}: zig named these libraries: ${libraries.join(' ')}`);
  const flags = [
    ...['-arch', target.arch === 'x64' ? 'x86_64' : target.arch],
    ...['-platform_version', 'macos', oldestMacos, oldestMacos],
    ...['-dylib', '-install_name', 'hawser.node'],
    // What Node.js has is looked up in it when the addon is loaded.
    ...['-undefined', 'dynamic_lookup'],
    ...exportedFunctions.flatMap((name) => ['-exported_symbol', `_${name}`]),
    ...['-dead_strip', '-S', '-x', '--icf=safe', '-adhoc_codesign'],
  ];
  const system = join(zigLibraries, 'libc', 'darwin', 'libSystem.tbd');
  await must(
    target,
    [machLinker() ?? 'ld64.lld', ...flags, '-o', output, ...inputs, ...libraries, system],
    env,
  );
}

/** @type {Record<Target['platform'], Linker>} */
export const linkers = { linux: linkForLinux, darwin: linkForMacos, win32: linkForWindows };
