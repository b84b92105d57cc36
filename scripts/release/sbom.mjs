// Writes the bill of materials of a release (CycloneDX): what npm installs with it, and what is linked into the addons.
//   node scripts/release/sbom.mjs [FILE] [--with NAME=VERSION]...
// FILE is build/sbom.cdx.json unless given. What is linked is named with the version that this machine has, or the given.
import { mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { parseArgs } from 'node:util';
import { root, runNpm } from '../lib/process.mjs';
import { compiledIn, runtimeDependencies } from './dependencies.mjs';
import { nativeVersions } from './native-versions.mjs';

/**
 * CycloneDX has one form for a licence, and another one for several, or one with an exception.
 *
 * @param {string} licence
 * @returns {({expression: string} | {license: {id: string}})[]}
 */
const licencesOf = (licence) =>
  licence.includes(' ') ? [{ expression: licence }] : [{ license: { id: licence } }];

/**
 * @param {any} bill what `npm sbom` says
 * @param {Record<string, string>} versions of what is linked in, by name
 * @returns {any} the bill with what is compiled in, on which hawser then depends
 * @throws {Error} that names the parts of which no version is known
 */
export function withNativeParts(bill, versions) {
  const unknown = compiledIn().filter(({ name, from }) => from === 'generic' && !versions[name]);
  if (unknown.length > 0) {
    const names = unknown.map(({ name }) => name).join(', ');
    throw new Error(
      `of no known version: ${names}; npm run prebuild brings them, or say --with NAME=VERSION`,
    );
  }
  /** @type {Record<string, unknown>[]} */
  const parts = compiledIn().map(({ name, version, licence = '', where, from }) => {
    const used = from === 'generic' ? versions[name] : version;
    return {
      'bom-ref': `native:${name}@${used}`,
      type: 'library',
      name,
      version: used,
      description: `linked into the addons for: ${where}`,
      scope: 'required',
      purl: `pkg:${from}/${encodeURIComponent(name)}@${used}`,
      licenses: licencesOf(licence),
    };
  });
  const self = bill.metadata.component;
  // npm leaves out a dependency that a development dependency needs as well.
  const known = new Set(bill.components.map((/** @type {any} */ component) => component['bom-ref']));
  for (const { name, version, licence = '' } of runtimeDependencies()) {
    const ref = `${name}@${version}`;
    if (known.has(ref)) continue;
    const purl = `pkg:npm/${name.replace('@', '%40')}@${version}`;
    const licenses = licencesOf(licence);
    parts.push({ 'bom-ref': ref, type: 'library', name, version, scope: 'required', purl, licenses });
  }
  const refs = parts.map((part) => part['bom-ref']);
  return {
    ...bill,
    // npm names it after its folder.
    metadata: { ...bill.metadata, component: { ...self, name: 'hawser' } },
    components: [...bill.components, ...parts],
    dependencies: [
      ...bill.dependencies.map((/** @type {any} */ entry) =>
        entry.ref === self['bom-ref'] ? { ...entry, dependsOn: [...entry.dependsOn, ...refs] } : entry,
      ),
      ...refs.map((ref) => ({ ref, dependsOn: [] })),
    ],
  };
}

/** @returns {Promise<any>} what npm installs with hawser, as npm lists it; of the lock file alone */
export async function npmBill() {
  const flags = ['--sbom-format', 'cyclonedx', '--omit', 'dev', '--package-lock-only', '--loglevel', 'error'];
  const { code, output } = await runNpm(['sbom', ...flags]);
  const begin = output.indexOf('{');
  if (code !== 0 || begin < 0) throw new Error(`npm sbom failed\n${output.trimEnd()}`);
  // Some npm versions warn of settings of the machine before and after.
  return JSON.parse(output.slice(begin, output.lastIndexOf('}') + 1));
}

/** @param {readonly string[]} given NAME=VERSION @returns {Record<string, string>} */
function givenVersions(given) {
  return Object.fromEntries(
    given.map((text) => {
      const [, name, version] = /^([^=]+)=(.+)$/.exec(text) ?? [];
      if (name === undefined || version === undefined) throw new Error(`--with ${text}: say NAME=VERSION`);
      return [name, version];
    }),
  );
}

if (process.argv[1] && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { values, positionals } = parseArgs({
    options: { with: { type: 'string', multiple: true, default: [] } },
    allowPositionals: true,
  });
  const file = positionals[0] ?? join(root, 'build/sbom.cdx.json');
  const versions = { ...(await nativeVersions()), ...givenVersions(values.with) };
  const bill = withNativeParts(await npmBill(), versions);
  mkdirSync(dirname(file), { recursive: true });
  writeFileSync(file, `${JSON.stringify(bill, undefined, 2)}\n`);
  console.log(`${file}: ${bill.components.length} components`);
}
