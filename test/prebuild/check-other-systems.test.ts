// scripts/prebuild/check.mjs: what for macOS and Windows may not be published is found.

import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkPrebuild } from '../../scripts/prebuild/check.mjs';
import { prebuildFile, type Target, targets } from '../../scripts/prebuild/targets.mjs';
import { exportsOfAddon, type MachO, machO, type Pe, pe } from './made-up-files.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hawser-prebuild-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

async function problemsOf(bytes: Buffer, target: Target): Promise<string[]> {
  const file = join(folder, `${target.name}.node`);
  writeFileSync(file, bytes);
  return (await checkPrebuild(file, target)).problems;
}

const later = ['napi_create_object', 'node_api_symbol_for', 'uv_of_the_future'];
const problemsOfLater = later
  .slice(1)
  .map((name) => `it needs ${name}, which is neither in Node-API 8 nor in libuv`);

type Row<Offence> = readonly [string, Offence, readonly string[]];

const onMacos: readonly Row<Partial<MachO>>[] = [
  ['without an offence', {}, []],
  ['with an older macOS', { minimum: [10, 15] }, []],
  ['with a later macOS', { minimum: [11, 1] }, ['it needs macOS 11.1; 11.0 is the oldest that is served']],
  [
    'that does not say which macOS',
    { minimum: null },
    ['it needs macOS (it does not say which); 11.0 is the oldest that is served'],
  ],
  [
    'with another library',
    { libraries: ['/usr/lib/libSystem.B.dylib', '/opt/lib/libsodium.dylib'] },
    ['it needs the library /opt/lib/libsodium.dylib'],
  ],
  [
    'that shows a function of libsodium',
    { exported: [...exportsOfAddon, 'sodium_init'] },
    ['it exports sodium_init'],
  ],
  [
    'without what Node.js looks for',
    { exported: exportsOfAddon.slice(1) },
    ['it does not export napi_register_module_v1'],
  ],
  ['that needs functions of a later Node.js', { wanted: later }, problemsOfLater],
  ['that needs a function that nobody has', { wanted: ['crypto_box'] }, ['nobody has crypto_box']],
];

describe.each(targets.filter(({ platform }) => platform === 'darwin'))('a library for $name', (target) => {
  const { arch } = target;
  test.each(onMacos)('%s: problems %j %j', async (_, offence, problems) => {
    expect(await problemsOf(machO({ arch, ...offence }), target)).toEqual(problems);
  });

  test('for another processor is refused', async () => {
    const other = arch === 'x64' ? 'arm64' : 'x64';
    expect(await problemsOf(machO({ arch: other }), target)).toEqual([`it is not for ${arch}`]);
  });

  test('without a signature is refused where nothing runs without', async () => {
    const problems = arch === 'arm64' ? ['it is not signed'] : [];
    expect(await problemsOf(machO({ arch, signed: false }), target)).toEqual(problems);
  });
});

const onWindows: readonly Row<Pe>[] = [
  ['without an offence', {}, []],
  ['with every library of the system', { libraries: ['KERNEL32.dll', 'WS2_32.dll', 'msvcrt.dll'] }, []],
  [
    'with a library of the compiler',
    { libraries: ['libstdc++-6.dll', 'libgcc_s_seh-1.dll'] },
    ['it needs the library libstdc++-6.dll', 'it needs the library libgcc_s_seh-1.dll'],
  ],
  ['with a program of one name', { libraries: ['node.exe'] }, ['it needs the library node.exe']],
  [
    'that shows a function of libsodium',
    { exported: [...exportsOfAddon, 'crypto_box'] },
    ['it exports crypto_box'],
  ],
  [
    'without what Node.js looks for',
    { exported: exportsOfAddon.slice(1) },
    ['it does not export napi_register_module_v1'],
  ],
  ['that needs functions of a later Node.js', { wanted: later }, problemsOfLater],
  ['at one address', { characteristics: 0x100 }, ['it is always loaded to the same address']],
  ['with a stack that may be executed', { characteristics: 0x40 }, ['its stack may be executed']],
  ['for another processor', { machine: 0xaa64 }, ['it is not for x64']],
];

describe.each(targets.filter(({ platform }) => platform === 'win32'))('a library for $name', (target) => {
  test.each(onWindows)('%s: problems %j %j', async (_, offence, problems) => {
    expect(await problemsOf(pe(offence), target)).toEqual(problems);
  });
});

test.each(targets)('what is no library at all is refused for $name', async (target) => {
  const noise = Buffer.alloc(4096, 'not a library ');
  await expect(problemsOf(noise, target)).rejects.toThrow(/^llvm-/);
});

/** A copy of a prebuild in which a text is another of the same length. */
function altered(target: Target, from: string, to: string): Buffer {
  const bytes = readFileSync(prebuildFile(target), 'latin1');
  if (!bytes.includes(from) || from.length !== to.length) throw new Error(`cannot change ${from} to ${to}`);
  return Buffer.from(bytes.replaceAll(from, to), 'latin1');
}

// What the real compilers make, where they have, looks otherwise than what is made up above.
for (const target of targets.filter((each) => existsSync(prebuildFile(each)))) {
  test(`prebuilds/${target.file} with a function of a later Node-API in it is refused`, async () => {
    expect(await problemsOf(altered(target, 'napi_create_object', 'napi_crxxte_object'), target)).toContain(
      'it needs napi_crxxte_object, which is neither in Node-API 8 nor in libuv',
    );
  });
}
