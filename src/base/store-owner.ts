// Who has a store open: a process, so that after its end, however it came about, the next one may open the store.

import { randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync, statSync } from 'node:fs';

/** One opening of a store by one process. */
export interface StoreOwner {
  readonly pid: number;
  /** When the process began, in clock ticks since the start of the machine; empty where the system does not say. */
  readonly started: string;
  /** The start of the machine; empty where the system does not say. */
  readonly boot: string;
  /** The name space of process ids, of a container for example; empty where there is none. */
  readonly pidSpace: string;
  /** Of which file, by the numbers that its disk has for it: a copy is another one, that this process has not open. */
  readonly file: string;
  /** Tells two openings apart. */
  readonly opening: string;
}

const selfBoot = textOf(() => readFileSync('/proc/sys/kernel/random/boot_id', 'latin1').trim());
const selfPidSpace = textOf(() => readlinkSync('/proc/self/ns/pid'));

/** This process, for one more opening. @param path of the file. */
export function newOwner(path: string): StoreOwner {
  const { dev, ino } = statSync(path, { bigint: true });
  return {
    pid: process.pid,
    started: startOf(process.pid),
    boot: selfBoot,
    pidSpace: selfPidSpace,
    file: `${dev}:${ino}`,
    opening: randomBytes(8).toString('hex'),
  };
}

export function encodeOwner(owner: StoreOwner): Buffer {
  return Buffer.from(JSON.stringify(owner));
}

/** @returns undefined for anything but an encoded owner. */
export function decodeOwner(bytes: Uint8Array): StoreOwner | undefined {
  let value: unknown;
  try {
    value = JSON.parse(Buffer.from(bytes).toString());
  } catch {
    return undefined;
  }
  if (typeof value !== 'object' || value === null) return undefined;
  if (!('pid' in value) || !Number.isSafeInteger(value.pid)) return undefined;
  const text = (key: string): string => {
    const found: unknown = Object.entries(value).find(([name]) => name === key)?.[1];
    return typeof found === 'string' ? found : '';
  };
  return {
    pid: Number(value.pid),
    started: text('started'),
    boot: text('boot'),
    pidSpace: text('pidSpace'),
    file: text('file'),
    opening: text('opening'),
  };
}

/**
 * Whether that process still runs. One in another name space of process ids cannot be asked for and counts as ended: the store itself keeps
 * two owners apart then, for the older one finds its mark replaced.
 */
export function isRunning(owner: StoreOwner): boolean {
  if (!canBeAskedAfter(owner)) return false;
  try {
    process.kill(owner.pid, 0);
  } catch (error) {
    // EPERM: it runs, as another user.
    if (error instanceof Error && 'code' in error && error.code === 'ESRCH') return false;
  }
  // Another process may have been given its id since.
  return owner.started === startOf(owner.pid);
}

/** Whether its process id says anything here: false for one in another container, or before the last start of the machine. */
export function canBeAskedAfter({ boot, pidSpace }: StoreOwner): boolean {
  return boot === selfBoot && pidSpace === selfPidSpace;
}

/** The 22nd field of /proc/PID/stat; the second, the name, is in brackets and may contain anything. */
function startOf(pid: number): string {
  const stat = textOf(() => readFileSync(`/proc/${pid}/stat`, 'latin1'));
  return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function textOf(read: () => string): string {
  try {
    return read();
  } catch {
    return '';
  }
}
