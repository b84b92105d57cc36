// Where the control sockets of gateways are by default, and which gateways run there.

import { lstatSync, mkdirSync, readdirSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { basename, join } from 'node:path';
import { reachControl } from '../../base/control-line.js';
import { HawserError } from '../../base/errors.js';
import { systemCode, systemReason } from '../../base/system-error.js';

const suffix = '.sock';
const pipePrefix = '\\\\.\\pipe\\';

/** What of the process decides where they are. */
export interface ControlPlace {
  readonly platform?: NodeJS.Platform;
  readonly env?: NodeJS.ProcessEnv;
}

/**
 * The directory of the control sockets of this user: `$XDG_RUNTIME_DIR/hawser`, or `hawser-<uid>` in the directory for temporary files. On
 * Windows, whose pipes have names of their own, what these begin with.
 */
export function controlDirectory({
  platform = process.platform,
  env = process.env,
}: ControlPlace = {}): string {
  if (platform === 'win32') return `${pipePrefix}hawser-${userInfo().username}-`;
  const runtime = env.XDG_RUNTIME_DIR;
  // The base directory specification of freedesktop.org: a relative path is to be ignored.
  if (runtime?.startsWith('/')) return join(runtime, 'hawser');
  return join(tmpdir(), `hawser-${process.getuid?.() ?? 0}`);
}

/** @param name of the gateway. What no name of a file should have is replaced. */
export function controlPathOf(name: string, place: ControlPlace = {}): string {
  const file = name.replaceAll(/[^\w.-]/g, '_').replace(/^\.+/, '_');
  const directory = controlDirectory(place);
  return place.platform === 'win32' || directory.startsWith(pipePrefix)
    ? `${directory}${file}`
    : join(directory, `${file}${suffix}`);
}

/**
 * The path of the control socket of a gateway that is told none. Makes its directory, for this user alone.
 *
 * @throws HawserError ERR_HAWSER_PERMISSION when the directory is another user's, or others may write to it; ERR_HAWSER_SYSTEM.
 */
export function defaultControlPath(name: string, place: ControlPlace = {}): string {
  const directory = controlDirectory(place);
  if (!directory.startsWith(pipePrefix)) {
    try {
      mkdirSync(directory, { recursive: true, mode: 0o700 });
    } catch (error) {
      throw new HawserError(
        systemCode(error) === 'EACCES' ? 'ERR_HAWSER_PERMISSION' : 'ERR_HAWSER_SYSTEM',
        `cannot make ${directory} for the control socket: ${systemReason(error)}; name a path as "control" in the configuration, or false for none`,
        { cause: error },
      );
    }
    checkOwned(directory);
  }
  return controlPathOf(name, place);
}

/**
 * In a directory for everybody somebody else may have made it first, to be asked in a gateway's place.
 *
 * @throws HawserError ERR_HAWSER_PERMISSION, ERR_HAWSER_SYSTEM when there is none.
 */
function checkOwned(directory: string): void {
  const found = lstatSync(directory, { throwIfNoEntry: false });
  if (found === undefined) throw new HawserError('ERR_HAWSER_SYSTEM', `${directory} is not there`);
  const own = process.getuid?.();
  const isOwn = own === undefined || found.uid === own;
  if (found.isDirectory() && isOwn && (found.mode & 0o077) === 0) return;
  throw new HawserError(
    'ERR_HAWSER_PERMISSION',
    `${directory} must be a directory of this user alone (mode 0700): remove it, or name a path as "control" in the configuration`,
  );
}

/** A gateway that runs. */
export interface FoundGateway {
  readonly name: string;
  readonly path: string;
}

/**
 * The gateways of this user that run and have their control sockets where these are by default, by their names.
 *
 * @throws HawserError ERR_HAWSER_PERMISSION when that place is another user's.
 */
export async function runningGateways(place: ControlPlace = {}): Promise<readonly FoundGateway[]> {
  const directory = controlDirectory(place);
  const isPipe = directory.startsWith(pipePrefix);
  if (!isPipe && lstatSync(directory, { throwIfNoEntry: false }) === undefined) return [];
  if (!isPipe) checkOwned(directory);
  const paths = isPipe ? pipesOf(directory) : socketsOf(directory);
  const found: FoundGateway[] = [];
  for (const path of paths) {
    const socket = await reachControl(path, 'the gateway').catch(() => undefined);
    socket?.destroy();
    if (socket !== undefined) found.push({ name: nameOf(path, directory, isPipe), path });
  }
  return found;
}

function socketsOf(directory: string): string[] {
  const names = readdirSync(directory).filter((name) => name.endsWith(suffix));
  return names.sort().map((name) => join(directory, name));
}

/** Windows lists its pipes as files of a directory. */
function pipesOf(prefix: string): string[] {
  const start = prefix.slice(pipePrefix.length);
  const names = readdirSync(pipePrefix).filter((name) => name.startsWith(start));
  return names.sort().map((name) => `${pipePrefix}${name}`);
}

function nameOf(path: string, directory: string, isPipe: boolean): string {
  return isPipe ? path.slice(directory.length) : basename(path, suffix);
}
