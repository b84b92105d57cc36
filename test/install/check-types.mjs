// The declarations of the installed package, as the compiler of a user reads them: all of them, not only what is used.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from '../../scripts/lib/process.mjs';
import { copyInstalled, expectOutput } from './context.mjs';

/** @typedef {import('./context.mjs').Context} Context */

const settings = {
  'node16, as Node.js resolves': { module: 'node16', moduleResolution: 'node16' },
  'bundler, as bundlers resolve': { module: 'esnext', moduleResolution: 'bundler' },
};

/** @param {Context} context @param {{module: string, moduleResolution: string}} resolution */
async function compiles(context, resolution) {
  // lmdb is optional, and declarations of ours name it; its own do not stand a check of libraries.
  const name = `types-${resolution.moduleResolution}`;
  const project = copyInstalled(context, name, 'typed.ts', 'lmdb-types.d.ts');
  for (const types of ['@types/node', 'undici-types']) {
    cpSync(join(root, 'node_modules', types), join(project, 'node_modules', types), { recursive: true });
  }
  const compilerOptions = {
    ...resolution,
    target: 'es2022',
    lib: ['es2023', 'esnext.disposable'],
    types: ['node'],
    strict: true,
    exactOptionalPropertyTypes: true,
    noEmit: true,
    skipLibCheck: false,
  };
  const config = { compilerOptions, files: ['typed.ts', 'lmdb-types.d.ts'] };
  writeFileSync(join(project, 'tsconfig.json'), JSON.stringify(config));
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  expectOutput(await run(process.execPath, [tsc], { cwd: project }), '');
}

/** @type {{title: string, run: (context: Context) => unknown}[]} */
export const typeChecks = Object.entries(settings).map(([name, resolution]) => ({
  title: `TypeScript compiles a program that uses every entry point: ${name}`,
  run: (context) => compiles(context, resolution),
}));
