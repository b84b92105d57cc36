// What `hawser build` needs to compile the addon: whether this machine has it, and what to type where it does not.

import { type ExecFileException, execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { delimiter, dirname, join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { packagesCommand } from './build-packages.js';

/** One thing that compiling needs. */
export interface BuildTool {
  readonly name: string;
  /** What was found; undefined when it is missing. */
  readonly found: string | undefined;
}

/** A compiler, as node-gyp takes it. */
export interface Compiler {
  readonly cxx: string;
  readonly cc: string | undefined;
}

/** What was found on a machine. */
export interface BuildTools {
  readonly tools: readonly BuildTool[];
  /** Undefined where none was found, and on Windows, where node-gyp looks for Visual Studio itself. */
  readonly compiler: Compiler | undefined;
  /** What to type to have what is missing; undefined when nothing is, or this system's package manager is not known. */
  readonly remedy: string | undefined;
}

/** Standard C++20, and its library of the same age. */
const cxxProbe =
  '#include <compare>\n#include <span>\nint main() { return std::span<int>().empty() ? 0 : 1; }\n';

/** node-gyp runs on no older one. */
const pythonProbe = 'import sys; print(sys.version.split()[0]); sys.exit(sys.version_info < (3, 8))';

/**
 * Looks for all that compiling needs.
 *
 * @param source the folder that holds what is compiled.
 * @param env the environment whose PATH is searched, and whose CXX, CC, MAKE, PYTHON and SODIUM_DIR go before what
 *   would be found.
 */
export async function findBuildTools(source: string, env: NodeJS.ProcessEnv): Promise<BuildTools> {
  const windows = process.platform === 'win32';
  const compiler = windows ? undefined : await findCompiler(env);
  const tools = [
    ...(windows
      ? []
      : [
          { name: 'C++20 compiler', found: compiler?.cxx },
          { name: 'make', found: findProgram(env.MAKE ?? 'make', env) },
        ]),
    { name: 'Python 3', found: await findPython(env) },
    { name: 'libsodium', found: await findSodium(source, env) },
  ];
  const missing = tools.flatMap(({ name, found }) => (found === undefined ? [name] : []));
  const remedy =
    missing.length === 0
      ? undefined
      : packagesCommand(missing, (name) => findProgram(name, env) !== undefined);
  return { tools, compiler, remedy };
}

/** The path of a program in PATH, or of one that is given by its path. */
export function findProgram(name: string, env: NodeJS.ProcessEnv): string | undefined {
  const suffixes = process.platform === 'win32' ? ['.exe', '.cmd', ''] : [''];
  const folders = name.includes('/') ? [''] : (env.PATH ?? '').split(delimiter).filter((dir) => dir !== '');
  const files = folders.flatMap((dir) => suffixes.map((suffix) => join(dir, name + suffix)));
  return files.find((file) => existsSync(file));
}

/** The first of CXX, g++, clang++ and c++ that compiles C++20. */
async function findCompiler(env: NodeJS.ProcessEnv): Promise<Compiler | undefined> {
  const candidates = env.CXX === undefined ? ['g++', 'clang++', 'c++'] : [env.CXX];
  for (const cxx of candidates) {
    // CXX may hold a launcher or options as well: `ccache g++`.
    const [program = cxx, ...words] = cxx.split(' ').filter((word) => word !== '');
    if (findProgram(program, env) === undefined) continue;
    const args = [...words, '-std=c++20', '-fsyntax-only', '-x', 'c++', '-'];
    if ((await output(program, args, env, cxxProbe)) === undefined) continue;
    // node-gyp takes gcc, where it is not told otherwise, and a machine may have clang alone.
    return { cxx, cc: env.CC ?? (cxx === 'clang++' ? 'clang' : undefined) };
  }
  return undefined;
}

async function findPython(env: NodeJS.ProcessEnv): Promise<string | undefined> {
  // In the order of node-gyp.
  const given = [env.NODE_GYP_FORCE_PYTHON, env.npm_config_python, env.PYTHON].filter(
    (name) => name !== undefined,
  );
  for (const name of [...given, 'python3', 'python']) {
    const version = await output(name, ['-c', pythonProbe], env);
    if (version !== undefined) return `${version.trim()} (${findProgram(name, env) ?? name})`;
  }
  return undefined;
}

/** The static library with its header, as scripts/libsodium.mjs finds them for binding.gyp. */
async function findSodium(source: string, env: NodeJS.ProcessEnv): Promise<string | undefined> {
  const module = pathToFileURL(join(source, 'scripts', 'libsodium.mjs')).href;
  const program = `import(${JSON.stringify(module)}).then((m) => console.log(JSON.stringify(m.findLibsodium())))`;
  // The last is for the script, which looks at how it was started.
  const printed = await output(process.execPath, ['-e', program, module], env);
  if (printed === undefined) return undefined;
  const found: unknown = JSON.parse(printed);
  if (typeof found !== 'object' || found === null || !('header' in found) || !('archive' in found))
    return undefined;
  return typeof found.archive === 'string' ? found.archive : undefined;
}

/** What a program prints; undefined when it cannot be started, fails, or takes longer than half a minute. */
function output(
  program: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
  input = '',
): Promise<string | undefined> {
  return new Promise((resolve) => {
    const done = (error: ExecFileException | null, stdout: string): void =>
      resolve(error === null ? stdout : undefined);
    const child = execFile(program, [...args], { env, timeout: 30_000 }, done);
    // A program that does not read its input is no error of ours.
    child.stdin?.on('error', () => undefined).end(input);
  });
}

/**
 * Where Node's own headers are, if this one came with them: then nothing has to be fetched.
 *
 * @returns the prefix, as node-gyp's `--nodedir` takes it.
 */
export function headersPrefix(execPath: string = process.execPath): string | undefined {
  const prefix = dirname(dirname(execPath));
  return existsSync(join(prefix, 'include', 'node', 'node_api.h')) ? prefix : undefined;
}
