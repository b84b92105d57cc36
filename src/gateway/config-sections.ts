// The sections of layers with a store: `sync` and `sessions`.

import { resolve } from 'node:path';
import {
  argumentError,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkString,
  describe,
} from '../base/check.js';
import { clusterModes } from '../sessions/server/options.js';
import { checkManagerOptions } from '../sync/manager/options.js';
import { MemoryStore } from '../sync/store/memory-store.js';
import { asConfig, configError, readAddress } from './config-values.js';
import type { SessionsPlan, SyncPlan } from './plan.js';
import { parseStoreAddress, type StoreAddress } from './session-store.js';

const maxPathLength = 4096;
const leastStoreBytes = 2 ** 20;
const mostStoreBytes = 2 ** 46;
const defaultKeepAliveMs = 30_000;

/** Options of `SyncManager` that are functions or not for a configuration. */
const notForConfig = ['store', 'allowIndex', 'onMetadata', 'onContext', 'wheel', 'random'];

/** @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_CONFIG. */
export function readSync(value: unknown, base: string): SyncPlan {
  const given = checkOptions('sync', value, ['store', 'maxStoreBytes', 'maxStoreBytesPerAgent', 'options']);
  const store = checkString('sync.store', given.store, 1, maxPathLength);
  const options = given.options ?? {};
  if (typeof options !== 'object' || options === null || Array.isArray(options)) {
    throw argumentError('sync.options', 'an object', describe(options));
  }
  const refused = Object.keys(options).find((name) => notForConfig.includes(name));
  if (refused !== undefined) {
    throw configError(
      `sync.options.${refused} is not for a configuration: the gateway has it, or its handlers`,
    );
  }
  asConfig(() => checkManagerOptions({ ...options, store: new MemoryStore() }), 'sync.options: ');
  const size = (name: string, most: number): number | undefined =>
    given[name] === undefined ? undefined : checkInteger(`sync.${name}`, given[name], leastStoreBytes, most);
  const maxBytes = size('maxStoreBytes', mostStoreBytes);
  const maxBytesPerAgent = size('maxStoreBytesPerAgent', maxBytes ?? mostStoreBytes);
  return {
    directory: store === 'memory' ? undefined : resolve(base, store),
    options: { ...options },
    storeOptions: {
      ...(maxBytes !== undefined && { maxBytes }),
      ...(maxBytesPerAgent !== undefined && { maxBytesPerAgent }),
    },
  };
}

/** @throws HawserError ERR_HAWSER_ARGUMENT, ERR_HAWSER_CONFIG. */
export function readSessions(value: unknown, base: string): SessionsPlan {
  const known = ['store', 'advertise', 'cluster', 'keepAliveIntervalMs', 'sessionTimeoutMs'];
  const given = checkOptions('sessions', value, known);
  const { keepAliveIntervalMs, sessionTimeoutMs } = given;
  const keepAlive =
    keepAliveIntervalMs === undefined
      ? undefined
      : checkNumber('sessions.keepAliveIntervalMs', keepAliveIntervalMs, 10_000, 120_000);
  const timeout =
    sessionTimeoutMs === undefined
      ? undefined
      : checkNumber(
          'sessions.sessionTimeoutMs',
          sessionTimeoutMs,
          2 * (keepAlive ?? defaultKeepAliveMs),
          3_600_000,
        );
  return {
    store: readStore(given.store ?? 'memory', base),
    advertise: given.advertise === undefined ? undefined : readAddress('sessions.advertise', given.advertise),
    cluster: checkOneOf('sessions.cluster', given.cluster ?? 'active', clusterModes),
    times: {
      ...(keepAlive !== undefined && { keepAliveIntervalMs: keepAlive }),
      ...(timeout !== undefined && { sessionTimeoutMs: timeout }),
    },
  };
}

function readStore(value: unknown, base: string): StoreAddress {
  const text = checkString('sessions.store', value, 1, maxPathLength);
  let store: StoreAddress;
  try {
    store = parseStoreAddress(text);
  } catch (error) {
    throw configError(`sessions.store ${error instanceof Error ? error.message : String(error)}`);
  }
  return store.type === 'lmdb' ? { ...store, directory: resolve(base, store.directory) } : store;
}
