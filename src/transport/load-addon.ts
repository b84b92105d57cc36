// Finds the file of the addon and loads it. What is wrong with a file that is not there or does not load is said in
// addon-errors.ts.

import { existsSync, readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { HawserError } from '../base/errors.js';
import { addonBroken, addonMissing, addonUnfit, codeMoved } from './addon-errors.js';
import { checkAddonLength } from './addon-length.js';
import type { NativeAddon } from './native.js';

/** The environment variable that names the file to load instead of those of the package. */
export const addonVariable = 'HAWSER_ADDON';

/** A file that holds the addon. */
export interface AddonFile {
  /** Absolute. */
  readonly path: string;
  /**
   * `environment`: named by {@link addonVariable}. `build`: compiled on this machine, into `build/Release` of the package.
   * `prebuild`: came with the package.
   */
  readonly origin: 'environment' | 'build' | 'prebuild';
}

/** What tells where the addon is: apart from tests, always that of this package and this process. */
export interface AddonPlace {
  /** The root of the package; undefined where the code was moved out of it. */
  readonly root: string | undefined;
  /** The value of {@link addonVariable}. */
  readonly named: string | undefined;
}

/** What node-gyp-build exports; it has no types of its own. */
interface NodeGypBuild {
  resolve(folder: string): string;
}

let loaded: NativeAddon | undefined;

/**
 * The addon, loaded when it is first needed, so that importing the package never fails for want of it.
 *
 * @throws HawserError ERR_HAWSER_NODE_VERSION or ERR_HAWSER_ADDON_MISSING.
 */
export function loadAddon(): NativeAddon {
  if (loaded !== undefined) return loaded;
  checkNodeVersion(process.versions.node);
  loaded = openAddon(ownPlace());
  return loaded;
}

/** The file that {@link loadAddon} loads. @throws HawserError ERR_HAWSER_ADDON_MISSING when there is none. */
export function addonFile(): AddonFile {
  return findAddon(ownPlace());
}

/** Loads the addon of a place. @throws HawserError ERR_HAWSER_ADDON_MISSING. */
export function openAddon(place: AddonPlace): NativeAddon {
  const file = findAddon(place);
  let exported: unknown;
  try {
    checkAddonLength(file.path);
    exported = createRequire(file.path)(file.path);
  } catch (cause) {
    throw addonBroken(file, cause);
  }
  if (!isAddon(exported)) throw addonUnfit(file, 'it is no addon of hawser');
  const version = place.root === undefined ? undefined : versionIn(place.root);
  // One that was compiled for an earlier version, and outlived an update of the package: its functions may differ.
  if (version !== undefined && exported.version !== version) {
    throw addonUnfit(file, `it belongs to version ${exported.version} of hawser, and this is ${version}`);
  }
  return exported;
}

/** The file of the addon in a place. @throws HawserError ERR_HAWSER_ADDON_MISSING when there is none. */
export function findAddon({ root, named }: AddonPlace): AddonFile {
  if (named !== undefined && named !== '') {
    const path = resolve(named);
    if (existsSync(path)) return { path, origin: 'environment' };
    throw addonUnfit({ path, origin: 'environment' }, 'there is no such file');
  }
  if (root === undefined) throw codeMoved();
  let path: string;
  try {
    path = nodeGypBuild(root).resolve(root);
  } catch (cause) {
    throw addonMissing(root, cause);
  }
  return { path, origin: path.startsWith(join(root, 'build') + sep) ? 'build' : 'prebuild' };
}

function nodeGypBuild(root: string): NodeGypBuild {
  return createRequire(join(root, 'package.json'))('node-gyp-build');
}

function ownPlace(): AddonPlace {
  return { root: packageRoot(), named: process.env[addonVariable] };
}

/**
 * The root of this package, two folders above this file; undefined where that is not so: a bundler has put this code
 * elsewhere (into CommonJS even: then it has no URL).
 */
export function packageRoot(): string | undefined {
  const own: string | undefined = import.meta.url;
  if (own === undefined) return undefined;
  const root = fileURLToPath(new URL('../..', own));
  return versionIn(root) === undefined ? undefined : root;
}

/** The version in the package.json of a folder; undefined when that is not of this package. */
function versionIn(root: string): string | undefined {
  const file = join(root, 'package.json');
  if (!existsSync(file)) return undefined;
  const manifest: unknown = JSON.parse(readFileSync(file, 'utf8'));
  if (typeof manifest !== 'object' || manifest === null || !('version' in manifest)) return undefined;
  return 'name' in manifest && manifest.name === 'hawser' ? String(manifest.version) : undefined;
}

function isAddon(exported: unknown): exported is NativeAddon {
  if (typeof exported !== 'object' || exported === null) return false;
  const parts = new Map(Object.entries(exported));
  const has = (name: string, type: string): boolean => typeof parts.get(name) === type;
  return (
    has('version', 'string') &&
    has('constants', 'object') &&
    has('secrets', 'object') &&
    has('NativeEndpoint', 'function') &&
    has('NativeSimulation', 'function')
  );
}

/** @throws HawserError ERR_HAWSER_NODE_VERSION outside the `engines` of package.json. */
export function checkNodeVersion(version: string): void {
  const [major = 0, minor = 0] = version.split('.').map(Number);
  if (major > 22 || (major === 22 && minor >= 12) || (major === 20 && minor >= 19)) return;
  throw new HawserError(
    'ERR_HAWSER_NODE_VERSION',
    `hawser needs Node.js 20.19 or later, or 22.12 or later; this is ${version}`,
  );
}
