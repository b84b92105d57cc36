// The few lines of C that belong to a target rather than to the addon.
import { join } from 'node:path';
import { root, run } from '../lib/process.mjs';
import { toolsFor } from './toolchain.mjs';

/**
 * Compiles a file of this folder.
 *
 * @param {import('./targets.mjs').Target} target
 * @param {string} name
 * @param {string} folder for what is made
 * @returns {Promise<string>} the object
 */
export async function compileSupport(target, name, folder) {
  const { cc, env } = toolsFor(target);
  const [compiler, ...options] = cc;
  const object = join(folder, `${name}.o`);
  const flags = [
    '-O2',
    '-Wall',
    '-Wextra',
    '-fvisibility=hidden',
    ...(target.platform === 'win32' ? [] : ['-fPIC']),
  ];
  const source = join(root, 'scripts', 'prebuild', name);
  const { code, output } = await run(compiler, [...options, ...flags, '-c', source, '-o', object], { env });
  if (code !== 0) throw new Error(`${target.name}: ${name}: ${output.trimEnd()}`);
  return object;
}
