// scripts/prebuild/check.mjs: what is in prebuilds/ may be published, and what for Linux may not is found.

import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { checkPrebuild, maxPrebuildBytes } from '../../scripts/prebuild/check.mjs';
import { compareVersions } from '../../scripts/prebuild/check-elf.mjs';
import { prebuildFile, type Target, targets } from '../../scripts/prebuild/targets.mjs';
import { compileLibrary, compileOffender, nativeTarget, type Offence } from './offenders.js';

let folder: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), 'hawser-prebuild-'));
});
afterAll(() => rmSync(folder, { recursive: true, force: true }));

// What `npm run prebuild` has made here; on most machines there are none.
for (const target of targets.filter((each) => existsSync(prebuildFile(each)))) {
  test(`prebuilds/${target.file} may be published`, async () => {
    expect((await checkPrebuild(prebuildFile(target), target)).problems).toEqual([]);
  });
}

describe.skipIf(nativeTarget === undefined)('a library for Linux', () => {
  const target = nativeTarget as Target;
  let count = 0;
  const problemsOf = async (offence: Offence): Promise<string[]> => {
    count += 1;
    return (await checkPrebuild(compileOffender(folder, `offender-${count}`, offence), target)).problems;
  };

  test('without an offence passes', async () => {
    expect(await problemsOf({})).toEqual([]);
  });

  test.each(['crypto_aead_encrypt', 'sodium_init'])('that exports %s is refused', async (name) => {
    expect(await problemsOf({ code: `SHOWN int ${name}(void) { return 0; }` })).toEqual([
      `it exports ${name}`,
    ]);
  });

  test('that does not export what Node.js looks for is refused', async () => {
    expect(await problemsOf({ whole: 'int nothing;' })).toEqual([
      'it does not export napi_register_module_v1',
      'it does not export node_api_module_get_api_version_v1',
    ]);
  });

  test.each([
    ['GLIBC_2.29', ['it needs GLIBC_2.29; GLIBC_2.28 is what the oldest systems have']],
    ['GLIBC_2.100', ['it needs GLIBC_2.100; GLIBC_2.28 is what the oldest systems have']],
    ['GLIBCXX_3.4', ['it needs GLIBCXX_3.4; GLIBC_2.28 is what the oldest systems have']],
    ['GLIBC_2.28', []],
    ['GLIBC_2.4', []],
  ])('that needs %s: problems %j', async (version, problems) => {
    const flags = compileLibrary(folder, 'libc.so.6', 'needed_function', version);
    expect(await problemsOf({ code: useOf('needed_function'), flags })).toEqual(problems);
  });

  test('that needs a library of the C++ compiler is refused', async () => {
    const flags = compileLibrary(folder, 'libstdc++.so.6', 'needed_function', 'GLIBC_2.17');
    expect(await problemsOf({ code: useOf('needed_function'), flags })).toEqual([
      'it needs the library libstdc++.so.6',
    ]);
  });

  test('that needs a function that Node-API 8 and libuv do not have is refused', async () => {
    const code = useOf('napi_of_the_future') + useOf('uv_poll_init') + useOf('uv_of_the_future');
    expect((await problemsOf({ code })).sort()).toEqual([
      'it needs napi_of_the_future, which is neither in Node-API 8 nor in libuv',
      'it needs uv_of_the_future, which is neither in Node-API 8 nor in libuv',
    ]);
  });

  test('of 1 MiB or more is refused', async () => {
    const code = `static const char much[${maxPrebuildBytes}] = {1}; const char* volatile kept = much;`;
    expect(await problemsOf({ code })).toEqual([
      expect.stringMatching(new RegExp(`^it is \\d+ bytes long; less than ${maxPrebuildBytes} is allowed$`)),
    ]);
  });

  test('that holds a path of a machine is refused', async () => {
    const code = 'const char* volatile place = "/home/somebody/hawser/native/io/turns.cpp";';
    expect(await problemsOf({ code })).toEqual(['it holds a path of a machine: /home/']);
  });

  test('with all its names is refused', async () => {
    expect(await problemsOf({ unstripped: true })).toEqual(['it is not stripped']);
  });

  test.each([
    ['an executable stack', ['-Wl,-z,execstack'], 'its stack may be executed'],
    ['a table of functions that stays writable', ['-Wl,-z,lazy'], 'its table of functions stays writable'],
    ['a place of its own for libraries', ['-Wl,-rpath,/opt'], 'it looks for libraries in a place of its own'],
  ])('with %s is refused', async (_, flags, problem) => {
    expect(await problemsOf({ flags })).toEqual([problem]);
  });

  test('for another processor is refused', async () => {
    const other = targets.find(
      ({ platform, arch }) => platform === 'linux' && arch !== target.arch,
    ) as Target;
    const file = compileOffender(folder, 'other-processor', {});
    expect((await checkPrebuild(file, { ...target, arch: other.arch })).problems).toEqual([
      `it is not for ${other.arch}`,
    ]);
  });
});

test('a file that is not there is refused', async () => {
  const [target] = targets as [Target];
  const file = join(folder, 'nothing.node');
  expect((await checkPrebuild(file, target)).problems).toEqual([`there is no ${file}`]);
});

test('versions are compared by their numbers', () => {
  const sorted = ['2.2.5', '2.4', '2.17', '2.28', '2.100', '10.0'];
  expect([...sorted].reverse().sort(compareVersions)).toEqual(sorted);
  expect(compareVersions('11.0', '11')).toBe(0);
});

/** C that calls a function of somebody else. */
function useOf(name: string): string {
  return `extern int ${name}(void); int (*volatile use_of_${name})(void) = ${name};\n`;
}
