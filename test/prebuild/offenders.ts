// Shared libraries for Linux that must not be published, made by this machine's compiler: one for each rule.

import { execFileSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Target, targets } from '../../scripts/prebuild/targets.mjs';

/** What this machine's compiler makes. */
export const nativeTarget: Target | undefined = targets.find(
  ({ platform, arch, libc }) => platform === process.platform && arch === process.arch && libc === 'glibc',
);

/** What every addon has: the checks find nothing else to say of it. */
const addon = `
  #define SHOWN __attribute__((visibility("default")))
  extern int napi_create_object(void*, void**);
  SHOWN int node_api_module_get_api_version_v1(void) { return 8; }
  SHOWN void* napi_register_module_v1(void* env, void* exports) {
    napi_create_object(env, &exports);
    return exports;
  }
`;

/** What makes a library an offender. */
export interface Offence {
  /** More C. */
  readonly code?: string;
  /** More for the compiler's command line. */
  readonly flags?: readonly string[];
  /** Instead of what every addon has. */
  readonly whole?: string;
  /** Left as the linker makes it, with all names. */
  readonly unstripped?: boolean;
}

function compile(source: string, file: string, flags: readonly string[]): void {
  const always = [
    '-x',
    'c',
    '-',
    '-x',
    'none',
    '-shared',
    '-fPIC',
    '-O1',
    '-fvisibility=hidden',
    '-nostdlib',
    '-o',
    file,
  ];
  execFileSync('cc', [...always, ...flags], { input: source, stdio: ['pipe', 'pipe', 'pipe'] });
}

/** Makes the library of an offence in a folder. @returns its file */
export function compileOffender(folder: string, name: string, offence: Offence): string {
  const file = join(folder, `${name}.node`);
  const hardened = ['-Wl,-z,now', '-Wl,-z,relro', '-Wl,-z,noexecstack'];
  const flags = [...hardened, ...(offence.unstripped ? [] : ['-s']), ...(offence.flags ?? [])];
  compile(`${offence.whole ?? addon}\n${offence.code ?? ''}`, file, flags);
  return file;
}

/** Makes a library that others can need, whose function has a version. @returns the flags to link with it */
export function compileLibrary(folder: string, soname: string, symbol: string, version: string): string[] {
  const place = join(folder, `${soname}-${version}`);
  mkdirSync(place);
  const map = join(place, 'versions.map');
  writeFileSync(map, `${version} { global: ${symbol}; };\n`);
  const flags = [`-Wl,-soname,${soname}`, `-Wl,--version-script=${map}`];
  const code = `__attribute__((visibility("default"))) int ${symbol}(void) { return 1; }`;
  compile(code, join(place, 'library.so'), flags);
  return ['-Wl,--no-as-needed', join(place, 'library.so')];
}
