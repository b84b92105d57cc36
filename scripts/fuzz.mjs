// npm run fuzz [-- target ...] [--seconds N]: runs the fuzzers one after the other, ten minutes each unless told.
import { parseArgs } from 'node:util';
import { buildPreset, fuzzTargets, runFuzzer } from './lib/native.mjs';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '600' } },
});
const seconds = Number(values.seconds);
const known = fuzzTargets();
const wanted = positionals.map((name) => (name.endsWith('_fuzz') ? name : `${name}_fuzz`));
const unknown = wanted.filter((name) => !known.includes(name));

if (!Number.isInteger(seconds) || seconds < 1) {
  console.error(`fuzz: --seconds ${values.seconds}: say a whole number of at least 1`);
  process.exitCode = 2;
} else if (unknown.length > 0) {
  console.error(`fuzz: no target ${unknown.join(', ')}; there are ${known.join(', ')}`);
  process.exitCode = 2;
} else {
  const built = await buildPreset('fuzz');
  if (built.code !== 0) {
    console.error(built.output);
    process.exitCode = 1;
  } else {
    for (const target of wanted.length > 0 ? wanted : known) {
      console.log(`== ${target}, ${seconds} s`);
      const { code } = await runFuzzer(target, seconds, { show: true });
      if (code !== 0) process.exitCode = 1;
    }
  }
}
