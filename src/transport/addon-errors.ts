// Says why there is no addon, or why one that is there cannot be used, and what to do about it: one line each.

import { existsSync } from 'node:fs';
import { join } from 'node:path';
import { HawserError } from '../base/errors.js';
import type { AddonFile } from './load-addon.js';

/** Nothing was built for this platform. */
export function addonMissing(root: string, cause: unknown): HawserError {
  const looked = `neither ${join(root, 'build', 'Release', 'hawser.node')} nor ${prebuildPath(root)}`;
  return error(
    `hawser has no native addon for ${platformText()}: ${looked} is there; compile it with ${buildCommand(root)}`,
    cause,
  );
}

/** There is a file, and the operating system or Node.js does not load it. */
export function addonBroken(file: AddonFile, cause: unknown): HawserError {
  const reason = reasonOf(cause);
  return error(
    `the native addon of hawser (${origins[file.origin]} ${file.path}) cannot be loaded on ${platformText()}: ${reason}; ${remedy(file, cause, reason)}`,
    cause,
  );
}

/** There is a file, or should be, and it is not what it must be. */
export function addonUnfit(file: AddonFile, why: string): HawserError {
  const what =
    file.origin === 'environment'
      ? `correct or unset ${variable}, or compile`
      : 'install hawser again, or compile';
  return error(
    `the native addon of hawser (${origins[file.origin]} ${file.path}) cannot be used: ${why}; ${what} it anew with ${command}`,
  );
}

/** The code is not in its package any more, and so cannot find what else is in there. */
export function codeMoved(): HawserError {
  return error(
    `the code of hawser was bundled, and its native addon (${platformText()}) is not beside it: leave hawser out of the bundle ("external"), or set ${variable} to the addon's file`,
  );
}

const variable = 'HAWSER_ADDON';
const command = '"npx hawser build"';
const origins = { environment: variable, build: 'built here,', prebuild: 'prebuilt,' } as const;

function error(message: string, cause?: unknown): HawserError {
  return new HawserError('ERR_HAWSER_ADDON_MISSING', message, cause === undefined ? undefined : { cause });
}

/** In a clone the sources are elsewhere than in an installed package. */
function buildCommand(root: string): string {
  return existsSync(join(root, 'binding.gyp')) ? '"npm run setup"' : command;
}

/** Where a prebuild for this process would be. */
function prebuildPath(root: string): string {
  // As node-gyp-build tells one from the other.
  const libc = process.env.LIBC ?? (existsSync('/etc/alpine-release') ? 'musl' : 'glibc');
  const file = process.platform === 'linux' ? `hawser.${libc}.node` : 'hawser.node';
  return join(root, 'prebuilds', `${process.platform}-${process.arch}`, file);
}

/** Platform, processor, C library and version of Node.js: `linux-x64 (glibc 2.36, Node.js 20.19.0)`. */
export function platformText(): string {
  const libc = libcText();
  const parts = [...(libc === undefined ? [] : [libc]), `Node.js ${process.versions.node}`];
  return `${process.platform}-${process.arch} (${parts.join(', ')})`;
}

/** Which C library this process runs on; undefined where there is no choice of several. */
function libcText(): string | undefined {
  if (process.platform !== 'linux') return undefined;
  const report: unknown = process.report.getReport();
  const header =
    typeof report === 'object' && report !== null && 'header' in report ? report.header : undefined;
  if (typeof header !== 'object' || header === null) return 'unknown libc';
  // musl does not tell its version.
  return 'glibcVersionRuntime' in header ? `glibc ${String(header.glibcVersionRuntime)}` : 'musl';
}

/** The first line, without the path that is in the message already. */
function reasonOf(cause: unknown): string {
  const message = cause instanceof Error ? cause.message : String(cause);
  const [first = ''] = message.split('\n');
  return first.trim();
}

function remedy(file: AddonFile, cause: unknown, reason: string): string {
  const compile = `compile one for this system with ${command}`;
  if (cause instanceof Error && 'code' in cause && cause.code === 'ERR_DLOPEN_DISABLED')
    return 'start Node.js with --allow-addons, or without --permission';
  // Each is what glibc, musl, macOS or Windows says.
  if (/version [`'](?:GLIBC|GLIBCXX|CXXABI)_/.test(reason))
    return `it was made for a system with a newer C library: ${compile}`;
  if (/ld-linux|Error relocating/.test(reason) && libcText() === 'musl')
    return `it was made for glibc: set LIBC=musl, so that the one for musl is taken, or ${compile}`;
  if (/failed to map segment|Operation not permitted/.test(reason))
    return 'the file system it is on does not let programs run (noexec), or a security policy forbids it';
  if (isOfAnotherKind(file, reason))
    return `it is damaged, or for another platform: install hawser again, or ${compile}`;
  return compile;
}

function isOfAnotherKind(file: AddonFile, reason: string): boolean {
  if (
    /ELF|file too short|file data|Exec format|not a valid Win32|mach-o|incompatible architecture/i.test(
      reason,
    )
  )
    return true;
  // glibc passes over a file for another processor, and then says that there is none.
  return reason.startsWith(`${file.path}: cannot open shared object file`);
}
