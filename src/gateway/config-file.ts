// Finds and reads the file of a configuration.

import { existsSync } from 'node:fs';
import { readFile, realpath, stat } from 'node:fs/promises';
import { createRequire } from 'node:module';
import { basename, dirname, extname, resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import { unlessAborted } from '../base/abort.js';
import { HawserError } from '../base/errors.js';
import { systemReason } from '../base/system-error.js';
import type { GatewayConfig } from './config.js';
import { checkGatewayConfig } from './config-check.js';
import { configError } from './config-values.js';
import type { GatewayPlan } from './plan.js';

/** Where a configuration is looked for, in this order. */
export const configNames = [
  'hawser.config.js',
  'hawser.config.mjs',
  'hawser.config.ts',
  'hawser.config.mts',
  'hawser.config.json',
] as const;

const maxJsonBytes = 1_048_576;
/** For the code of a configuration: a reload that never ends would keep every later one waiting. */
const maxRunMs = 60_000;
let readings = 0;

/** A configuration that was read from a file, and checked: what `openGateway` takes, and reads again when it reloads. */
export class ConfigFile {
  /** Its absolute path. */
  readonly file: string;
  /** What it says. */
  readonly config: GatewayConfig;
  /** @internal What that means, with every default. */
  readonly plan: GatewayPlan;

  /** @internal */
  constructor(file: string, config: GatewayConfig, plan: GatewayPlan) {
    this.file = file;
    this.config = config;
    this.plan = plan;
  }

  /** Reads it again. @throws HawserError (rejects) as `loadConfig`. */
  read(): Promise<ConfigFile> {
    return readConfig(this.file);
  }
}

/**
 * Says what type a configuration has, in a file of JavaScript: `export default defineConfig({ ... })`.
 *
 * @returns what it is given.
 */
export function defineConfig<T extends GatewayConfig | (() => GatewayConfig | Promise<GatewayConfig>)>(
  config: T,
): T {
  return config;
}

/**
 * Reads a configuration, and checks all of it: a file of JavaScript or TypeScript whose default export is one, or a function that returns
 * one or a promise of it; or of JSON.
 *
 * @param file by default the first of `hawser.config.js`, `.mjs`, `.ts`, `.mts` and `.json` in the working directory.
 * @throws HawserError (rejects) ERR_HAWSER_CONFIG: the message has the file, the path of what is wrong in it, and what is allowed.
 */
export async function loadConfig(file?: string): Promise<ConfigFile> {
  return readConfig(resolve(file ?? findConfig()));
}

function findConfig(): string {
  const found = configNames.find((name) => existsSync(name));
  if (found !== undefined) return found;
  throw configError(`there is no ${configNames.join(', ')} in ${process.cwd()}; give a file`);
}

async function readConfig(file: string): Promise<ConfigFile> {
  const extension = extname(file);
  const content = extension === '.json' ? await readJson(file) : await importConfig(file, extension);
  try {
    const plan = checkGatewayConfig(content, dirname(file));
    // It has just been checked to be one.
    return new ConfigFile(file, content as GatewayConfig, plan);
  } catch (error) {
    if (!(error instanceof HawserError)) throw error;
    throw new HawserError(error.code, `${file}: ${error.message}`, { cause: error });
  }
}

async function readJson(file: string): Promise<unknown> {
  let bytes: Uint8Array;
  try {
    // A pipe would be waited for, and a device has no end.
    const found = await stat(file);
    if (!found.isFile()) throw configError(`cannot read ${file}: it is no regular file`);
    if (found.size > maxJsonBytes) throw configError(`${file} has more than ${maxJsonBytes} bytes`);
    bytes = await readFile(file);
  } catch (error) {
    if (error instanceof HawserError) throw error;
    throw configError(`cannot read ${file}: ${systemReason(error)}`, error);
  }
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(bytes));
  } catch (error) {
    // The message of JSON.parse repeats what is there, which may be a key.
    const position =
      error instanceof SyntaxError
        ? /at position \d+(?: \(line \d+ column \d+\))?/.exec(error.message)
        : null;
    const where = position === null ? '' : `: it ends being so ${position[0]}`;
    throw configError(error instanceof SyntaxError ? `${file} is not JSON${where}` : `${file} is not UTF-8`);
  }
}

async function importConfig(file: string, extension: string): Promise<unknown> {
  if (!['.js', '.mjs', '.cjs', '.ts', '.mts', '.cts'].includes(extension)) {
    throw configError(`${file}: a configuration is a file of .js, .mjs, .ts or .json`);
  }
  if (!existsSync(file)) throw configError(`cannot read ${file}: no such file or directory`);
  if (extension.endsWith('ts') && !stripsTypes()) {
    throw configError(
      `${file}: Node.js ${process.versions.node} does not run TypeScript; 22.18, 24 and later do, earlier versions from 22.10 on with --experimental-strip-types: or write the configuration as .js (with "@type {import('hawser/gateway').GatewayConfig}" in a comment) or .json`,
    );
  }
  let exported: unknown;
  try {
    await forget(file);
    exported = await inTime(exportOf(file));
  } catch (error) {
    throw configError(`cannot load ${file}: ${reasonOf(error, file)}`, error);
  }
  if (exported !== undefined) return exported;
  throw configError(`${file} must export a configuration, or a function that returns one, as its default`);
}

async function exportOf(file: string): Promise<unknown> {
  // Modules are kept by their URL: one that is read again needs another.
  const module: { readonly default?: unknown } = await import(
    `${pathToFileURL(file).href}?reading=${++readings}`
  );
  return typeof module.default === 'function' ? module.default() : module.default;
}

async function inTime<T>(work: Promise<T>): Promise<T> {
  const late = new AbortController();
  const reason = new Error(`it has not come to its end in ${maxRunMs / 1000} s`);
  const timer = setTimeout(() => late.abort(reason), maxRunMs).unref();
  try {
    return await unlessAborted(work, late.signal);
  } catch (error) {
    throw late.signal.aborted ? reason : error;
  } finally {
    clearTimeout(timer);
  }
}

/** CommonJS keeps modules by their file, whatever the URL. */
async function forget(file: string): Promise<void> {
  const { cache } = createRequire(import.meta.url);
  delete cache[await realpath(file)];
}

/** With where it was thrown, but without the lines of the file that Node.js may show there: a key can be in them. */
function reasonOf(error: unknown, file: string): string {
  if (!(error instanceof Error)) return String(error);
  const [first = '', ...lines] = error.stack?.split('\n') ?? [];
  const isThrown = lines.some((line) => line.trimStart().startsWith('at ') && line.includes(basename(file)));
  if (!(error instanceof SyntaxError) || isThrown) return error.stack ?? error.message;
  const line = /:(\d+)$/.exec(first)?.[1];
  const where = line === undefined ? `; "node --check ${file}" shows where` : ` in line ${line}`;
  return `SyntaxError: ${error.message}${where}`;
}

/** Whether this Node.js runs files with types: `process.features.typescript` of those that can. */
function stripsTypes(): boolean {
  return Boolean(Reflect.get(process.features, 'typescript'));
}
