// Has a release write the stores, tokens and datagrams that later ones must understand: test/release/fixtures/VERSION.
//   node scripts/release/record-fixtures.mjs [PACKAGE]
// PACKAGE is the folder of an installed release, this repository by default. What is there already is not replaced: a
// fixture of a release never changes.
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { gzipSync } from 'node:zlib';
import { record } from '../../test/release/previous/conversation.mjs';
import { checkVisit } from '../../test/release/previous/expectations.mjs';
import { loadPackage } from '../../test/release/previous/package.mjs';
import { storeFolders } from '../../test/release/previous/recorded.mjs';
import { visitByProcesses } from '../../test/release/previous/visit.mjs';
import { root } from '../lib/process.mjs';

/** @param {string} package_ @param {string} target */
async function recordStores(package_, target) {
  const folder = mkdtempSync(join(tmpdir(), 'hawser-record-'));
  try {
    for (const name of ['gateway', 'client']) mkdirSync(join(folder, name));
    const visit = { number: 1, folder, gateway: package_, client: package_ };
    const { outcome, report } = await visitByProcesses(visit);
    checkVisit(visit.number, outcome, report);
    for (const store of storeFolders) {
      const file = join(target, `${store}.mdb.gz`);
      mkdirSync(dirname(file), { recursive: true });
      writeFileSync(file, gzipSync(readFileSync(join(folder, store, 'data.mdb')), { level: 9 }));
    }
    return outcome.snapshot;
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

/** @param {string} package_ the folder of the release */
async function main(package_) {
  const { version } = JSON.parse(readFileSync(join(package_, 'package.json'), 'utf8'));
  const target = join(root, 'test/release/fixtures', version);
  if (existsSync(target)) throw new Error(`${target} is there already: a fixture never changes`);
  const session = await recordStores(package_, target);
  const loaded = await loadPackage(package_);
  const conversations = [];
  for (const wire of /** @type {const} */ (['hawser', 'netcode'])) {
    conversations.push(await record(loaded, wire));
  }
  const made = { node: process.version, platform: process.platform, arch: process.arch };
  const recorded = { version, made, session, conversations };
  writeFileSync(join(target, 'recorded.json'), `${JSON.stringify(recorded, undefined, 2)}\n`);
  console.log(`${target}: recorded by ${version}`);
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await main(process.argv[2] ?? root);
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
