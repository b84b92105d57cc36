// The declarations of the installed package, as the compiler of a user reads them: all of them, not only what is used.
import { cpSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { root, run } from '../../scripts/lib/process.mjs';
import { addPrograms, expectOutput } from './context.mjs';

/** @typedef {import('./context.mjs').Context} Context */

const settings = {
  'node16, as Node.js resolves': { module: 'node16', moduleResolution: 'node16' },
  'bundler, as bundlers resolve': { module: 'esnext', moduleResolution: 'bundler' },
};

/** @param {Context} context @param {{module: string, moduleResolution: string}} resolution */
async function compiles({ installed }, resolution) {
  // lmdb is optional, and declarations of ours name it; its own do not stand a check of libraries.
  addPrograms(installed, 'typed.ts', 'lmdb-types.d.ts');
  const types = ['@types/node', 'undici-types'];
  for (const name of types) {
    cpSync(join(root, 'node_modules', name), join(installed, 'node_modules', name), {
      recursive: true,
    });
  }
  const config = join(installed, `tsconfig.${resolution.moduleResolution}.json`);
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
  writeFileSync(config, JSON.stringify({ compilerOptions, files: ['typed.ts', 'lmdb-types.d.ts'] }));
  const tsc = join(root, 'node_modules', 'typescript', 'bin', 'tsc');
  expectOutput(await run(process.execPath, [tsc, '-p', config], { cwd: installed }), '');
}

/** @type {{title: string, run: (context: Context) => unknown}[]} */
export const typeChecks = Object.entries(settings).map(([name, resolution]) => ({
  title: `TypeScript compiles a program that uses every entry point: ${name}`,
  run: (context) => compiles(context, resolution),
}));
