// Which node-gyp `hawser build` runs: the copy that npm brings, so that nothing has to be fetched, else the one of the registry.

import { existsSync, realpathSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { findProgram } from './build-tools.js';

/** How node-gyp is started: a program, and what goes before node-gyp's own arguments. */
export interface NodeGyp {
  readonly program: string;
  readonly args: readonly string[];
  /** For people. */
  readonly from: string;
}

/** Of the registry: the version that the package is tested with. */
const wanted = 'node-gyp@12.4.0';

/** @param env the environment whose PATH is searched, and whose `npm_execpath` names the npm that started us, if one did. */
export function findNodeGyp(env: NodeJS.ProcessEnv): NodeGyp {
  const npm = npmFolders(env).find((folder) => existsSync(gypOf(folder)));
  if (npm !== undefined) return { program: process.execPath, args: [gypOf(npm)], from: `npm's own, ${npm}` };
  return { program: 'npx', args: ['--yes', wanted], from: `${wanted}, through npx` };
}

function gypOf(npm: string): string {
  return join(npm, 'node_modules', 'node-gyp', 'bin', 'node-gyp.js');
}

/** Where npm may be: the one that runs us, the one in PATH, the one that came with Node.js. */
function npmFolders(env: NodeJS.ProcessEnv): string[] {
  const prefix = dirname(process.execPath);
  const scripts = [env.npm_execpath, findProgram('npm', env)].filter((file) => file !== undefined);
  const running = scripts
    .filter((file) => existsSync(file))
    .map((file) => dirname(dirname(realpathSync(file))));
  return [...running, join(prefix, '..', 'lib', 'node_modules', 'npm'), join(prefix, 'node_modules', 'npm')];
}
