// What the admin server can be told, and the checks of it.

import { type Address, parseAddress } from '../../base/address.js';
import { checkBoolean, checkOptions } from '../../base/check.js';
import { type Clock, systemClock } from '../../base/clock.js';
import { HawserError } from '../../base/errors.js';
import type { Logger } from '../log/logger.js';

/** A registry of prom-client, or what is like one. */
export interface MetricsText {
  readonly contentType: string;
  metrics(): Promise<string>;
}

export interface AdminOptions {
  /** `host:port`; port 0 takes any that is free. */
  readonly address: string;
  /** Who has it may see and do everything. 16 to 512 characters; needed where the address is not one of loopback. */
  readonly token?: string;
  /** Names, beside IP addresses and `localhost`, under which it is reached, without a port: a proxy's, a service's. At most 64. */
  readonly hosts?: readonly string[];
  /** Whether the dashboard is served; true by default. */
  readonly dashboard?: boolean;
  /** What /metrics answers; without it there is no such path. */
  readonly registry?: MetricsText;
  readonly log: Logger;
  /** That of the machine by default. */
  readonly clock?: Clock;
}

/** Options that have been checked, with their defaults. */
export interface AdminPlan extends Required<Pick<AdminOptions, 'hosts' | 'dashboard' | 'log' | 'clock'>> {
  readonly address: Address;
  readonly isLoopback: boolean;
  readonly token: string | undefined;
  readonly registry: MetricsText | undefined;
}

const minTokenLength = 16;
const maxTokenLength = 512;
const maxHosts = 64;
const known = ['address', 'token', 'hosts', 'dashboard', 'registry', 'log', 'clock'];

/** @throws HawserError ERR_HAWSER_CONFIG, ERR_HAWSER_ARGUMENT. */
export function checkAdminOptions(options: AdminOptions): AdminPlan {
  checkOptions('admin', options, known);
  const address = parseAddress(options.address, 'admin.address');
  const isLoopback = isLoopbackHost(address.host);
  return {
    address,
    isLoopback,
    token: checkAdminToken(options.token, isLoopback),
    hosts: checkHosts(options.hosts ?? []),
    dashboard: checkBoolean('admin.dashboard', options.dashboard ?? true),
    registry: options.registry,
    log: options.log,
    clock: options.clock ?? systemClock,
  };
}

/**
 * A token for an address of loopback or another one. What it is appears in no message.
 *
 * @throws HawserError ERR_HAWSER_CONFIG.
 */
export function checkAdminToken(token: string | undefined, isLoopback: boolean): string | undefined {
  if (token === undefined) {
    if (isLoopback) return undefined;
    throw configError(
      'admin.token is needed where admin.address is not one of loopback: whoever reaches it could stop the gateway',
    );
  }
  // What can stand in a header: RFC 6750 section 2.1 has fewer characters, and no browser's form adds others.
  const isToken = typeof token === 'string' && /^[\x21-\x7e]+$/.test(token);
  if (isToken && token.length >= minTokenLength && token.length <= maxTokenLength) return token;
  const length = typeof token === 'string' ? `${token.length} characters` : typeof token;
  throw configError(
    `admin.token must be ${minTokenLength} to ${maxTokenLength} visible ASCII characters; got ${length}`,
  );
}

/** @param host in canonical form. */
export function isLoopbackHost(host: string): boolean {
  return host === '::1' || host.startsWith('127.');
}

function checkHosts(hosts: readonly string[]): readonly string[] {
  if (!Array.isArray(hosts) || hosts.length > maxHosts) {
    throw configError(`admin.hosts must be an array of at most ${maxHosts} names`);
  }
  return hosts.map((host: unknown, index) => {
    if (typeof host === 'string' && /^[a-z0-9]([a-z0-9.-]{0,251}[a-z0-9])?$/i.test(host)) {
      return host.toLowerCase();
    }
    throw configError(`admin.hosts[${index}] must be a host name without a port, such as gateway.example`);
  });
}

function configError(message: string): HawserError {
  return new HawserError('ERR_HAWSER_CONFIG', message);
}
