// The stages of `npm test`. Each returns how many checks passed, failed and were skipped; a stage that finds nothing
// to run is for test.mjs to call a failure. With the counts come `failures`, what failed and why.
import { existsSync, mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { installChecks } from '../../test/install/checks.mjs';
import { majors, prepare } from '../../test/install/context.mjs';
import { checkSources } from '../native-sources.mjs';
import { collectAddonSource } from '../prepack.mjs';
import { clangTidy } from './clang-tidy.mjs';
import { doctestFailures, essence } from './failures.mjs';
import { biome, clangFormat } from './format.mjs';
import { buildPreset, fuzzTargets, runFuzzer } from './native.mjs';
import { lockFileProblems, packageProblems } from './package.mjs';
import { eachParallel, jobs, root, run, runBin, runNpm } from './process.mjs';

/** Adds up checks; shows the output of those that fail only. */
class Tally {
  passed = 0;
  failed = 0;
  skipped = 0;
  /** @type {import('./failures.mjs').Failure[]} */
  failures = [];

  /** @param {string} title @param {{code: number, output: string}} result */
  check(title, { code, output }) {
    console.log(`${code === 0 ? 'ok' : 'FAILED'}  ${title}`);
    if (code === 0) {
      this.passed += 1;
      return;
    }
    this.failed += 1;
    this.failures.push({ name: title, message: essence(output) });
    console.error(output.trimEnd());
  }

  /** @param {string} title @param {string[]} problems */
  expectNone(title, problems) {
    this.check(title, { code: problems.length > 0 ? 1 : 0, output: problems.join('\n') });
  }
}

async function lint() {
  const tally = new Tally();
  tally.expectNone('native/sources.json names every source', checkSources());
  tally.expectNone('package-lock.json is complete', lockFileProblems());
  tally.check('biome', await biome(false));
  tally.check('clang-format', await clangFormat(false));
  return tally;
}

async function tidy({ deep }) {
  const tally = new Tally();
  // As the fuzzers, beside the tests of the stage behind it.
  const { files, checked, ...result } = await clangTidy({ yielding: !deep });
  tally.check(`clang-tidy: ${files} files, ${checked} changed since they last passed`, result);
  return tally;
}

async function types() {
  const tally = new Tally();
  const projects = [
    ['test, examples, bench', ['-p', 'tsconfig.test.json']],
    ['src', ['-p', 'tsconfig.json', '--noEmit']],
    ['dashboard', ['-p', 'dashboard']],
  ];
  await eachParallel(projects, jobs, async ([title, args]) => tally.check(title, await runBin('tsc', args)));
  return tally;
}

/**
 * The tests that this run has seen pass, by name: what the conformance stage goes by.
 *
 * @type {{native?: Set<string>, vitest?: Set<string>}}
 */
const proven = {};

/** The names of the native tests; the cases of a template share one. */
async function nativeTests(preset) {
  const { output } = await run(join('build-cmake', preset, 'hawser_tests'), ['--list-test-cases']);
  const names = output.split('\n').filter((line) => line !== '' && !/^(\[doctest\]|=+$)/.test(line));
  return names.map((name) => name.replace(/<.*>$/, ''));
}

/** The output of ctest with the lines of each test behind each other: those that ran at a time are mixed. */
function sortedByTest(output) {
  const numberOf = (line) => Number(/^(\d+): /.exec(line)?.[1] ?? 0);
  return output
    .split('\n')
    .sort((a, b) => numberOf(a) - numberOf(b))
    .join('\n');
}

/** Native tests of one sanitizer preset, by ctest: doctest's summaries say how many each part ran, any other test is one. */
async function unitTests(tally, preset) {
  const built = await buildPreset(preset);
  if (built.code !== 0) {
    tally.check(`build (${preset})`, built);
    return;
  }
  // Without an llvm-symbolizer, clang's report names lines with what the linker came with.
  const env = { ASAN_OPTIONS: process.env.ASAN_OPTIONS ?? 'allow_addr2line=1' };
  const folder = join('build-cmake', preset);
  const args = ['--test-dir', folder, '--verbose', '--no-tests=error', '--parallel', String(jobs)];
  const { code, output: mixed } = await run('ctest', args, { env });
  const output = sortedByTest(mixed);
  const all = await nativeTests(preset);
  const counts = { passed: 0, failed: 0, skipped: 0 };
  /** @type {import('./failures.mjs').Failure[]} */
  const failures = [];
  const tests = /^ *\d+\/\d+ Test +#(\d+): (\S+) \.+([^\d\n]*)/gm;
  for (const [, number, name, ending] of output.matchAll(tests)) {
    const passed = ending.trim() === 'Passed';
    if (name.startsWith('hawser_tests_')) continue;
    counts[passed ? 'passed' : 'failed'] += 1;
    if (passed) continue;
    const lines = output.split('\n').filter((line) => line.startsWith(`${number}: `));
    failures.push({ name, message: essence(lines.join('\n')) });
  }
  const summaries = [...output.matchAll(/test cases:\s+\d+ \|\s+(\d+) passed \|\s+(\d+) failed/g)];
  let ran = 0;
  for (const [, passed, failed] of summaries) {
    counts.passed += Number(passed);
    counts.failed += Number(failed);
    ran += Number(passed) + Number(failed);
  }
  // A sanitizer's report ends the process: then there is no summary, or one without failures.
  if (code !== 0 && counts.failed === 0) counts.failed = 1;
  // What is in no part, or was behind the end of one.
  counts.skipped += Math.max(0, all.length - ran);
  for (const kind of Object.keys(counts)) tally[kind] += counts[kind];
  failures.push(...doctestFailures(output));
  if (code !== 0 && (ran < all.length || failures.length === 0)) {
    failures.push({ name: 'the test program', message: essence(output) });
  }
  for (const { name, message } of failures) tally.failures.push({ name: `${preset}: ${name}`, message });
  console.log(
    `${counts.failed === 0 ? 'ok' : 'FAILED'}  ${preset}: ${counts.passed} passed, ${counts.failed} failed`,
  );
  if (code !== 0) console.error(output.trimEnd());
  const failed = [...output.matchAll(/TEST CASE: +(.+?)(?:<.*>)?$/gm)].map(([, name]) => name);
  const before = proven.native;
  const isComplete = ran >= all.length;
  const passed = (name) =>
    isComplete && (before?.has(name) ?? true) && (code === 0 || !failed.includes(name));
  proven.native = new Set(all.filter(passed));
}

/** The native tests in which threads meet, under ThreadSanitizer. */
async function threadTests(tally) {
  const target = 'hawser_thread_tests';
  const built = await buildPreset('tsan', target);
  // The long ones, of one thread each, are for the deep form.
  const args = ['--test-case-exclude=*agrees with a map*'];
  tally.check(
    'tests with threads (tsan)',
    built.code === 0 ? await run(join('build-cmake', 'tsan', target), args) : built,
  );
}

async function native({ deep }) {
  const tally = new Tally();
  if (deep) {
    await unitTests(tally, 'asan');
    await unitTests(tally, 'tsan');
    return tally;
  }
  await buildPreset('asan');
  // The unit tests leave a processor idle where they wait, and at their end.
  await Promise.all([unitTests(tally, 'asan'), threadTests(tally)]);
  return tally;
}

async function fuzz({ deep }) {
  const tally = new Tally();
  const targets = fuzzTargets();
  // Beside the tests of the stage behind it, which wait more than they work.
  const options = { yielding: !deep };
  const built = await buildPreset('fuzz', 'all', options);
  if (built.code !== 0) {
    tally.check('build (fuzz)', built);
    return tally;
  }
  // All targets share 20 s of wall clock; the long form gives ten minutes to each.
  const seconds = deep
    ? 600
    : Math.max(2, Math.min(10, Math.floor((20 * jobs) / Math.max(1, targets.length))));
  await eachParallel(targets, jobs, async (target) => {
    tally.check(`${target}, ${seconds} s`, await runFuzzer(target, seconds, options));
  });
  return tally;
}

/** Attacks take a whole processor, which tests next to them would lack. */
const attackFolder = 'test/attacks';

/** @param {{signal?: AbortSignal}} [options] `signal` ends vitest and what its tests have started */
export async function vitest({ signal } = {}) {
  const { tests, ...result } = await runVitest(['--exclude', `${attackFolder}/**`], signal);
  proven.vitest = new Set(tests.map(({ name }) => name));
  for (const { name, passed } of tests) if (!passed) proven.vitest.delete(name);
  return result;
}

async function attacks() {
  return runVitest(['--no-file-parallelism', attackFolder]);
}

/**
 * @param {string[]} selection arguments that say which tests run
 * @param {AbortSignal} [signal]
 */
async function runVitest(selection, signal) {
  const report = join(root, 'build-cmake', 'vitest.json');
  mkdirSync(join(root, 'build-cmake'), { recursive: true });
  const failuresFile = join(root, 'build-cmake', 'vitest-failures.json');
  for (const file of [report, failuresFile]) rmSync(file, { force: true });
  const reporters = ['default', 'json', './scripts/lib/vitest-failures.mjs'].map(
    (name) => `--reporter=${name}`,
  );
  const args = ['run', ...selection, ...reporters, `--outputFile.json=${report}`];
  const { code, output } = await runBin('vitest', args, {
    show: true,
    env: { HAWSER_VITEST_FAILURES: failuresFile },
    ...(signal && { signal }),
  });
  const failures = existsSync(failuresFile) ? JSON.parse(readFileSync(failuresFile, 'utf8')) : [];
  if (code !== 0 && failures.length === 0) failures.push({ name: 'vitest', message: essence(output) });
  if (!existsSync(report)) return { passed: 0, failed: 1, skipped: 0, failures, tests: [] };
  const counts = JSON.parse(readFileSync(report, 'utf8'));
  // A file that does not load, or an error outside every test, fails the run without failing a test.
  const failed = code === 0 ? counts.numFailedTests : Math.max(counts.numFailedTests, 1);
  // A suite has passed when all of its tests have.
  const tests = counts.testResults.flatMap(({ assertionResults }) =>
    assertionResults.flatMap(({ ancestorTitles, title, status }) => {
      const names = [...ancestorTitles, title];
      return names.map((_, index) => ({
        name: names.slice(0, index + 1).join(' > '),
        passed: status === 'passed',
      }));
    }),
  );
  const skipped = counts.numPendingTests + counts.numTodoTests;
  return { passed: counts.numPassedTests, failed, skipped, failures, tests };
}

/** Rows of a table about lines of a document that name neither a test nor a deviation. */
function unprovenRows(page) {
  const rows = page.split('\n').filter((line) => /^\| (?!line \||-)/.test(line));
  return rows.filter((row) => !/`(native|vitest): |\[D\d+\]/.test(row.split(' | ').at(-1) ?? ''));
}

/** Every test that docs/conformance/ names must have run and passed, and in this very run. */
async function conformance() {
  const tally = new Tally();
  if (proven.native === undefined || proven.vitest === undefined) {
    const how = 'npm test -- --only native,vitest,conformance';
    tally.expectNone('tests of this run', [
      `run the native and the vitest stage first, in the same run: ${how}`,
    ]);
    return tally;
  }
  const folder = join(root, 'docs', 'conformance');
  for (const file of readdirSync(folder).filter((name) => name.endsWith('.md'))) {
    const page = readFileSync(join(folder, file), 'utf8');
    tally.expectNone(`${file}: each line has a test or a deviation`, unprovenRows(page));
    const named = new Set([...page.matchAll(/`((?:native|vitest): [^`]+)`/g)].map(([, name]) => name));
    for (const name of named) {
      const [stage, test] = [name.slice(0, 6), name.slice(8)];
      const problems = proven[stage].has(test) ? [] : ['no test of that name ran and passed in this run'];
      tally.expectNone(`${file}: ${name}`, problems);
    }
  }
  return tally;
}

async function packaged() {
  const tally = new Tally();
  const folder = mkdtempSync(join(tmpdir(), 'hawser-pack-'));
  try {
    // What npm's prepack does, for which scripts would have to run: theirs is printed among the JSON.
    collectAddonSource();
    const packed = await runNpm([
      'pack',
      '--json',
      '--ignore-scripts',
      '--silent',
      '--pack-destination',
      folder,
    ]);
    if (packed.code !== 0) {
      tally.check('npm pack', packed);
      return tally;
    }
    const [{ filename, files, size }] = JSON.parse(packed.output.slice(packed.output.indexOf('[')));
    const tarball = join(folder, filename);
    tally.expectNone(
      'contents of the tarball',
      packageProblems(
        files.map(({ path }) => path),
        size,
      ),
    );
    const prebuilds = files.filter(({ path }) => path.endsWith('.node')).length;
    console.log(`the tarball has ${(size / 2 ** 20).toFixed(2)} MiB, with ${prebuilds} prebuilt addons`);
    tally.check('publint', await runBin('publint', ['run', '--strict', tarball]));
    tally.check('arethetypeswrong', await runBin('attw', [tarball, '--profile', 'esm-only', '--no-emoji']));
  } finally {
    rmSync(folder, { recursive: true });
  }
  return tally;
}

/** What a user has after `npm install` of the tarball. */
async function install({ deep }) {
  const tally = new Tally();
  const context = await prepare();
  try {
    console.log(`npm install of the tarball took ${context.installSeconds.toFixed(1)} s`);
    console.log(`its addon for this machine: ${context.addon}`);
    for (const major of majors.filter((each) => !context.nodes.some((node) => node.major === each))) {
      console.log(`skipped  Node.js ${major}: there is none here`);
      tally.skipped += 1;
    }
    const checks = installChecks.filter((check) => deep || check.deep !== true);
    await eachParallel(checks, jobs, async (check) => {
      const output = await failureOf(() => check.run(context));
      tally.check(check.title, { code: output === undefined ? 0 : 1, output: output ?? '' });
    });
  } finally {
    rmSync(context.folder, { recursive: true });
  }
  return tally;
}

/** What a function throws, as text. */
async function failureOf(work) {
  try {
    await work();
    return undefined;
  } catch (error) {
    return error.stack ?? String(error);
  }
}

export const stages = [
  { name: 'lint', title: 'sources and format', run: lint },
  { name: 'types', title: 'tsc over src, test, examples and bench', run: types, besideNext: true },
  {
    name: 'native',
    title: 'unit tests under AddressSanitizer, those with threads under ThreadSanitizer',
    run: native,
  },
  { name: 'tidy', title: 'clang-tidy', run: tidy, besideNext: true },
  { name: 'fuzz', title: 'every fuzzer for a short while', run: fuzz, besideNext: true },
  { name: 'vitest', title: 'TypeScript, simulation, interoperation and examples', run: vitest },
  { name: 'attacks', title: 'short attacks on a real gateway with honest peers', run: attacks },
  { name: 'conformance', title: 'every test that docs/conformance names has passed', run: conformance },
  { name: 'package', title: 'what npm would publish', run: packaged },
  { name: 'install', title: 'what a user has after npm install of it', run: install },
];
