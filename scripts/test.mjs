// npm test [-- --only stage,stage] [--deep]: every check of the project, in the order of how soon they tell. What
// failed is said again at the end. The last line is `N passed, N failed, N skipped`; a stage that could not run counts
// as failed.
import { parseArgs } from 'node:util';
import { failureLines } from './lib/failures.mjs';
import { stages } from './lib/stages.mjs';
import { omissions } from './lib/system.mjs';

const { values } = parseArgs({
  options: { only: { type: 'string' }, deep: { type: 'boolean', default: false } },
});
const wanted = values.only?.split(',');
const unknown = wanted?.filter((name) => !stages.some((stage) => stage.name === name)) ?? [];
if (unknown.length > 0) {
  console.error(
    `test: no stage ${unknown.join(', ')}; there are ${stages.map(({ name }) => name).join(', ')}`,
  );
  process.exit(2);
}
const deep = values.deep || process.env.HAWSER_TEST_DEEP === '1';
if (deep) {
  process.env.HAWSER_TEST_DEEP = '1';
  // Of the simulation in native/test; the other tests go by HAWSER_TEST_DEEP.
  process.env.HAWSER_SEEDS ??= '2000';
}

/** Runs a stage. @returns its result, with how long it took. */
async function runStage(stage) {
  console.log(`\n== ${stage.name}: ${stage.title}`);
  const started = performance.now();
  let result;
  try {
    result = await stage.run({ deep });
  } catch (error) {
    console.error(error);
    const failure = { name: 'the stage', message: error.stack };
    result = { passed: 0, failed: 1, skipped: 0, failures: [failure] };
  }
  return { stage, result, seconds: (performance.now() - started) / 1000 };
}

const total = { passed: 0, failed: 0, skipped: 0 };
const broken = [];
const failures = [];

function count({ stage, result, seconds }) {
  console.log(
    `-- ${stage.name}: ${result.passed} passed, ${result.failed} failed, ${result.skipped} skipped, ${seconds.toFixed(1)} s`,
  );
  for (const kind of Object.keys(total)) total[kind] += result[kind];
  if (result.failed > 0 || result.passed === 0) broken.push(stage.name);
  if (result.failed === 0 && result.passed === 0) {
    console.error(`${stage.name}: nothing ran`);
    total.failed += 1;
    failures.push({ name: stage.name, message: 'nothing ran' });
  }
  for (const { name, message } of result.failures) failures.push({ name: `${stage.name}: ${name}`, message });
}

/** Stages that run beside the next one. */
const beside = [];
for (const stage of stages) {
  if (wanted && !wanted.includes(stage.name)) continue;
  const running = runStage(stage);
  if (stage.besideNext && !deep) {
    beside.push(running);
    continue;
  }
  count(await running);
  for (const other of beside.splice(0)) count(await other);
}
for (const other of beside) count(await other);
if (broken.length > 0) {
  console.log(`\nfailed: ${broken.join(', ')}\n`);
  for (const line of failureLines(failures)) console.log(line);
}
if (total.skipped > 0) {
  for (const omission of await omissions('test')) console.error(`\nSKIPPED  ${omission}`);
}
console.log(`\n${total.passed} passed, ${total.failed} failed, ${total.skipped} skipped`);
process.exitCode = total.failed > 0 ? 1 : 0;
