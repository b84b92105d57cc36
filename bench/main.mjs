// npm run bench [-- options]: measures the rows and prints a table. Nothing here passes or fails by its speed; the exit code is 1
// when a row could not be measured.
import { writeFileSync } from 'node:fs';
import { parseArgs } from 'node:util';
import { describeMachine, machineLine } from './lib/machine.mjs';
import { measureRow, rows, rowsNamed } from './lib/rows.mjs';
import { tableLines } from './lib/table.mjs';

const groups = new Set(rows.flatMap(({ group }) => group ?? []));
const usage = `Usage: npm run bench -- [--only NAME[,NAME]] [--quick] [--runs N] [--json FILE]

  --only NAME   some rows, or all of a group: ${[...groups].join(', ')};
                ${rows.map(({ id }) => id).join(', ')}
  --quick       3 short runs of each instead of 7 full ones
  --runs N      another number of runs
  --json FILE   write the results as JSON`;

/**
 * @param {string[]} args the command line
 * @returns {Promise<number>} the exit code
 */
export async function main(args) {
  const options = readOptions(args);
  if (typeof options === 'string') {
    console.error(options);
    return 2;
  }
  const machine = describeMachine();
  console.log(machineLine(machine));
  /** @type {import('./lib/rows.mjs').Result[]} */
  const results = [];
  /** @type {Record<string, string>} */
  const failures = {};
  for (const row of options.rows) {
    try {
      results.push(await measureRow(row, options.runs, options.size, (line) => console.error(line)));
    } catch (error) {
      failures[row.id] = error instanceof Error ? error.message : String(error);
      console.error(`${row.id}: ${failures[row.id]}`);
    }
  }
  if (results.length > 0) console.log(['', ...tableLines(results)].join('\n'));
  if (options.json !== undefined) {
    const document = {
      measuredAt: new Date().toISOString(),
      machine,
      size: options.size,
      rows: results,
      failures,
    };
    writeFileSync(options.json, `${JSON.stringify(document, null, 2)}\n`);
  }
  return Object.keys(failures).length > 0 ? 1 : 0;
}

/**
 * @param {string[]} args
 * @returns {{rows: readonly import('./lib/rows.mjs').Row[], runs: number, size: 'full' | 'quick', json: string | undefined} | string}
 * a text for people when they are wrong
 */
function readOptions(args) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        only: { type: 'string' },
        quick: { type: 'boolean', default: false },
        runs: { type: 'string' },
        json: { type: 'string' },
      },
    });
    const wanted = values.only?.split(',');
    const unknown = wanted?.filter((word) => rowsNamed(word).length === 0) ?? [];
    if (unknown.length > 0) return `no row and no group is called ${unknown.join(', ')}\n\n${usage}`;
    const runs = Number(values.runs ?? (values.quick ? 3 : 7));
    if (!Number.isInteger(runs) || runs < 1)
      return `--runs: ${values.runs} is not a number of runs\n\n${usage}`;
    return {
      rows:
        wanted === undefined
          ? rows
          : rows.filter((row) => wanted.some((word) => rowsNamed(word).includes(row))),
      runs,
      size: values.quick ? 'quick' : 'full',
      json: values.json,
    };
  } catch (error) {
    return `${error instanceof Error ? error.message : String(error)}\n\n${usage}`;
  }
}
