// The sources of libsodium, as Debian packages them: with the fixes that Debian has made to that release.
import { existsSync, mkdirSync, readdirSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { run, which } from '../lib/process.mjs';
import { workFolder } from './toolchain.mjs';

const sourceFolder = join(workFolder, 'libsodium-source');
const versionFile = join(sourceFolder, 'DEBIAN-VERSION');

/** The lines of the machine's own package sources, asking for source packages instead of binary ones. */
function sourceLists() {
  const folder = '/etc/apt/sources.list.d';
  const names = existsSync(folder) ? readdirSync(folder).map((name) => join(folder, name)) : [];
  let stanzas = '';
  let lines = '';
  for (const file of ['/etc/apt/sources.list', ...names]) {
    if (!existsSync(file)) continue;
    const text = readFileSync(file, 'utf8');
    // Third parties' sources seldom have source packages, and one that fails would end the whole update.
    if (file.endsWith('.sources')) {
      for (const stanza of text.split(/\n\s*\n/)) {
        if (/^Signed-By:.*(debian|ubuntu)-archive/m.test(stanza)) {
          stanzas += `${stanza.trim().replace(/^Types:.*$/m, 'Types: deb-src')}\n\n`;
        }
      }
    } else if (file.endsWith('.list')) {
      for (const line of text.split('\n')) {
        if (/^deb(-src)?\s.*\/(debian|ubuntu)/.test(line)) lines += `${line.replace(/^deb\s/, 'deb-src ')}\n`;
      }
    }
  }
  return { stanzas, lines };
}

/** apt-get with package sources and lists of its own, so that nothing of the machine changes. */
function aptArguments() {
  const apt = join(workFolder, 'apt');
  const parts = join(apt, 'sources.list.d');
  for (const folder of [parts, join(apt, 'lists', 'partial')]) mkdirSync(folder, { recursive: true });
  const { stanzas, lines } = sourceLists();
  writeFileSync(join(parts, 'source.sources'), stanzas);
  writeFileSync(join(apt, 'sources.list'), lines);
  const settings = {
    'Dir::Etc::sourcelist': join(apt, 'sources.list'),
    'Dir::Etc::sourceparts': parts,
    'Dir::State::lists': join(apt, 'lists'),
    'Dir::Cache::srcpkgcache': '',
    'Dir::Cache::pkgcache': '',
    // Another user's rights, which may not reach into this folder, are of no use for what only we read.
    'APT::Sandbox::User': '',
  };
  return ['-q', ...Object.entries(settings).flatMap(([name, value]) => ['-o', `${name}=${value}`])];
}

/**
 * @param {string} title
 * @param {string} command
 * @param {string[]} args
 * @param {import('../lib/process.mjs').RunOptions} options
 */
async function must(title, command, args, options) {
  const { code, output } = await run(command, args, options);
  if (code !== 0) throw new Error(`${title}: failed\n${output.trimEnd()}`);
}

/**
 * Fetches the sources once and unpacks them; what is there already stays as it is. Apt checks the signature of the
 * package lists and the hashes of what it fetches.
 *
 * @returns {Promise<string>} the folder of the unpacked sources
 * @throws {Error} that says what is missing, or what failed
 */
export async function fetchLibsodium() {
  if (existsSync(sourceFolder)) return sourceFolder;
  for (const program of ['apt-get', 'dpkg-source']) {
    if (which(program) === undefined) {
      throw new Error(`the sources of libsodium come from Debian or Ubuntu: there is no ${program} here`);
    }
  }
  const download = join(workFolder, 'download');
  rmSync(download, { recursive: true, force: true });
  mkdirSync(download, { recursive: true });
  const apt = aptArguments();
  await must('package lists (apt-get update)', 'apt-get', [...apt, 'update'], { cwd: download });
  await must('sources of libsodium', 'apt-get', [...apt, 'source', '--download-only', 'libsodium'], {
    cwd: download,
  });
  const description = readdirSync(download).find((name) => name.endsWith('.dsc'));
  if (description === undefined) throw new Error('sources of libsodium: apt-get fetched nothing');
  // Under another name until it is whole: what is there under its own is taken for good.
  await must('unpacking libsodium', 'dpkg-source', ['--no-check', '-x', description, 'unpacked'], {
    cwd: download,
  });
  renameSync(join(download, 'unpacked'), sourceFolder);
  writeFileSync(versionFile, description.replace(/^libsodium_|\.dsc$/g, ''));
  return sourceFolder;
}

/** @returns {string} the version of what fetchLibsodium() has unpacked, with Debian's revision */
export function libsodiumVersion() {
  return readFileSync(versionFile, 'utf8');
}

/** @returns {string | undefined} that version, or undefined when nothing has been fetched yet */
export function fetchedLibsodiumVersion() {
  return existsSync(versionFile) ? libsodiumVersion() : undefined;
}
