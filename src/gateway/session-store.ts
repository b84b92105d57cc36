// Where sessions are kept, as `sessions.store` of a configuration and `--store` of commands say it.

import { readFile } from 'node:fs/promises';
import { systemReason } from '../base/system-error.js';
import type { EtcdStoreOptions } from '../sessions/store/etcd-store.js';
import type { SessionStore } from '../sessions/store/store.js';
import { configError } from './config-values.js';

/** What names a store. */
export type StoreAddress =
  | { readonly type: 'memory'; readonly text: string }
  | { readonly type: 'lmdb'; readonly text: string; readonly directory: string }
  | {
      readonly type: 'etcd';
      readonly text: string;
      readonly hosts: readonly string[];
      /** With the slash behind it; undefined for that of the store. */
      readonly namespace: string | undefined;
    };

const forms = 'memory, lmdb:DIR or etcd://HOST:PORT[,HOST:PORT...][/NAMESPACE]';
const etcdForm = /^etcd(s?):\/\/([^/]*)(?:\/(.*?)\/?)?$/;
const hostForm = /^(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._-]+):\d{1,5}$/;
const maxPort = 65_535;
const maxNamespaceBytes = 200;

/**
 * `memory`, `lmdb:DIR`, `etcd://HOST:PORT[,HOST:PORT...][/NAMESPACE]`; `etcds:` for TLS.
 *
 * @throws Error whose message completes the name of the setting: `must be ...`.
 */
export function parseStoreAddress(text: string): StoreAddress {
  if (text === 'memory') return { type: 'memory', text };
  if (text.startsWith('lmdb:') && text.length > 'lmdb:'.length) {
    return { type: 'lmdb', text, directory: text.slice('lmdb:'.length) };
  }
  const etcd = etcdForm.exec(text);
  if (etcd !== null) return etcdAddress(text, etcd);
  throw new Error(`must be ${forms}; got ${shown(text)}`);
}

function etcdAddress(
  text: string,
  [, secure = '', hosts = '', namespace = '']: RegExpExecArray,
): StoreAddress {
  if (hosts.includes('@')) {
    throw new Error(
      'every user of this machine can read a password there: give HAWSER_ETCD_USER and HAWSER_ETCD_PASSWORD in the environment',
    );
  }
  const each = hosts.split(',').map((host) => checkHost(host.trim(), text));
  if (Buffer.byteLength(namespace) > maxNamespaceBytes) {
    throw new Error(`the namespace must be at most ${maxNamespaceBytes} bytes`);
  }
  return {
    type: 'etcd',
    text,
    hosts: each.map((host) => `http${secure}://${host}`),
    namespace: namespace === '' ? undefined : `${namespace}/`,
  };
}

function checkHost(host: string, text: string): string {
  const port = Number(host.slice(host.lastIndexOf(':') + 1));
  if (hostForm.test(host) && port >= 1 && port <= maxPort) return host;
  throw new Error(
    `must be etcd://HOST:PORT[,HOST:PORT...], with the port of each: etcd has 2379; got ${shown(text)}`,
  );
}

/** Without what may be a user and a password. */
function shown(text: string): string {
  return JSON.stringify(text.replace(/:\/\/.*@/s, '://...@'));
}

// ---- Opening -------------------------------------------------------------------------------------------------------

/**
 * Opens it for a gateway; that of etcd need not be reachable yet.
 *
 * @param etcd how long etcd may take for an answer, where that is not the default of a gateway.
 * @throws HawserError (rejects) as `openSessionStore` and `openEtcdStore`; ERR_HAWSER_CONFIG for an environment that cannot be right.
 */
export async function openStoreAt(
  address: StoreAddress,
  etcd: Pick<EtcdStoreOptions, 'timeoutMs'> = {},
): Promise<SessionStore> {
  switch (address.type) {
    case 'memory': {
      const { MemorySessionStore } = await import('../sessions/store/memory-store.js');
      return new MemorySessionStore();
    }
    case 'lmdb': {
      const { openSessionStore } = await import('../sessions/store/lmdb-store.js');
      return openSessionStore(address.directory);
    }
    case 'etcd': {
      const { openEtcdStore } = await import('../sessions/store/etcd-store.js');
      return openEtcdStore({ ...(await etcdOptions(address)), ...etcd });
    }
  }
}

/**
 * How to reach an etcd: by its address, and by what the environment has that must not be seen among the arguments of a process.
 *
 * @throws HawserError (rejects) ERR_HAWSER_CONFIG for an environment that cannot be right.
 */
export async function etcdOptions({
  hosts,
  namespace,
}: Extract<StoreAddress, { type: 'etcd' }>): Promise<EtcdStoreOptions> {
  const username = environment('HAWSER_ETCD_USER');
  const password = environment('HAWSER_ETCD_PASSWORD');
  if ((username === undefined) !== (password === undefined)) {
    throw configError('HAWSER_ETCD_USER and HAWSER_ETCD_PASSWORD go together');
  }
  const rootCertificate = await pem('HAWSER_ETCD_CACERT');
  const certChain = await pem('HAWSER_ETCD_CERT');
  const privateKey = await pem('HAWSER_ETCD_KEY');
  if ((certChain === undefined) !== (privateKey === undefined)) {
    throw configError('HAWSER_ETCD_CERT and HAWSER_ETCD_KEY go together');
  }
  if (certChain !== undefined && rootCertificate === undefined) {
    throw configError('HAWSER_ETCD_CERT needs HAWSER_ETCD_CACERT');
  }
  return {
    hosts,
    ...(namespace !== undefined && { namespace }),
    ...(username !== undefined && password !== undefined && { auth: { username, password } }),
    ...(rootCertificate !== undefined && {
      credentials: {
        rootCertificate,
        ...(certChain !== undefined && privateKey !== undefined && { certChain, privateKey }),
      },
    }),
  };
}

/** undefined also for one that is empty. */
function environment(name: string): string | undefined {
  const value = process.env[name];
  return value === '' ? undefined : value;
}

/** The file that an environment variable names. */
async function pem(name: string): Promise<Uint8Array | undefined> {
  const path = environment(name);
  if (path === undefined) return undefined;
  try {
    return await readFile(path);
  } catch (error) {
    throw configError(`${name}: cannot read ${JSON.stringify(path)}: ${systemReason(error)}`);
  }
}
