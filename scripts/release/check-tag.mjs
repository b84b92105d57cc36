// Fails unless a tag is that of the version in package.json, whose repository provenance can be compared with.
//   node scripts/release/check-tag.mjs TAG
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { root } from '../lib/process.mjs';

/**
 * @param {string | undefined} tag
 * @param {{version: string, repository?: unknown}} manifest
 * @returns {string[]} one line for each reason not to publish
 */
export function tagProblems(tag, { version, repository }) {
  const problems = [];
  if (tag !== `v${version}`) problems.push(`the tag is ${tag}, the version of package.json ${version}`);
  if (!repository)
    problems.push('package.json has no "repository": npm compares it with the provenance (docs/releases.md)');
  return problems;
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const problems = tagProblems(process.argv[2], JSON.parse(readFileSync(join(root, 'package.json'), 'utf8')));
  for (const problem of problems) console.error(problem);
  process.exitCode = problems.length > 0 ? 1 : 0;
}
