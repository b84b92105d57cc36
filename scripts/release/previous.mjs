// Tries this release and the one before it against each other, over real UDP: `npm run test:previous`.
//   node scripts/release/previous.mjs
// The same stores go through the hands of both: each opens what the other has written. test/release/previous has the programs.
import { mkdirSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { checkVisit } from '../../test/release/previous/expectations.mjs';
import { visitByProcesses } from '../../test/release/previous/visit.mjs';
import { root } from '../lib/process.mjs';
import { obtainPrevious, previousRelease } from './previous-package.mjs';

async function main() {
  const packages = { old: await obtainPrevious(), new: root };
  const pairs = /** @type {const} */ ([
    ['old', 'old'],
    ['new', 'old'],
    ['old', 'new'],
    ['new', 'new'],
  ]);
  const folder = mkdtempSync(join(tmpdir(), 'hawser-previous-'));
  try {
    for (const name of ['gateway', 'client']) mkdirSync(join(folder, name));
    let session;
    for (const [index, [gateway, client]] of pairs.entries()) {
      const started = performance.now();
      const visit = {
        number: index + 1,
        folder,
        gateway: packages[gateway],
        client: packages[client],
        session,
      };
      const { outcome, report } = await visitByProcesses(visit);
      checkVisit(visit.number, outcome, report);
      session = outcome.snapshot;
      const seconds = ((performance.now() - started) / 1000).toFixed(1);
      console.log(`ok  ${gateway} gateway, ${client} client: ${seconds} s`);
    }
    console.log(
      `this release and ${previousRelease().version} understand each other, and each other's stores`,
    );
  } finally {
    rmSync(folder, { recursive: true, force: true });
  }
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  try {
    await main();
  } catch (error) {
    console.error(error instanceof Error ? error.message : error);
    process.exitCode = 1;
  }
}
