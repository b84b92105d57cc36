// The two ways of bundling that docs/install.md describes.
import { cpSync, mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { build } from 'esbuild';
import { copyInstalled, expectOutput, packageIn, prebuildName, runAlone } from './context.mjs';

/** @typedef {import('./context.mjs').Context} Context */

/** What every bundle of these is. */
const common = /** @type {const} */ ({
  bundle: true,
  platform: 'node',
  format: 'esm',
  target: 'node20',
  logLevel: 'silent',
});

/** @param {Context} context */
async function staysOutside(context) {
  const project = copyInstalled(context, 'bundle-outside', 'app.mjs', 'exchange.mjs');
  const outfile = join(project, 'out', 'app.mjs');
  const entryPoints = [join(project, 'app.mjs')];
  await build({ ...common, entryPoints, outfile, external: ['hawser', 'hawser/*'] });
  expectOutput(await runAlone('node', [outfile], context, context.folder), 'bundled\n');
}

/** @param {Context} context */
async function carriesAddon(context) {
  const project = copyInstalled(context, 'bundle-inside', 'app-with-addon.mjs', 'exchange.mjs');
  const alone = join(context.folder, 'bundle');
  mkdirSync(alone);
  const outfile = join(alone, 'app.mjs');
  const entryPoints = [join(project, 'app-with-addon.mjs')];
  const external = ['lmdb', 'etcd3', 'prom-client', '@opentelemetry/api'];
  await build({ ...common, entryPoints, outfile, external });
  const run = () => runAlone('node', [outfile], context, alone);
  const without = await run();
  if (!/ADDON_MISSING|HAWSER_ADDON/.test(without.output)) throw new Error(without.output);
  cpSync(join(packageIn(context.installed), prebuildName()), join(alone, 'hawser.node'));
  expectOutput(await run(), 'bundled\n');
}

/** @type {{title: string, run: (context: Context) => unknown}[]} */
export const bundleChecks = [
  { title: 'a bundle by esbuild with hawser left outside', run: staysOutside },
  {
    title: 'a bundle by esbuild with hawser inside and the addon beside it, without node_modules',
    run: carriesAddon,
  },
];
