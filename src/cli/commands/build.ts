import { existsSync } from 'node:fs';
import { availableParallelism } from 'node:os';
import { join, resolve } from 'node:path';
import { platformText } from '../../transport/addon-errors.js';
import { addonVariable, packageRoot } from '../../transport/load-addon.js';
import { buildAddon } from '../build-addon.js';
import { findNodeGyp } from '../build-node-gyp.js';
import { type BuildTools, findBuildTools, headersPrefix } from '../build-tools.js';
import { type Command, defineCommand } from '../command.js';
import { CommandError, exitCodes } from '../errors.js';
import { showLive } from '../live-view.js';
import { flag, integer, optional, text, type Values } from '../options.js';
import { watchSignals } from '../signals.js';
import { bar, type Paint, painter, printable } from '../terminal.js';

const options = {
  out: optional(
    text('DIR'),
    'put hawser.node into this folder instead of the package (build/Release); HAWSER_ADDON then names it',
  ),
  jobs: optional(integer(1, 1024), 'files to compile at a time (default: one per processor)'),
  check: flag('only look whether all that compiling needs is there'),
  clean: flag('compile everything, also what an earlier run left'),
};

export const build: Command = defineCommand({
  name: 'build',
  summary: 'compiles the native addon, where no prebuilt one fits',
  details: [
    'It needs a compiler for C++20, make, Python 3 and libsodium, and says what to type where one is missing. A local build goes before a prebuilt addon, and lasts until the package is installed again.',
    'A run that was interrupted, or failed, goes on where it was.',
  ],
  options,
  run,
});

async function run({ out, jobs, check, clean }: Values<typeof options>): Promise<number> {
  const { root, source } = packageFolders();
  print(`hawser build for ${platformText()}`);
  const found = await findBuildTools(source, process.env);
  const nodeGyp = findNodeGyp(process.env);
  const headers = headersPrefix() ?? 'fetched by node-gyp from nodejs.org, unless it has them';
  showTools(found, [
    ['node-gyp', nodeGyp.from],
    ['headers', headers],
  ]);
  if (found.tools.some((tool) => tool.found === undefined)) throw missing(found);
  if (check) return exitCodes.ok;

  const target = out === undefined ? join(root, 'build', 'Release') : resolve(out);
  const interruption = watchSignals();
  const { signal } = interruption;
  const { compiler } = found;
  const progress = showProgress();
  const started = performance.now();
  try {
    const path = await buildAddon({
      ...{ root, source, target, compiler, nodeGyp, clean, signal },
      jobs: jobs ?? availableParallelism(),
      onProgress: progress.show,
    });
    progress.end();
    print(`built ${printable(path)} in ${Math.round((performance.now() - started) / 1000)} s`);
    if (out !== undefined)
      print(`set ${addonVariable}=${printable(path)} for every process that uses hawser`);
    return exitCodes.ok;
  } catch (error) {
    progress.end();
    if (!signal.aborted) throw error;
    print('interrupted; run it again to go on');
    return exitCodes.interrupted;
  } finally {
    interruption.dispose();
  }
}

/** Where the package is, and the sources in it. */
function packageFolders(): { readonly root: string; readonly source: string } {
  const root = packageRoot();
  if (root === undefined) throw new CommandError('this is not run from the installed package');
  if (existsSync(join(root, 'binding.gyp')))
    throw new CommandError('this is a clone of the repository: "npm run setup" compiles its addon');
  const source = join(root, 'addon-source');
  if (existsSync(source)) return { root, source };
  throw new CommandError(`${printable(source)} is missing: install hawser again`);
}

function showTools({ tools }: BuildTools, others: readonly (readonly [string, string])[]): void {
  const paint = painter(process.stdout);
  const rows = [...tools.map(({ name, found }) => [name, found] as const), ...others];
  for (const [name, found] of rows) {
    const status = found === undefined ? paint('red', 'fail') : paint('green', 'ok  ');
    print(`${status}  ${name.padEnd(14)}  ${printable(found ?? 'not found')}`);
  }
}

function missing({ tools, remedy }: BuildTools): CommandError {
  const names = tools.flatMap(({ name, found }) => (found === undefined ? [name] : []));
  const how = remedy === undefined ? "install it with this system's package manager" : `type: ${remedy}`;
  return new CommandError(`missing: ${names.join(', ')}; ${how}`);
}

/** How far compiling is: a bar on a terminal, elsewhere a line for every tenth file. */
interface ProgressView {
  show(done: number, total: number): void;
  end(): void;
}

const barColumns = 30;
const linesEvery = 10;

function showProgress(): ProgressView {
  if (process.stdout.isTTY) return showBar();
  let shown = 0;
  return {
    show: (done, total) => {
      if (done < shown + linesEvery) return;
      shown = done;
      print(progressText(done, total));
    },
    end: () => undefined,
  };
}

function showBar(): ProgressView {
  let now: readonly [done: number, total: number] = [0, 0];
  const lines = (paint: Paint): string[] => {
    const [done, total] = now;
    const { full, empty } = bar(total === 0 ? 0 : done / total, barColumns);
    return [`${paint('green', full)}${empty} ${progressText(done, total)}`];
  };
  const view = showLive({ lines, line: () => progressText(...now) }, 100);
  return { show: (done, total) => (now = [done, total]), end: view.end };
}

function progressText(done: number, total: number): string {
  return total === 0 ? 'configuring' : `compiled ${done} of ${total} files`;
}

function print(line: string): void {
  process.stdout.write(`${line}\n`);
}
