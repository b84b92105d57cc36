// An installation without a fitting addon: what is said, and that `hawser build` makes one.
import assert from 'node:assert/strict';
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { cpSync, existsSync, mkdirSync, readdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run } from '../../scripts/lib/process.mjs';
import {
  cleanEnvironment,
  copyInstalled,
  expectOutput,
  packageIn,
  prebuildName,
  runAlone,
} from './context.mjs';

/** @typedef {import('./context.mjs').Context} Context */

/** A copy of the installation without its prebuilds. @param {Context} context @param {string} name */
function withoutPrebuilds(context, name) {
  const project = copyInstalled(context, name, 'no-addon.mjs');
  rmSync(join(packageIn(project), 'prebuilds'), { recursive: true });
  return project;
}

const said = /^ERR_HAWSER_ADDON_MISSING: (.*)\n$/;
const platform = `${process.platform}-${process.arch} (`;

/** @param {Context} context */
async function saysWhatIsMissing(context) {
  const project = withoutPrebuilds(context, 'missing');
  const { code, output } = await runAlone('node', ['no-addon.mjs'], context, project);
  assert.equal(code, 0, output);
  const [, message = ''] = said.exec(output) ?? [];
  const parts = [
    platform,
    process.versions.node,
    join(packageIn(project), prebuildName()),
    '"npx hawser build"',
  ];
  for (const part of parts) assert(message.includes(part), `${part} is not in: ${output}`);
  const doctor = await runAlone('npx', ['hawser', 'doctor'], context, project);
  assert.equal(doctor.code, 1, doctor.output);
  assert.match(
    doctor.output,
    /^fail {2}addon +cannot be loaded\n +hawser has no native addon for .*"npx hawser build"$/m,
  );
}

/** @param {Context} context */
async function saysWhatIsBroken(context) {
  const project = withoutPrebuilds(context, 'broken');
  const file = join(packageIn(project), prebuildName());
  mkdirSync(join(file, '..'), { recursive: true });
  writeFileSync(file, 'not an addon');
  const { output } = await runAlone('node', ['no-addon.mjs'], context, project);
  const [, message = ''] = said.exec(output) ?? [];
  for (const part of [platform, file, 'cannot be loaded', 'it is damaged, or for another platform']) {
    assert(message.includes(part), `${part} is not in: ${output}`);
  }
}

/** @param {Context} context */
async function takesNamedFile(context) {
  const project = withoutPrebuilds(context, 'named');
  const file = join(context.folder, 'elsewhere.node');
  cpSync(join(packageIn(context.installed), prebuildName()), file);
  const listens = await runAlone('node', ['no-addon.mjs'], context, project, { HAWSER_ADDON: file });
  expectOutput(listens, 'listens\n');
}

/** @param {Context} context */
async function namesMissingTools(context) {
  const project = withoutPrebuilds(context, 'no-tools');
  const { code, output } = await runAlone('npx', ['hawser', 'build'], context, project);
  assert.equal(code, 1, output);
  assert.match(output, /^fail {2}C\+\+20 compiler +not found$/m);
  assert.match(output, /^hawser build: missing: C\+\+20 compiler, make, Python 3[;,]/m);
  assert(!existsSync(join(packageIn(project), 'build')), 'nothing is left behind');
}

/** Whether something has been compiled into a folder, or below it. @param {string} folder */
function hasObjects(folder) {
  if (!existsSync(folder)) return false;
  return readdirSync(folder, { recursive: true, encoding: 'utf8' }).some((name) => name.endsWith('.o'));
}

/**
 * Starts a program, and interrupts it as Ctrl-C does, with all that it has started, once it has compiled something.
 *
 * @param {string} program
 * @param {string[]} args
 * @param {{cwd: string, env: Record<string, string>, out: string}} options out: the folder that it compiles into
 * @returns {Promise<string>} what it printed
 */
async function interrupt(program, args, { cwd, env, out }) {
  const child = spawn(program, args, { cwd, env, detached: true, stdio: ['ignore', 'pipe', 'pipe'] });
  let output = '';
  for (const stream of [child.stdout, child.stderr]) {
    stream.setEncoding('utf8').on('data', (text) => {
      output += text;
    });
  }
  const ended = once(child, 'close');
  const looking = setInterval(() => {
    if (child.pid === undefined || !hasObjects(out)) return;
    clearInterval(looking);
    process.kill(-child.pid, 'SIGINT');
  }, 100);
  try {
    await ended;
  } finally {
    clearInterval(looking);
  }
  return output;
}

/** A real one, interrupted once, on the running Node.js and, as somebody with a folder of his own, on the newest. @param {Context} context */
async function compiles(context) {
  const project = withoutPrebuilds(context, 'built here');
  const main = join(packageIn(project), 'dist', 'cli', 'main.js');
  const env = cleanEnvironment(process.env.PATH ?? '');
  const newest = context.nodes.at(-1)?.path ?? process.execPath;
  const out = join(project, 'out');
  const heard = await interrupt(newest, [main, 'build', '--out', out], { cwd: project, env, out });
  assert.match(heard, /^interrupted; run it again to go on$/m);
  assert(hasObjects(out), 'what was compiled is kept');
  const again = await run(newest, [main, 'build', '--out', out], { cwd: project, env });
  expectOutput(
    again,
    /^built .*out\/hawser\.node in \d+ s\nset HAWSER_ADDON=.*out\/hawser\.node for every process that uses hawser$/m,
  );
  assert.deepEqual(readdirSync(out), ['hawser.node']);
  const HAWSER_ADDON = join(out, 'hawser.node');
  expectOutput(await runAlone('node', ['no-addon.mjs'], context, project, { HAWSER_ADDON }), 'listens\n');

  expectOutput(
    await run(process.execPath, [main, 'build'], { cwd: project, env }),
    /^built .*\/hawser\/build\/Release\/hawser\.node in/m,
  );
  expectOutput(await runAlone('node', ['no-addon.mjs'], context, project), 'listens\n');
}

/** @type {{title: string, deep?: boolean, run: (context: Context) => unknown}[]} */
export const addonChecks = [
  {
    title: 'without a prebuild, one message names platform, libc, place and "npx hawser build"',
    run: saysWhatIsMissing,
  },
  { title: 'a prebuild that does not load is named, with the cause', run: saysWhatIsBroken },
  { title: 'HAWSER_ADDON names another file', run: takesNamedFile },
  {
    title: 'hawser build without tools names those that are missing, and leaves nothing behind',
    run: namesMissingTools,
  },
  {
    title: 'hawser build compiles, goes on after an interruption, and what it made is loaded',
    deep: true,
    run: compiles,
  },
];
