// Drives disk-shim.c: what a child process writes to the files of a store, when it syncs them and what it acknowledges when, and disks
// that are full or broken. For Linux.

import { execFileSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { constants, tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';

/** One thing that the process did, in the order in which it happened. */
export type DiskEvent =
  /** `write`: changed pages; `meta`: the page that makes a commit the current one, synced by itself; `sync`: fdatasync or fsync. */
  | { readonly at: 'begin'; readonly what: 'write' | 'meta' | 'sync' }
  /** @property error 0, or the errno with which it failed. */
  | { readonly at: 'end'; readonly what: 'write' | 'meta' | 'sync'; readonly error: number }
  /** "payload:N;" was in the write that is about to end. */
  | { readonly at: 'payload'; readonly payload: number }
  /** The process wrote this line to the file `marks`. */
  | { readonly at: 'mark'; readonly text: string };

/** What can fail: see disk-shim.c. */
export type DiskFault = 'room' | 'write' | 'short' | 'meta' | 'sync';

/** The shim, built for one test. */
export class DiskShim {
  readonly #folder: string = mkdtempSync(join(tmpdir(), 'hawser-disk-shim-'));

  constructor() {
    const source = fileURLToPath(new URL('disk-shim.c', import.meta.url));
    const compiler = process.env.CC ?? 'cc';
    const library = join(this.#folder, 'disk-shim.so');
    execFileSync(compiler, ['-O1', '-shared', '-fPIC', '-o', library, source, '-ldl', '-lpthread']);
  }

  /** For the environment of a child process, beside what it needs else. */
  get environment(): { readonly [name: string]: string } {
    return {
      LD_PRELOAD: join(this.#folder, 'disk-shim.so'),
      HAWSER_DISK_LOG: join(this.#folder, 'log'),
      HAWSER_DISK_FAIL: join(this.#folder, 'fail'),
    };
  }

  /** Where the child writes its marks, a line each, at once: the path of a file that it opens for appending. */
  get marks(): string {
    return join(this.#folder, 'marks');
  }

  /** From now on such calls fail, after some that pass. */
  fail(fault: DiskFault, code: 'ENOSPC' | 'EDQUOT' | 'EIO', after = 0): void {
    const path = this.environment.HAWSER_DISK_FAIL ?? '';
    writeFileSync(`${path}.new`, `${fault} ${constants.errno[code]} ${after}`);
    renameSync(`${path}.new`, path);
  }

  /** Nothing fails any more. */
  heal(): void {
    rmSync(join(this.#folder, 'fail'), { force: true });
  }

  /** What has happened so far. */
  events(): DiskEvent[] {
    const path = join(this.#folder, 'log');
    if (!existsSync(path)) return [];
    return readFileSync(path, 'utf8').split('\n').filter(Boolean).map(parseEvent);
  }

  [Symbol.dispose](): void {
    rmSync(this.#folder, { recursive: true, force: true });
  }
}

function parseEvent(line: string): DiskEvent {
  const [at, first = '', second = ''] = line.split(' ');
  if (at === 'mark') return { at, text: line.slice('mark '.length) };
  if (at === 'payload') return { at, payload: Number(first) };
  if (first === 'write' || first === 'meta' || first === 'sync') {
    if (at === 'begin') return { at, what: first };
    if (at === 'end') return { at, what: first, error: Number(second) };
  }
  throw new Error(`the shim said ${line}`);
}

/**
 * The payloads whose mark "ack N" came before the store had them for good: written, then synced, then made current by a synced write, each
 * without error. A test expects none.
 */
export function acknowledgedTooEarly(events: readonly DiskEvent[]): number[] {
  const stages = { written: new Set<number>(), synced: new Set<number>(), durable: new Set<number>() };
  let syncing = new Set<number>();
  let current = new Set<number>();
  const early: number[] = [];
  for (const event of events) {
    if (event.at === 'payload') stages.written.add(event.payload);
    else if (event.at === 'mark') {
      const acknowledged = /^ack (\d+)$/.exec(event.text)?.[1];
      if (acknowledged !== undefined && !stages.durable.has(Number(acknowledged)))
        early.push(Number(acknowledged));
    } else if (event.at === 'begin' && event.what === 'sync') syncing = new Set(stages.written);
    else if (event.at === 'begin' && event.what === 'meta') current = new Set(stages.synced);
    else if (event.at === 'end' && event.error === 0) {
      if (event.what === 'sync') for (const each of syncing) stages.synced.add(each);
      if (event.what === 'meta') for (const each of current) stages.durable.add(each);
    }
  }
  return early;
}
