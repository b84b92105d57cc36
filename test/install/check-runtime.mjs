// The installed package at work: on each version of Node.js, and where nothing of it can be written.
import assert from 'node:assert/strict';
import { chmodSync, copyFileSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../scripts/lib/process.mjs';
import { copyInstalled, expectOutput, findNodes, packageIn, runAlone } from './context.mjs';

/** @typedef {import('./context.mjs').Context} Context */

/**
 * Runs both programs, one as each kind of module.
 *
 * @param {Context} context
 * @param {Context['nodes'][number]} node
 */
async function worksOn(context, { major, path }) {
  const programs = ['every-entry.mjs', 'exchange.mjs', 'worker.mjs', 'required.cjs'];
  const project = copyInstalled(context, `works-${major}`, ...programs);
  for (const program of ['every-entry.mjs', 'required.cjs']) {
    const outcome = await runAlone(path, [program], context, project);
    expectOutput(outcome, new RegExp(`^ok v${major}\\.`, 'm'));
  }
}

const mebibyte = 1024 * 1024;

/**
 * What is opened and closed again and again leaves nothing behind: connections, gateways and clients, on the event loop and on I/O
 * threads. Collectors differ between versions.
 *
 * @param {Context} context
 * @param {Context['nodes'][number]} node
 */
async function leavesNothing(context, { major, path }) {
  const names = ['connection-memory.mjs', 'cycles.mjs'];
  const programs = names.map((name) => `../../transport/children/${name}`);
  const project = copyInstalled(context, `cycles-${major}`, ...programs);
  const threads = { server: { driver: 'threads', threads: 2 }, client: { driver: 'threads' } };
  for (const args of [
    ['connection-memory.mjs', '20', '200'],
    ['cycles.mjs', '200'],
    ...(process.platform === 'linux' ? [['cycles.mjs', '100', JSON.stringify(threads)]] : []),
  ]) {
    const { code, output } = await runAlone(path, ['--expose-gc', ...args], context, project);
    assert.equal(code, 0, output);
    const { grown } = JSON.parse(output);
    // One slab that is left each time would be 25 MiB or more.
    assert(
      grown.external < 4 * mebibyte,
      `${args.join(' ')}: external memory grew by ${grown.external} bytes`,
    );
    assert(grown.heapUsed < 4 * mebibyte, `${args.join(' ')}: the heap grew by ${grown.heapUsed} bytes`);
  }
}

/** @param {string} folder */
function makeReadOnly(folder) {
  for (const entry of readdirSync(folder, { recursive: true, withFileTypes: true })) {
    if (entry.isSymbolicLink()) continue;
    const file = join(entry.parentPath, entry.name);
    chmodSync(file, entry.isDirectory() || entry.name === 'main.js' ? 0o555 : 0o444);
  }
  chmodSync(folder, 0o555);
}

/** Modes mean nothing to root, so that there it must be somebody else. */
const asNobody =
  process.getuid?.() === 0 ? ['setpriv', '--reuid=65534', '--regid=65534', '--clear-groups'] : [];

/** @param {Context} context */
async function worksReadOnly(context) {
  const project = copyInstalled(context, 'read-only', 'every-entry.mjs', 'exchange.mjs', 'worker.mjs');
  // The one that runs this may be in a folder of root's.
  const node = join(context.folder, 'node');
  copyFileSync(process.execPath, node);
  makeReadOnly(project);
  const env = { TMPDIR: '/tmp', HOME: '/nonexistent' };
  const alone = (/** @type {string[]} */ ...args) => {
    const [program = node, ...rest] = [...asNobody, node, ...args];
    return run(program, rest, { cwd: project, env });
  };
  try {
    expectOutput(await alone('every-entry.mjs'), /^ok v/m);
    const main = join(packageIn(project), 'dist', 'cli', 'main.js');
    const { code, output } = await alone(main, 'build');
    assert.equal(code, 1, output);
    assert.match(
      output,
      /^hawser build: .*build\/Release cannot be written \(EACCES\): .* or give --out a folder that you may write$/m,
    );
  } finally {
    makeWritable(project);
  }
}

/** So that who made it can remove it. @param {string} folder */
function makeWritable(folder) {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true })) {
    if (entry.isDirectory()) makeWritable(join(folder, entry.name));
  }
}

/** @type {{title: string, run: (context: Context) => unknown}[]} */
export const runtimeChecks = [
  ...findNodes().map((node) => ({
    title: `Node.js ${node.major}: import, require(), a message over UDP, worker threads that end with a gateway open`,
    run: (/** @type {Context} */ context) => worksOn(context, node),
  })),
  ...findNodes().map((node) => ({
    title: `Node.js ${node.major}: connections, gateways and clients that are closed leave no memory behind`,
    run: (/** @type {Context} */ context) => leavesNothing(context, node),
  })),
  {
    title: 'a package that cannot be written works, for somebody else, and "hawser build" says what to do',
    run: worksReadOnly,
  },
];
