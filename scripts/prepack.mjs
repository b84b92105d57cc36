// Puts what `hawser build` compiles into addon-source/, so that npm packs it: the native sources, the scripts that
// binding.gyp calls, and the headers of node-addon-api, which users do not install. npm runs this before it packs.
//
// binding.gyp has another name there, and is in a folder: npm runs node-gyp for a package that has one at its root.
import { cpSync, mkdirSync, rmSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));

/** What goes into addon-source/: from where in the repository, and under which name. */
const parts = [
  ['binding.gyp', 'addon.gyp'],
  ['native/sources.json'],
  ...['base', 'crypto', 'wire', 'engine', 'io', 'binding'].map((layer) => [`native/${layer}`]),
  ['scripts/libsodium.mjs'],
  ['scripts/native-sources.mjs'],
  ...['napi.h', 'napi-inl.h', 'napi-inl.deprecated.h', 'index.js', 'package.json', 'LICENSE.md'].map(
    (name) => [
      `node_modules/node-addon-api/${name}`,
      // npm leaves out every folder named node_modules.
      `node-addon-api/${name}`,
    ],
  ),
];

/** @param {string} [target] the folder to fill; what it held before is removed */
export function collectAddonSource(target = join(root, 'addon-source')) {
  rmSync(target, { recursive: true, force: true });
  for (const [from = '', to = from] of parts) {
    mkdirSync(dirname(join(target, to)), { recursive: true });
    cpSync(join(root, from), join(target, to), { recursive: true });
  }
}

if (import.meta.url === pathToFileURL(process.argv[1] ?? '').href) collectAddonSource();
