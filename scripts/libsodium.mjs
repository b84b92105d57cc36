// Where libsodium is. The addon links it statically, so that a built addon runs where no libsodium is installed;
// the shared library is taken only where there is no archive, with a warning.
//
//   node scripts/libsodium.mjs --libraries      what binding.gyp links
//   node scripts/libsodium.mjs --include-dirs   its header folder, nothing when the compiler finds it unaided
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';

function pkgConfig(variable) {
  const result = spawnSync('pkg-config', [`--variable=${variable}`, 'libsodium'], { encoding: 'utf8' });
  return result.status === 0 ? result.stdout.trim() : '';
}

/**
 * @returns {{header?: string, archive?: string, includeDir?: string}} the header and the static archive that were
 *   found; includeDir only where it is not one that compilers search by themselves. SODIUM_DIR, where set, is the
 *   prefix to look under.
 */
export function findLibsodium() {
  const prefixes = ['/usr', '/usr/local', '/opt/homebrew'];
  const includeDirs = [pkgConfig('includedir')];
  const libDirs = [pkgConfig('libdir')];
  if (process.env.SODIUM_DIR) prefixes.unshift(process.env.SODIUM_DIR);
  for (const prefix of prefixes) {
    includeDirs.push(join(prefix, 'include'));
    libDirs.push(join(prefix, 'lib'), join(prefix, 'lib64'));
    if (prefix === '/usr' && existsSync('/usr/lib')) {
      for (const name of readdirSync('/usr/lib')) {
        if (name.endsWith('-linux-gnu')) libDirs.push(join('/usr/lib', name));
      }
    }
  }
  const archiveName = process.platform === 'win32' ? 'libsodium.lib' : 'libsodium.a';
  const includeDir = includeDirs.find((dir) => dir && existsSync(join(dir, 'sodium.h')));
  const libDir = libDirs.find((dir) => dir && existsSync(join(dir, archiveName)));
  return {
    ...(includeDir && { header: join(includeDir, 'sodium.h') }),
    ...(includeDir && includeDir !== '/usr/include' && { includeDir }),
    ...(libDir && { archive: join(libDir, archiveName) }),
  };
}

if (import.meta.url === pathToFileURL(process.argv[1]).href) {
  const sodium = findLibsodium();
  if (process.argv[2] === '--include-dirs') {
    if (sodium.includeDir) console.log(sodium.includeDir);
  } else if (sodium.archive) {
    console.log(sodium.archive);
  } else {
    console.error(
      'hawser: no static libsodium found; the addon will need libsodium on every machine it runs on',
    );
    console.log('-lsodium');
  }
}
