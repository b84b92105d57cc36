// The command line of the benchmark.
import { parseArgs } from 'node:util';
import { rows } from '../rows/index.mjs';
import { rowsNamed } from './rows.mjs';

/**
 * @typedef {object} RunOptions
 * @property {readonly import('../rows/row.mjs').Row[]} rows
 * @property {number} runs
 * @property {'full' | 'quick'} size
 * @property {string} [json] a file for the results
 * @property {boolean} save whether the results become those that git keeps
 * @property {boolean} some whether `rows` are not all
 * @property {boolean} resume
 */

/**
 * @typedef {{work: 'run'} & RunOptions | {work: 'list'} | {work: 'report', file: string} | {work: 'readme'}
 * | {work: 'refuse', why: string}} Options
 */

const groups = new Set(rows.flatMap(({ group }) => group ?? []));
const named = new Set(rows.flatMap(({ group, byNameOnly }) => (byNameOnly ? (group ?? []) : [])));
const usage = `Usage: npm run bench -- [--only NAME[,NAME]] [--quick] [--runs N] [--json FILE] [--save] [--resume]
       npm run bench -- --list | --report FILE | --readme

  --only NAME    some rows, or all of a group: ${[...groups].join(', ')}.
                 Rows of ${[...named].join(', ')} are measured in no other way
  --quick        1 short run of each instead of 7 full ones: less than 5 minutes in all on a calm machine, once native programs are built
  --runs N       another number of runs
  --json FILE    write the results as JSON, and their page beside it
  --save         replace the results in bench/results; without --only, --quick and --runs this is so anyway.
                 With --only, the other rows there stay
  --resume       take up an interrupted run: what it has measured on this machine, of this code, is not measured again
  --list         the rows
  --report FILE  make the page of results without measuring
  --readme       write the figures of bench/results into README.md`;

/**
 * @param {string[]} args
 * @returns {Options} to refuse, with a text for people, when they are wrong
 */
export function readOptions(args) {
  try {
    const { values } = parseArgs({
      args,
      options: {
        only: { type: 'string' },
        quick: { type: 'boolean', default: false },
        runs: { type: 'string' },
        json: { type: 'string' },
        save: { type: 'boolean', default: false },
        resume: { type: 'boolean', default: false },
        list: { type: 'boolean', default: false },
        report: { type: 'string' },
        readme: { type: 'boolean', default: false },
      },
    });
    if (values.list) return { work: 'list' };
    if (values.report !== undefined) return { work: 'report', file: values.report };
    if (values.readme) return { work: 'readme' };
    const wanted = values.only?.split(',');
    const unknown = wanted?.filter((word) => rowsNamed(word).length === 0) ?? [];
    if (unknown.length > 0) return refuse(`no row and no group is called ${unknown.join(', ')}`);
    const runs = Number(values.runs ?? (values.quick ? 1 : 7));
    if (!Number.isInteger(runs) || runs < 1) return refuse(`--runs: ${values.runs} is not a number of runs`);
    const whole = wanted === undefined && !values.quick && values.runs === undefined;
    const save = values.save || whole;
    if (values.resume && !save && values.json === undefined) return refuse('--resume needs --json or --save');
    return {
      work: 'run',
      rows: rows.filter((row) =>
        wanted ? wanted.some((word) => rowsNamed(word).includes(row)) : row.byNameOnly !== true,
      ),
      runs,
      size: values.quick ? 'quick' : 'full',
      ...(values.json !== undefined && { json: values.json }),
      save,
      some: wanted !== undefined,
      resume: values.resume,
    };
  } catch (error) {
    return refuse(error instanceof Error ? error.message : String(error));
  }
}

/**
 * @param {string} why
 * @returns {Options}
 */
function refuse(why) {
  return { work: 'refuse', why: `${why}\n\n${usage}` };
}
