// npm run attack [-- name ...] [--seconds N]: the long form of the attacks in test/attacks, which asserts the latency of honest peers too. Run
// it on a machine that does nothing else.
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { buildPreset, buildRoot } from './lib/native.mjs';
import { root, runBin } from './lib/process.mjs';

const ending = '.test.ts';
const folder = join('test', 'attacks');
const usage = 'usage: npm run attack -- [name ...] [--seconds N]';

const { values, positionals } = parseArgs({
  allowPositionals: true,
  options: { seconds: { type: 'string', default: '30' }, help: { type: 'boolean', default: false } },
});
const known = readdirSync(join(root, folder))
  .filter((name) => name.endsWith(ending))
  .map((name) => name.slice(0, -ending.length));
const unknown = positionals.filter((name) => !known.includes(name));
const seconds = Number(values.seconds);

if (values.help) {
  console.log(
    `${usage}\n\nN: seconds that each attack lasts, 5 to 3600; 30 by default. Attacks: ${known.join(', ')}`,
  );
} else if (!Number.isInteger(seconds) || seconds < 5 || seconds > 3600) {
  console.error(`attack: --seconds must be a whole number from 5 to 3600, not ${values.seconds}`);
  process.exitCode = 2;
} else if (unknown.length > 0) {
  console.error(`attack: there is no attack ${unknown.join(', ')}; there are ${known.join(', ')}`);
  process.exitCode = 2;
} else {
  // One process of Node.js does not send as fast as the handshake flood demands.
  const built = await buildPreset('bench', 'bench_udp_flood');
  if (built.code !== 0) {
    console.error(built.output);
    process.exitCode = 1;
  } else {
    const names = positionals.length > 0 ? positionals : known;
    const { code } = await runBin(
      'vitest',
      [
        'run',
        '--no-file-parallelism',
        `--testTimeout=${1000 * (4 * seconds + 120)}`,
        ...names.map((name) => join(folder, name + ending)),
      ],
      {
        show: true,
        env: {
          HAWSER_ATTACK_SECONDS: values.seconds,
          HAWSER_UDP_FLOOD: join(buildRoot, 'bench', 'bench_udp_flood'),
        },
      },
    );
    process.exitCode = code;
  }
}
