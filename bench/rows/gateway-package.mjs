// What users get of the package, and how long it takes them.
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { targets } from '../../scripts/prebuild/targets.mjs';
import { faultOf, installPackage, packPackage, rivalPackage } from '../lib/package.mjs';
import { withScratch } from '../lib/scratch.mjs';
import { RivalUnavailable } from '../lib/unavailable.mjs';
import { gatewayGroup } from './row.mjs';

/** @typedef {import('../lib/package.mjs').Packed} Packed */

/**
 * @param {Packed} packed
 * @returns {string[]} the condition that was missed, if it was: a package without all prebuilds is not the one that users get
 */
export function prebuildFaults({ files }) {
  const absent = targets.filter(({ file }) => !files.some(({ path }) => path === `prebuilds/${file}`));
  const names = absent.map(({ name }) => name).join(', ');
  return absent.length === 0
    ? []
    : [`${targets.length - absent.length} of ${targets.length} prebuilds: ${names} missing`];
}

/** @type {import('./row.mjs').Row} */
const packed = {
  id: 'gateway-package',
  group: gatewayGroup,
  title: 'the package as npm packs it, with all prebuilds',
  unit: 'MiB',
  better: 'lower',
  rivals: [],
  exact: true,
  target: [{ is: 'atMost', value: 4 }],
  note: 'the tarball of `npm pack` of this tree. A figure counts only with the prebuilds of all targets in it: `npm run prebuild` makes them.',

  async measure() {
    return withScratch(async (folder) => {
      const all = await packPackage(folder);
      const prebuilds = all.files.filter(({ path }) => path.endsWith('.node'));
      return {
        value: all.bytes / 2 ** 20,
        details: {
          prebuilds: prebuilds.length,
          unpackedMiB: all.unpackedBytes / 2 ** 20,
          prebuildsUnpackedMiB: prebuilds.reduce((sum, { size }) => sum + size, 0) / 2 ** 20,
          files: all.files.length,
        },
        missed: prebuildFaults(all),
      };
    });
  },
};

// ---- Installing it -------------------------------------------------------------------------------------------------

/** What shows that an install works: a socket that is bound, of a package with an addon for this machine. */
const use = `
  import { Server } from 'hawser';
  import { generateKey } from 'hawser/token';
  const server = await Server.listen({ address: '127.0.0.1:0', protocolId: 1n, keys: [generateKey()] });
  await server.close();`;
const rivals = ['udx-native', 'node-datachannel'];
/** What has been installed once in this run: what it needs is in the cache of npm since then. @type {Set<string>} */
const cached = new Set();

/** @param {string} folder @param {string} name @param {object} manifest @returns {string} a folder with that package.json */
function makePackage(folder, name, manifest) {
  const project = join(folder, name);
  mkdirSync(project);
  writeFileSync(join(project, 'package.json'), JSON.stringify(manifest));
  return project;
}

/**
 * @param {string} folder
 * @param {string} contender
 * @param {import('./row.mjs').Size} size
 * @returns {Promise<{what: string, all: Packed | undefined}>} what to install; of ours also what is in it
 */
async function installable(folder, contender, size) {
  if (contender !== 'hawser') {
    if (size === 'smoke') throw new RivalUnavailable(`${contender} is installed for measuring only`);
    return { what: rivalPackage(contender), all: undefined };
  }
  const made = { name: 'hawser', version: '0.0.0', license: 'MIT' };
  // Whether the row runs is to be seen without a network, and without what ours depends on.
  const from = size === 'smoke' ? makePackage(folder, 'made-up', made) : undefined;
  const all = await packPackage(folder, from);
  return { what: all.file, all };
}

/** @type {import('./row.mjs').Row} */
const install = {
  id: 'gateway-install',
  group: gatewayGroup,
  title: '`npm install` of the packed package into an empty project, on a warm cache',
  unit: 's',
  better: 'lower',
  rivals,
  target: [{ is: 'atMost', value: 5 }],
  does: {
    hawser: { encrypted: true, reliable: true, note: 'five dependencies, none of them native' },
    'udx-native': { encrypted: false, reliable: true, note: 'prebuilds of its own, from the cache' },
    'node-datachannel': {
      encrypted: true,
      reliable: true,
      note: 'its binary is a package for each platform, from the cache',
    },
  },
  note: 'the whole `npm install`, `--offline` with what one install before has left in its cache, without its audit; `--ignore-scripts`, since none of them has a script to run. What was installed must bind a socket, where a prebuild for this machine is in it; a figure counts only with all prebuilds.',

  async measure(contender, size) {
    return withScratch(async (folder) => {
      const { what, all } = await installable(folder, contender, size);
      const fail = (/** @type {string} */ reason) =>
        contender === 'hawser' ? new Error(reason) : new RivalUnavailable(reason);
      const project = (/** @type {string} */ name) =>
        makePackage(folder, name, { private: true, type: 'module' });
      if (!cached.has(contender) && size !== 'smoke') {
        const { failure } = await installPackage(project('first'), what, '--prefer-offline');
        if (failure !== undefined) throw fail(failure);
        cached.add(contender);
      }
      const measured = project('measured');
      const { seconds, failure } = await installPackage(measured, what, '--offline');
      if (failure !== undefined) throw fail(failure);
      if (all === undefined || size === 'smoke') return { value: seconds };
      const missed = prebuildFaults(all);
      const fault = await faultOf(measured, use);
      if (fault !== undefined) {
        const why = fault.split('\n').find((line) => line.includes('Error')) ?? fault.trim();
        missed.push(`what was installed binds no socket: ${why}`);
      }
      return { value: seconds, missed };
    });
  },
};

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [packed, install];
