// Options of the commands that open sockets: who sends and receives there.

import type { ClientOptions, ServerOptions } from '../transport/options.js';
import { UsageError } from './errors.js';
import { choice, integer, type Option, optional, withDefault } from './options.js';
import { count } from './terminal.js';

/** The options of commands that open clients. */
export const driverOptions: {
  readonly driver: Option<'loop' | 'threads'>;
  readonly spinMicros: Option<number | undefined>;
} = {
  driver: withDefault(
    choice(['loop', 'threads']),
    'loop',
    'who sends and receives: the event loop, or I/O threads (Linux only)',
  ),
  spinMicros: optional(
    integer(0, 1000),
    'with --driver threads: for how many microseconds at most a thread looks for work before it sleeps (default: 50, with one core 0)',
  ),
};

/** The options of commands that open gateways. */
export const gatewayDriverOptions: typeof driverOptions & { readonly threads: Option<number | undefined> } = {
  driver: driverOptions.driver,
  threads: optional(
    integer(1, 64),
    'with --driver threads: how many, each with a socket and a share of the peers (default: 1)',
  ),
  spinMicros: driverOptions.spinMicros,
};

/** The values of {@link driverOptions}. */
export interface DriverValues {
  readonly driver: 'loop' | 'threads';
  readonly spinMicros: number | undefined;
}

/** The values of {@link gatewayDriverOptions}. */
export interface GatewayDriverValues extends DriverValues {
  readonly threads: number | undefined;
}

/** As a client takes them. @throws UsageError for what goes with I/O threads only. */
export function clientDriver({
  driver,
  spinMicros,
}: DriverValues): Pick<ClientOptions, 'driver' | 'spinMicros'> {
  checkGoesWithThreads('spin-micros', spinMicros, driver);
  return { driver, ...(spinMicros === undefined ? {} : { spinMicros }) };
}

/** As a server takes them. @throws UsageError likewise. */
export function gatewayDriver(
  values: GatewayDriverValues,
): Pick<ServerOptions, 'driver' | 'spinMicros' | 'threads'> {
  const { driver, threads } = values;
  checkGoesWithThreads('threads', threads, driver);
  return { ...clientDriver(values), ...(threads === undefined ? {} : { threads }) };
}

function checkGoesWithThreads(
  option: string,
  value: number | undefined,
  driver: DriverValues['driver'],
): void {
  if (value !== undefined && driver !== 'threads')
    throw new UsageError(`--${option} goes with --driver threads`);
}

/** What a gateway says of itself as JSON. */
export function driverReport({ driver, threads = 1 }: GatewayDriverValues): {
  readonly driver: 'loop' | 'threads';
  readonly threads?: number;
} {
  return driver === 'threads' ? { driver, threads } : { driver };
}

/** `event loop`, `1 I/O thread`, `3 I/O threads`. */
export function driverText({ driver, threads = 1 }: Partial<GatewayDriverValues>): string {
  return driver === 'threads' ? `${count(threads)} I/O thread${threads === 1 ? '' : 's'}` : 'event loop';
}
