// Asks the registry for known vulnerabilities of what is installed with hawser, and of all that builds it.
//   node scripts/release/audit.mjs [--all]
// Exit code 0: none; 1: some, which are listed; 2: the registry could not be asked, which says nothing about them.
// Without --all, of what users install; with it, of development dependencies too.
import { pathToFileURL } from 'node:url';
import { runNpm } from '../lib/process.mjs';

/** @typedef {{code: 0 | 1 | 2, message: string}} Verdict */

/**
 * @param {string} output of `npm audit --json`
 * @returns {Verdict} never 0 unless the answer counts vulnerabilities, and counts none
 */
export function verdictOf(output) {
  const begin = output.indexOf('{');
  /** @type {any} */
  let report;
  try {
    report = JSON.parse(output.slice(begin, output.lastIndexOf('}') + 1));
  } catch {
    return { code: 2, message: 'could not ask: npm gave no report' };
  }
  const total = report?.metadata?.vulnerabilities?.total;
  if (typeof total !== 'number')
    return { code: 2, message: `could not ask: ${report?.message ?? 'no answer'}` };
  if (total === 0) return { code: 0, message: 'no known vulnerabilities' };
  const names = Object.values(report.vulnerabilities ?? {}).map(
    (/** @type {any} */ entry) => `${entry.name}: ${entry.severity}`,
  );
  return { code: 1, message: [`${total} known vulnerabilities`, ...names].join('\n') };
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const omit = process.argv.includes('--all') ? [] : ['--omit', 'dev'];
  const { output } = await runNpm(['audit', '--json', '--loglevel', 'silent', ...omit]);
  const { code, message } = verdictOf(output);
  (code === 0 ? console.log : console.error)(message);
  process.exitCode = code;
}
