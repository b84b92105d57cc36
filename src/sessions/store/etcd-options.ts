// What an etcd store can be told.

import {
  argumentError,
  checkArray,
  checkBytes,
  checkFunction,
  checkInteger,
  checkOptions,
  checkString,
  checkText,
  describe,
  describeSecret,
} from '../../base/check.js';
import { type Clock, systemClock } from '../../base/clock.js';

/** Options of `openEtcdStore`. */
export interface EtcdStoreOptions {
  /**
   * The nodes of the cluster, 1 to 32, each `http://HOST:PORT` or `https://HOST:PORT`; all with the same scheme. Without a scheme it is `http`.
   * One of them is used at a time, and the next one when it does not answer.
   */
  readonly hosts: string | readonly string[];
  /** What all keys of the store begin with: 1 to 256 bytes of UTF-8; `hawser/` by default. Stores with different ones have nothing in common. */
  readonly namespace?: string;
  /**
   * Leases end when the process does nothing for so many milliseconds: 5,000 to 120,000; 10,000 by default. Whole seconds: it is rounded up,
   * and etcd itself raises what is too short for its election timeout.
   */
  readonly leaseTtlMs?: number;
  /** So long etcd may take for an answer, in milliseconds: 100 to 30,000; 1,000 by default. */
  readonly timeoutMs?: number;
  /** For `https`: the certificates to trust and to show, in PEM. Those of the system are trusted without it. */
  readonly credentials?: {
    readonly rootCertificate: Uint8Array;
    readonly privateKey?: Uint8Array;
    readonly certChain?: Uint8Array;
  };
  /** The user of etcd, where it asks for one. */
  readonly auth?: { readonly username: string; readonly password: string };
  /** The machine's by default. */
  readonly clock?: Clock;
}

/** As the parts of the store see them: checked, and whole. */
export interface EtcdSettings {
  readonly hosts: readonly string[];
  readonly namespace: string;
  readonly leaseTtlSeconds: number;
  readonly timeoutMs: number;
  readonly credentials: EtcdStoreOptions['credentials'];
  readonly auth: EtcdStoreOptions['auth'];
  readonly clock: Clock;
}

const optionNames = [
  'hosts',
  'namespace',
  'leaseTtlMs',
  'timeoutMs',
  'credentials',
  'auth',
  'clock',
] as const;
const maxHosts = 32;
const maxHostLength = 300;
const maxNamespaceBytes = 256;
const maxPemBytes = 2 ** 20;
const maxSecretLength = 1024;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkEtcdOptions(options: EtcdStoreOptions): EtcdSettings {
  checkOptions('options', options, optionNames);
  const hosts = checkHosts(options.hosts);
  const { clock = systemClock } = options;
  checkFunction('clock.now', clock.now);
  checkFunction('clock.setTimeout', clock.setTimeout);
  const leaseTtlMs = checkInteger('leaseTtlMs', options.leaseTtlMs ?? 10_000, 5000, 120_000);
  return {
    hosts,
    namespace: checkText('namespace', options.namespace ?? 'hawser/', maxNamespaceBytes),
    leaseTtlSeconds: Math.ceil(leaseTtlMs / 1000),
    timeoutMs: checkInteger('timeoutMs', options.timeoutMs ?? 1000, 100, 30_000),
    credentials: checkCredentials(options.credentials, hosts),
    auth: checkAuth(options.auth),
    clock,
  };
}

function checkHosts(hosts: EtcdStoreOptions['hosts']): string[] {
  const list = typeof hosts === 'string' ? [hosts] : checkArray('hosts', hosts, 1, maxHosts);
  const urls = list.map((host, index) => checkHost(`hosts[${index}]`, host));
  if (new Set(urls.map(isSecure)).size === 1) return urls;
  throw argumentError('hosts', 'all http or all https', 'both');
}

function checkHost(name: string, value: unknown): string {
  const text = checkString(name, value, 1, maxHostLength);
  const found = /^(https?:\/\/)?((?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):(\d{1,5}))\/?$/.exec(text);
  const [, scheme = 'http://', address, port] = found ?? [];
  if (address !== undefined && Number(port) >= 1 && Number(port) <= 65_535) return scheme + address;
  // Who writes a password into an address finds it in no log.
  const got = text.includes('@') ? describeSecret(text) : describe(text);
  throw argumentError(name, 'http://HOST:PORT or https://HOST:PORT', got);
}

function isSecure(host: string): boolean {
  return host.startsWith('https:');
}

function checkCredentials(
  credentials: EtcdStoreOptions['credentials'],
  hosts: readonly string[],
): EtcdStoreOptions['credentials'] {
  if (credentials === undefined) return undefined;
  checkOptions('credentials', credentials, ['rootCertificate', 'privateKey', 'certChain']);
  if (!hosts.every(isSecure)) throw argumentError('hosts', 'https, for there are credentials', 'http');
  const { rootCertificate, privateKey, certChain } = credentials;
  checkBytes('credentials.rootCertificate', rootCertificate, 1, maxPemBytes);
  if ((privateKey === undefined) !== (certChain === undefined)) {
    throw argumentError('credentials', 'with both or none of privateKey and certChain', 'one of them');
  }
  if (privateKey === undefined || certChain === undefined) return { rootCertificate };
  return {
    rootCertificate,
    privateKey: checkBytes('credentials.privateKey', privateKey, 1, maxPemBytes),
    certChain: checkBytes('credentials.certChain', certChain, 1, maxPemBytes),
  };
}

function checkAuth(auth: EtcdStoreOptions['auth']): EtcdStoreOptions['auth'] {
  if (auth === undefined) return undefined;
  checkOptions('auth', auth, ['username', 'password']);
  const { username, password } = auth;
  checkString('auth.username', username, 1, maxSecretLength);
  if (typeof password === 'string' && password !== '' && password.length <= maxSecretLength) {
    return { username, password };
  }
  const rule = `a string of 1 to ${maxSecretLength} characters`;
  throw argumentError('auth.password', rule, describeSecret(password));
}
