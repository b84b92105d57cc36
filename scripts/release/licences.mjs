// Writes docs/licences.md: the licence of everything that a release brings along.
//   node scripts/release/licences.mjs           fails when the page is not current
//   node scripts/release/licences.mjs --write   brings it up to date
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../lib/process.mjs';
import { compiledIn, licenceProblems, optionalDependencies, runtimeDependencies } from './dependencies.mjs';

export const licencePage = join(root, 'docs/licences.md');

/** @param {readonly import('./dependencies.mjs').Dependency[]} dependencies */
function table(dependencies) {
  const rows = dependencies.map(
    ({ name, version, licence }) => `| ${name} | ${version} | ${licence ?? 'not stated'} |`,
  );
  return ['| package | version | licence |', '|---|---|---|', ...rows].join('\n');
}

/** @param {readonly import('./dependencies.mjs').NativePart[]} parts */
function tableOfParts(parts) {
  const rows = parts.map(
    ({ name, where, version, licence }) => `| ${name} | ${where} | ${version} | ${licence} |`,
  );
  return ['| part | in the addons for | version | licence |', '|---|---|---|---|', ...rows].join('\n');
}

/** @returns {string} docs/licences.md as it should be */
export function licenceText() {
  return `# Licences

hawser is under the MIT licence. This page lists what else a program with it contains or may contain, in the versions of
\`package-lock.json\`; npm may install newer ones that \`package.json\` lets in. \`node scripts/release/licences.mjs --write\`
writes it, and a test fails when it is out of date or when a licence is not on the list of those that are accepted.

## Installed with hawser

${table(runtimeDependencies())}

## Compiled into the addon

Prebuilt addons need nothing but the system's own libraries: the C++ library of the compiler that made them, and what that
needs, are linked into them, as libsodium is; node-addon-api consists of headers. The licences of libsodium, zig and mingw-w64
ask that their notices go with copies: \`prebuilds/NOTICES.txt\` in the package has them. LLVM, GCC and glibc make an exception
for what is linked into programs. An addon of \`hawser build\` has only libsodium and node-addon-api in it.

${tableOfParts(compiledIn())}

## Optional

Installed only by those who add \`@opentelemetry/api\`, \`etcd3\`, \`lmdb\` or \`prom-client\`.

${table(optionalDependencies())}
`;
}

/** @returns {string[]} one line for each licence that is not accepted, and one when the page is out of date */
export function licencePageProblems() {
  const all = [...runtimeDependencies(), ...compiledIn(), ...optionalDependencies()];
  const problems = licenceProblems(all);
  if (readFileSync(licencePage, 'utf8') !== licenceText()) {
    problems.push('docs/licences.md is out of date: node scripts/release/licences.mjs --write');
  }
  return problems;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  if (process.argv.includes('--write')) writeFileSync(licencePage, licenceText());
  const problems = licencePageProblems();
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
