// scripts/release: licences, the bill of materials, the audit and the check of a tag.

import { expect, test } from 'vitest';
import { verdictOf } from '../../scripts/release/audit.mjs';
import { tagProblems } from '../../scripts/release/check-tag.mjs';
import {
  closure,
  compiledIn,
  isAllowed,
  licenceProblems,
  runtimeDependencies,
} from '../../scripts/release/dependencies.mjs';
import { licencePageProblems } from '../../scripts/release/licences.mjs';
import { npmBill, withNativeParts } from '../../scripts/release/sbom.mjs';

const npmSays = await npmBill();

test('docs/licences.md is current, and every licence is one that is accepted', () => {
  expect(licencePageProblems()).toEqual([]);
});

test.each([
  ['MIT', true],
  ['(MIT OR GPL-3.0-only)', true],
  ['MIT AND GPL-3.0-only', false],
  ['GPL-3.0-only', false],
  ['Apache-2.0 WITH LLVM-exception', true],
  ['GPL-3.0-or-later WITH GCC-exception-3.1', true],
  ['GPL-3.0-or-later', false],
  ['GPL-3.0-or-later WITH Bison-exception-2.2', false],
  ['SEE LICENSE IN LICENSE', false],
  [undefined, false],
])('the licence %s: %s', (licence, accepted) => {
  expect(isAllowed(licence)).toBe(accepted);
  expect(licenceProblems([{ name: 'a', version: '1.0.0', licence }])).toHaveLength(accepted ? 0 : 1);
});

test('dependencies of dependencies count, from where Node would load them', () => {
  const packages = {
    'node_modules/a': { version: '1.0.0', license: 'MIT', dependencies: { b: '*' } },
    'node_modules/a/node_modules/b': { version: '2.0.0', license: 'ISC', dependencies: { c: '*', a: '*' } },
    'node_modules/b': { version: '1.0.0', license: 'MIT' },
    'node_modules/c': { version: '3.0.0' },
  };
  expect(closure(['a'], { packages }).map(({ name, version }) => `${name}@${version}`)).toEqual([
    'a@1.0.0',
    'b@2.0.0',
    'c@3.0.0',
  ]);
});

test('the bill of materials has what npm installs and what is linked in, and hawser depends on it', async () => {
  const linked = compiledIn().filter(({ from }) => from === 'generic');
  const versions = Object.fromEntries(linked.map(({ name }, index) => [name, `9.8.${index}`]));
  const bill = withNativeParts(npmSays, versions);
  expect(bill).toMatchObject({ bomFormat: 'CycloneDX', metadata: { component: { name: 'hawser' } } });
  const listed = bill.components.map(
    ({ name, version }: { name: string; version: string }) => `${name}@${version}`,
  );
  for (const { name, version } of runtimeDependencies()) expect(listed).toContain(`${name}@${version}`);
  for (const [name, version] of Object.entries(versions)) expect(listed).toContain(`${name}@${version}`);
  expect(Object.keys(versions)).toEqual(
    expect.arrayContaining(['libsodium', 'libc++', 'libstdc++', 'mingw-w64']),
  );
  expect(listed.some((each: string) => each.startsWith('vitest@'))).toBe(false);
  const refs: string[] = bill.components.map((component: { 'bom-ref': string }) => component['bom-ref']);
  expect(new Set(refs).size).toBe(refs.length);
  const own = bill.dependencies.find(
    ({ ref }: { ref: string }) => ref === bill.metadata.component['bom-ref'],
  );
  for (const { name } of linked) expect(own.dependsOn).toContain(`native:${name}@${versions[name]}`);
  for (const { dependsOn } of bill.dependencies) for (const ref of dependsOn) expect(refs).toContain(ref);
});

test('a licence with an exception is an expression in the bill of materials, and a name is part of an address', async () => {
  const versions = Object.fromEntries(compiledIn().map(({ name }) => [name, '1.0.0']));
  const { components } = withNativeParts(npmSays, versions);
  const found = (name: string) => components.find((each: { name: string }) => each.name === name);
  expect(found('libsodium').licenses).toEqual([{ license: { id: 'ISC' } }]);
  expect(found('libc++')).toMatchObject({
    purl: 'pkg:generic/libc%2B%2B@1.0.0',
    licenses: [{ expression: 'Apache-2.0 WITH LLVM-exception' }],
  });
});

test('there is no bill of materials with a part of unknown version', async () => {
  const versions = Object.fromEntries(compiledIn().map(({ name }) => [name, '1.0.0']));
  const { libgcc: _, libunwind: __, ...others } = versions;
  expect(() => withNativeParts(npmSays, others)).toThrow(/^of no known version: libunwind, libgcc; /);
});

test.each([
  ['a report without any', '{"vulnerabilities":{},"metadata":{"vulnerabilities":{"total":0}}}', 0],
  [
    'a report with one',
    '{"vulnerabilities":{"a":{"name":"a","severity":"high"}},"metadata":{"vulnerabilities":{"total":1}}}',
    1,
  ],
  ['a registry that refuses', '{"message":"405 Method Not Allowed"}', 2],
  ['a report without a count', '{"vulnerabilities":{}}', 2],
  ['nothing', '', 2],
  ['no JSON', 'npm error network', 2],
  ['null', 'null', 2],
])('an audit that gets %s', (_, output, code) => {
  expect(verdictOf(output).code).toBe(code);
});

test('a tag is published when it is that of the version, and the repository is known', () => {
  const repository = { type: 'git', url: 'git+https://example.com/a.git' };
  expect(tagProblems('v1.2.3', { version: '1.2.3', repository })).toEqual([]);
  expect(tagProblems('v1.2.4', { version: '1.2.3', repository })).toHaveLength(1);
  expect(tagProblems('v1.2.3', { version: '1.2.3' })).toHaveLength(1);
  expect(tagProblems(undefined, { version: '1.2.3' })).toHaveLength(2);
});
