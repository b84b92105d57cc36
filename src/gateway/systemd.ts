// What a gateway tells systemd of itself, when that has started it with Type=notify: sd_notify(3), over the Unix socket that the environment
// names.

import { loadAddon } from '../transport/native.js';
import type { Logger } from './log/logger.js';

/** What systemd hands over in the environment; it is taken out, so that no process that is started has it. */
const variables = ['NOTIFY_SOCKET', 'WATCHDOG_USEC', 'WATCHDOG_PID'] as const;

/** A timer of more has none. */
const maxTimerMs = 2 ** 31 - 1;

export interface SystemdOptions {
  /** `process.env` by default. */
  readonly env?: NodeJS.ProcessEnv;
  /** Told once when systemd cannot be reached. */
  readonly log: Logger;
}

/** The service manager that waits for this process. What cannot be told is no reason to end: systemd then decides by itself. */
export class Systemd implements Disposable {
  readonly #path: string;
  readonly #log: Logger;
  readonly #watchdogMs: number | undefined;
  #timer: NodeJS.Timeout | undefined;
  #hasFailed = false;
  #status = '';

  /** @returns undefined when no service manager waits. */
  static fromEnvironment({ env = process.env, log }: SystemdOptions): Systemd | undefined {
    const [path, watchdogMicros, watchdogPid] = variables.map((name) => env[name]);
    for (const name of variables) delete env[name];
    if (path === undefined || path === '') return undefined;
    // sd_watchdog_enabled(3): that of another process is none of ours.
    const isOurs = watchdogPid === undefined || watchdogPid === String(process.pid);
    return new Systemd(path, log, isOurs ? positive(watchdogMicros) : undefined);
  }

  private constructor(path: string, log: Logger, watchdogMicros: number | undefined) {
    this.#path = path;
    this.#log = log;
    // sd_watchdog_enabled(3) recommends half of the time.
    this.#watchdogMs =
      watchdogMicros === undefined ? undefined : Math.min(Math.max(1, watchdogMicros / 2000), maxTimerMs);
  }

  /** It serves; also the end of a reload. From now on the watchdog hears of each turn of the event loop that comes in time. */
  ready(): void {
    this.#notify(['READY=1']);
    if (this.#watchdogMs === undefined || this.#timer !== undefined) return;
    this.#timer = setInterval(() => this.#notify(['WATCHDOG=1']), this.#watchdogMs).unref();
  }

  /** A reload has begun; `ready` is its end, however it ended. */
  reloading(): void {
    // Type=notify-reload compares it with the time of its SIGHUP; Node's clock is CLOCK_MONOTONIC, too.
    this.#notify(['RELOADING=1', `MONOTONIC_USEC=${process.hrtime.bigint() / 1000n}`]);
  }

  /** It ends. @param withinMs how long that may take: systemd waits so long beyond its own limit. */
  stopping(withinMs: number): void {
    this.#notify(['STOPPING=1', `EXTEND_TIMEOUT_USEC=${Math.ceil(withinMs * 1000)}`]);
  }

  /** @param text a line that `systemctl status` shows. Told only when it has changed. */
  status(text: string): void {
    if (text === this.#status) return;
    this.#status = text;
    // One line: whatever is behind its end would be read as another assignment.
    this.#notify([`STATUS=${text.replaceAll(/\p{Cc}+/gu, ' ')}`]);
  }

  /** The watchdog hears nothing more. */
  [Symbol.dispose](): void {
    clearInterval(this.#timer);
    this.#timer = undefined;
  }

  #notify(assignments: readonly string[]): void {
    try {
      loadAddon().systemdNotify(this.#path, assignments.join('\n'));
    } catch (error) {
      if (this.#hasFailed) return;
      this.#hasFailed = true;
      this.#log.warn({ err: error }, 'systemd cannot be told of the state of this gateway');
    }
  }
}

function positive(text: string | undefined): number | undefined {
  const value = Number(text);
  return text !== undefined && Number.isSafeInteger(value) && value > 0 ? value : undefined;
}
