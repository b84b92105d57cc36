// Makes the addon for every platform that is served, on one Linux machine, and checks each.
import { parseArgs } from 'node:util';
import { jobs } from './lib/process.mjs';
import { makePrebuilds } from './prebuild/make.mjs';
import { chooseTargets, targets } from './prebuild/targets.mjs';
import { missingTools, unsuitableHost } from './prebuild/toolchain.mjs';

const help = `npm run prebuild -- [--only target,target] [--jobs N] [--force]

Makes prebuilds/ for: ${targets.map(({ name }) => name).join(', ')}.

  --only TARGETS  these alone, comma-separated
  --jobs N        how many compilers run at a time (as many as there are processors: ${jobs})
  --force         make again what is there and current
  --help          this text

What is there and made from the same files by the same tools stays as it is, so that a run that was interrupted goes on
where it was. Before that, npm sees to it that the compilers are there; node scripts/prebuild.mjs does not.
docs/prebuilds.md has the details; node scripts/prebuild/try.mjs runs what can be run here.
`;

/** @returns {Promise<number>} the code that the process ends with: 2 for a wrong command line, 1 when something failed */
async function main() {
  let values;
  let chosen;
  try {
    ({ values } = parseArgs({
      options: {
        only: { type: 'string' },
        jobs: { type: 'string', default: String(jobs) },
        force: { type: 'boolean', default: false },
        help: { type: 'boolean', default: false },
      },
    }));
    chosen = chooseTargets(values.only);
    if (!/^[1-9]\d{0,2}$/.test(values.jobs)) throw new Error(`--jobs ${values.jobs}: a number from 1 to 999`);
  } catch (error) {
    console.error(`prebuild: ${error.message}\n\n${help}`);
    return 2;
  }
  if (values.help) {
    console.log(help);
    return 0;
  }
  const unsuitable = unsuitableHost();
  const obstacles =
    unsuitable === undefined ? missingTools(chosen).map((tool) => `missing: ${tool}`) : [unsuitable];
  for (const line of obstacles) console.error(`prebuild: ${line}`);
  if (obstacles.length > 0) return 1;
  return makePrebuilds(chosen, { jobs: Number(values.jobs), force: values.force });
}

process.exitCode = await main();
