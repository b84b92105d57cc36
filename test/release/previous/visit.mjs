// A visit whose two ends are processes, each of the release that is asked for.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { join } from 'node:path';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';

const program = fileURLToPath(new URL('./process.mjs', import.meta.url));
/** Most of a visit is waiting: five seconds on a machine that has nothing else to do. */
const limitMs = 180_000;

/** @param {string[]} args */
function start(args) {
  const child = spawn(process.execPath, [program, ...args], {
    stdio: ['pipe', 'pipe', 'inherit'],
    timeout: limitMs,
  });
  const exited = once(child, 'exit');
  const lines = createInterface({ input: child.stdout })[Symbol.asyncIterator]();
  return {
    /** @returns {Promise<any>} the next thing that it says */
    async hear() {
      const { done, value } = await lines.next();
      if (done) throw new Error(`the ${args[0]} of ${args[1]} ended without a word`);
      return JSON.parse(value);
    },
    /** Ends its standard input. @returns {Promise<void>} once it has ended, well or not */
    async end() {
      child.stdin.end();
      await exited;
    },
    kill: () => child.kill('SIGKILL'),
  };
}

/**
 * @typedef {object} VisitPlan
 * @property {number} number 1 for the first one of these stores
 * @property {string} folder with the folders `gateway` and `client`, where their stores are
 * @property {string} gateway the package folder of its release
 * @property {string} client likewise
 * @property {import('../../../src/sessions/index.js').SessionSnapshot} [session] that of the visit before
 */

/**
 * @param {VisitPlan} plan
 * @returns {Promise<{outcome: import('./expectations.mjs').Outcome, report: import('./expectations.mjs').Report}>}
 */
export async function visitByProcesses({ number, folder, session, ...packages }) {
  const gateway = start(['gateway', packages.gateway, join(folder, 'gateway')]);
  try {
    const visit = { number, addresses: await gateway.hear(), folder: join(folder, 'client'), session };
    const client = start(['client', packages.client, JSON.stringify(visit)]);
    const outcome = await client.hear().finally(() => client.kill());
    const reported = gateway.hear();
    await gateway.end();
    return { outcome, report: await reported };
  } finally {
    gateway.kill();
  }
}
