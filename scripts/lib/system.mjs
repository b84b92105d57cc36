// The programs and libraries that npm does not bring: which are missing, and how to get them.
import { existsSync, statSync } from 'node:fs';
import { findLibsodium } from '../libsodium.mjs';
import { llvmTool, machLinker } from '../prebuild/toolchain.mjs';
import { run, which } from './process.mjs';
import { hashOf, Stamp } from './stamp.mjs';

const cxx20Probe =
  '#include <compare>\n#include <span>\nint main() { return std::span<int>().empty() ? 0 : 1; }\n';
const fuzzProbe =
  '#include <cstddef>\n#include <cstdint>\n' +
  'extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t*, std::size_t) { return 0; }\n';

/** Another Python may be first in the path, without Debian's packages. */
export const debianPython = existsSync('/usr/bin/python3') ? '/usr/bin/python3' : 'python3';

/** @returns {string} the C++ compiler that builds the addon */
export function cxxCompiler() {
  return process.env.CXX ?? ['g++', 'clang++', 'c++'].find((name) => which(name)) ?? 'g++';
}

/** Whether a compiler accepts a probe; remembered for as long as the compiler stays the same file. */
async function accepts(compiler, flags, probe) {
  // CXX may hold a launcher or options as well: `ccache g++`.
  const [program, ...words] = compiler.split(' ');
  const path = which(program) ?? program;
  if (!existsSync(path)) return false;
  const { size, mtimeMs } = statSync(path);
  const hash = hashOf([], [compiler, path, size, mtimeMs, flags, probe]);
  const stamp = new Stamp(`probe-${hash.slice(0, 16)}`);
  if (stamp.matches(hash)) return true;
  const { code } = await run(program, [...words, ...flags, '-x', 'c++', '-', '-o', '/dev/null'], {
    input: probe,
  });
  if (code === 0) stamp.write(hash);
  return code === 0;
}

/** Whether a header is installed; true on systems other than Linux, where what needs it does not run. */
function hasHeader(name) {
  return (
    process.platform !== 'linux' || ['/usr', '/usr/local'].some((dir) => existsSync(`${dir}/include/${name}`))
  );
}

/**
 * Each: what it is, for which purposes, whether it is there, and what brings it on Debian and with Homebrew. `without`: what is left out
 * where it cannot be had; without that nothing works.
 */
const requirements = [
  {
    name: 'a C++20 compiler',
    present: () => accepts(cxxCompiler(), ['-std=c++20'], cxx20Probe),
    apt: ['g++'],
  },
  { name: 'make', present: () => which('make') !== undefined, apt: ['make'] },
  { name: 'python3', present: () => which('python3') !== undefined, apt: ['python3'], brew: ['python3'] },
  { name: 'cmake', present: () => which('cmake') !== undefined, apt: ['cmake'], brew: ['cmake'] },
  {
    name: 'libsodium with headers',
    present: () => {
      const sodium = findLibsodium();
      return sodium.header !== undefined && sodium.archive !== undefined;
    },
    apt: ['libsodium-dev'],
    brew: ['libsodium'],
  },
  {
    name: 'doctest',
    purposes: ['test'],
    present: () =>
      ['/usr', '/usr/local', '/opt/homebrew'].some((dir) => existsSync(`${dir}/include/doctest/doctest.h`)),
    apt: ['doctest-dev'],
    brew: ['doctest'],
  },
  {
    name: 'flatc with the headers of FlatBuffers',
    purposes: ['test'],
    present: () =>
      which('flatc') !== undefined &&
      ['/usr', '/usr/local', '/opt/homebrew'].some((dir) =>
        existsSync(`${dir}/include/flatbuffers/verifier.h`),
      ),
    apt: ['flatbuffers-compiler', 'libflatbuffers-dev'],
    brew: ['flatbuffers'],
  },
  {
    name: 'clang-tidy',
    purposes: ['test'],
    present: () => which('clang-tidy') !== undefined,
    apt: ['clang-tidy'],
    brew: ['llvm'],
  },
  {
    name: 'clang with libFuzzer',
    purposes: ['test', 'fuzz'],
    present: () => accepts('clang++', ['-std=c++20', '-fsanitize=fuzzer,address,undefined'], fuzzProbe),
    apt: ['clang', 'libclang-rt'],
    brew: ['llvm'],
  },
  {
    name: 'etcd',
    purposes: ['test', 'bench'],
    present: () => which('etcd') !== undefined,
    apt: ['etcd-server', 'etcd-client'],
    brew: ['etcd'],
    without: 'whatever needs a real etcd is skipped',
    afterApt: (prefix) => turnServiceOff('etcd.service', prefix),
  },
  {
    name: 'ENet',
    purposes: ['bench'],
    present: () => hasHeader('enet/enet.h'),
    apt: ['libenet-dev'],
    brew: ['enet'],
    without: 'the rows about paths leave this rival out',
  },
  {
    name: 'ngtcp2 with GnuTLS',
    purposes: ['bench'],
    present: () => hasHeader('ngtcp2/ngtcp2_crypto_gnutls.h') && hasHeader('gnutls/gnutls.h'),
    apt: ['libngtcp2-dev', 'libngtcp2-crypto-gnutls-dev', 'libgnutls28-dev'],
    brew: ['libngtcp2', 'gnutls'],
    without: 'the rows about paths leave this rival out',
  },
  {
    name: 'promtool',
    purposes: ['test'],
    present: () => which('promtool') !== undefined,
    apt: ['prometheus'],
    brew: ['prometheus'],
    without: 'metrics, alerts and the queries of the dashboard for Grafana are checked without Prometheus',
    afterApt: (prefix) => turnServiceOff('prometheus.service', prefix),
  },
  {
    name: 'cryptography for Python',
    purposes: ['test'],
    present: async () => (await run(debianPython, ['-c', 'import cryptography'])).code === 0,
    apt: ['python3-cryptography'],
    brew: ['cryptography'],
    without: 'what checks envelopes of keys against Python is skipped',
  },
  {
    name: 'tshark',
    purposes: ['test'],
    present: () => which('tshark') !== undefined && which('capinfos') !== undefined,
    apt: ['tshark'],
    brew: ['wireshark'],
    without: 'what opens captures with Wireshark is skipped',
  },
  {
    name: 'chromium',
    purposes: ['test'],
    present: () => existsSync(process.env.CHROMIUM ?? '/usr/bin/chromium'),
    apt: ['chromium'],
    brew: ['chromium'],
    without: 'the dashboard is not tried in a browser',
  },
  {
    name: 'the tools of LLVM',
    purposes: ['test', 'prebuild'],
    present: () => ['llvm-nm', 'llvm-readelf', 'llvm-objdump', 'llvm-readobj'].every(llvmTool),
    apt: ['llvm'],
    brew: ['llvm'],
  },
  {
    name: "LLVM's linker for macOS",
    purposes: ['prebuild'],
    present: () => machLinker() !== undefined,
    apt: ['lld-19'],
  },
  {
    name: 'mingw-w64',
    purposes: ['prebuild'],
    present: () => which('x86_64-w64-mingw32-g++-posix') !== undefined,
    apt: ['g++-mingw-w64-x86-64-posix'],
  },
  {
    name: 'dpkg-source',
    purposes: ['prebuild'],
    present: () => which('dpkg-source') !== undefined,
    apt: ['dpkg-dev'],
  },
  {
    name: 'qemu for arm64',
    purposes: ['prebuild'],
    present: () =>
      which('qemu-aarch64-static') !== undefined && existsSync('/usr/aarch64-linux-gnu/lib/libc.so.6'),
    apt: ['qemu-user-static', 'libc6-arm64-cross', 'libstdc++6-arm64-cross'],
    without: 'what is made for arm64 is not run',
  },
  {
    name: 'musl',
    purposes: ['prebuild'],
    present: () => existsSync('/lib/ld-musl-x86_64.so.1'),
    apt: ['musl'],
    without: 'what is made for musl is not run',
  },
  {
    name: 'Wine',
    purposes: ['prebuild'],
    present: () => existsSync('/usr/lib/wine/wine64'),
    apt: ['wine64'],
    without: 'what is made for Windows is not run',
  },
  {
    name: 'the tools of WireGuard',
    purposes: ['test'],
    present: () => which('wg') !== undefined,
    apt: ['wireguard-tools'],
    brew: ['wireguard-tools'],
    without: 'what needs wg is checked with a program in its place',
  },
];

/** Debian since 12 and Ubuntu since 23 keep clang's runtime libraries in a package named after clang's version. */
async function nameRuntimePackage(packages) {
  if (!packages.includes('libclang-rt')) return packages;
  const others = packages.filter((name) => name !== 'libclang-rt');
  const { output } = await run('apt-cache', ['depends', 'clang']);
  const version = /Depends: clang-(\d+)/.exec(output)?.[1];
  const runtime = `libclang-rt-${version}-dev`;
  const known = await run('apt-cache', ['show', runtime]);
  return known.code === 0 ? [...others, runtime] : others;
}

/** Debian runs what it installs: on the port that developers' own servers use, and at every start of the machine. */
async function turnServiceOff(service, prefix) {
  if (which('systemctl') === undefined) return;
  const [command, ...rest] = [...prefix, 'systemctl'];
  // Where systemd does not run, the first one fails and the second one does what there is to do.
  await run(command, [...rest, 'stop', service]);
  await run(command, [...rest, 'disable', service]);
}

/** @returns {string[]} for what is missing and not needed: what is left out, and what to type to have it */
export async function omissions(purpose) {
  const missing = (await missingFor(purpose)).filter(({ without }) => without);
  const commandFor = ({ name, apt, brew }) => {
    if (process.platform === 'darwin') return `type: brew install ${brew.join(' ')}`;
    return which('apt-get') ? `type: sudo apt-get install -y ${apt.join(' ')}` : `install ${name}`;
  };
  return missing.map(
    (requirement) =>
      `without ${requirement.name} ${requirement.without}; to have it, ${commandFor(requirement)}`,
  );
}

async function missingFor(purpose) {
  const missing = [];
  for (const requirement of requirements) {
    if (requirement.purposes && !requirement.purposes.includes(purpose)) continue;
    if (!(await requirement.present())) missing.push(requirement);
  }
  return missing;
}

/** The words that go before apt-get, or undefined when it may not be run without asking. */
async function aptPrefix() {
  if (process.getuid?.() === 0) return [];
  if (which('sudo') && (await run('sudo', ['-n', 'true'])).code === 0) return ['sudo', '-n'];
  return undefined;
}

/**
 * Installs what is missing where that is possible without asking anybody.
 *
 * @param {string} purpose start, test, fuzz, bench or prebuild
 * @param {(title: string, work: () => Promise<{code: number, output: string}>) => Promise<void>} step runs a step and
 *   throws, having shown its output, when it fails
 * @throws {Error} whose message says what is missing and the one command to type
 */
export async function ensureSystem(purpose, step) {
  const missing = await missingFor(purpose);
  if (missing.length === 0) return;
  const needed = missing.filter(({ without }) => !without);
  const prefix = which('apt-get') ? await aptPrefix() : undefined;
  if (prefix === undefined) {
    if (needed.length > 0) throw await cannotInstall(missing);
  } else {
    await installByApt(prefix, needed, missing, step);
  }
  for (const omission of await omissions(purpose)) console.error(`setup: ${omission}`);
  const still = (await missingFor(purpose)).filter(({ without }) => !without);
  if (still.length > 0) {
    throw new Error(`still missing after installing: ${still.map(({ name }) => name).join(', ')}`);
  }
}

const packagesOf = (requirements, manager) => [
  ...new Set(requirements.flatMap((requirement) => requirement[manager] ?? [])),
];

async function cannotInstall(missing) {
  const names = missing.map(({ name }) => name).join(', ');
  if (process.platform === 'darwin') {
    const formulae = packagesOf(missing, 'brew');
    const compiler = formulae.length === 0 ? 'xcode-select --install' : `brew install ${formulae.join(' ')}`;
    return new Error(`missing: ${names}\ntype: ${compiler}`);
  }
  if (!which('apt-get')) {
    return new Error(`missing: ${names}\ninstall them with this system's package manager, then try again`);
  }
  const packages = await nameRuntimePackage(packagesOf(missing, 'apt'));
  return new Error(
    `missing: ${names}\ntype: sudo apt-get update && sudo apt-get install -y ${packages.join(' ')}`,
  );
}

/** What is not needed is installed on its own, and may fail: a system that does not have it, or no way to it, has the rest. */
async function installByApt(prefix, needed, missing, step) {
  const aptGet = (args) => {
    const environment = ['env', 'DEBIAN_FRONTEND=noninteractive'];
    const [command, ...rest] = [...prefix, ...environment, 'apt-get', '-qq', ...args];
    return run(command, rest);
  };
  let hasLists = false;
  const install = async (requirements) => {
    if (!hasLists) await step('package lists (apt-get update)', () => aptGet(['update']));
    hasLists = true;
    const packages = await nameRuntimePackage(packagesOf(requirements, 'apt'));
    await step(`system packages: ${packages.join(' ')}`, () =>
      aptGet(['install', '-y', '--no-install-recommends', ...packages]),
    );
  };
  if (needed.length > 0) await install(needed);
  for (const requirement of missing.filter(({ without }) => without)) {
    try {
      await install([requirement]);
      await requirement.afterApt?.(prefix);
    } catch (error) {
      console.error(`setup: ${error.message}`);
    }
  }
}
