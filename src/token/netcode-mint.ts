// Minting connect tokens of netcode 1.02: what a backend does after it has authenticated a user in its own way.

import sodium from 'libsodium-wrappers';
import { type Address, parseAddress } from '../base/address.js';
import {
  argumentError,
  checkArray,
  checkBytes,
  checkFunction,
  checkInteger,
  checkOptions,
  checkU64,
  describe,
} from '../base/check.js';
import { maxAddresses, maxTimeoutMs, minTimeoutMs, viewOf } from './format.js';
import {
  createTimeMsOf,
  defaultLifetimeMs,
  defaultTimeoutMs,
  draw,
  maxLifetimeMs,
  minterOptionNames,
} from './minting.js';
import {
  netcodeAddress,
  netcodeAssociatedData,
  netcodePrivateBytes,
  netcodePrivateOffset,
  netcodePublicOffset,
  netcodeTokenBytes,
  netcodeUserDataBytes,
  netcodeVersion,
} from './netcode-format.js';
import { type NetcodeKey, parseNetcodeKey } from './netcode-key.js';
import { type RandomSource, systemRandom } from './random.js';

const minLifetimeMs = 1000;
const noTimeoutSeconds = -1;

/** What all netcode tokens of one minter have in common. */
export interface NetcodeTokenMinterOptions {
  /** Which application the tokens are for: any number that its clients and servers agree on. */
  readonly protocolId: bigint;
  /** The key that seals the private part: a server key as an object or in its text form, or 32 bytes. */
  readonly key: NetcodeKey;
  /** 1 to 32 servers that a client may try, in this order, as they are reached from outside. */
  readonly addresses: readonly (Address | string)[];
  /** For how long a token can be used to connect, in whole seconds: 1,000 to 86,400,000; one hour by default. */
  readonly lifetimeMs?: number;
  /**
   * After how long without anything authentic a connection is given up, in whole seconds: 1,000 to 3,600,000; 15,000 by
   * default. 0: never, which the standard has for development only.
   */
  readonly timeoutMs?: number;
  /** Unix milliseconds, rounded down to a second; `Date.now` by default. */
  readonly now?: () => number;
  /** Where nonces and keys come from; the system's generator by default. For tests only. */
  readonly random?: RandomSource;
}

/** What one netcode token says about its client. */
export interface NetcodeTokenClient {
  /** Who the client is; one client id is connected to a server at most once at a time. */
  readonly clientId: bigint;
  /** Handed to the server when the client connects; the client cannot read it. At most 256 bytes; zeros fill it up. */
  readonly userData?: Uint8Array;
  /** Other servers than the minter's, for this token only. */
  readonly addresses?: readonly (Address | string)[];
}

/** Mints netcode tokens without waiting; made by {@link createNetcodeTokenMinter}. */
export interface NetcodeTokenMinter {
  /**
   * Makes one token: 2,048 bytes, fresh keys in each. It is a secret between the backend and this client: send it over TLS.
   * See `encodeNetcodeToken` for the text form.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT for a wrong option.
   */
  mint(client: NetcodeTokenClient): Uint8Array;
}

/** Options of {@link mintNetcodeToken}. */
export interface MintNetcodeTokenOptions extends NetcodeTokenMinterOptions, NetcodeTokenClient {
  readonly addresses: readonly (Address | string)[];
}

const clientOptionNames = ['clientId', 'userData', 'addresses'] as const;

/**
 * Prepares a minter of netcode tokens; the options are checked here, once.
 *
 * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT for a wrong option.
 */
export async function createNetcodeTokenMinter(
  options: NetcodeTokenMinterOptions,
): Promise<NetcodeTokenMinter> {
  checkOptions('options', options, minterOptionNames);
  const common: Common = {
    protocolId: checkU64('protocolId', options.protocolId),
    key: parseNetcodeKey(options.key),
    addresses: encodeAddresses(options.addresses),
    lifetimeSeconds: checkSeconds(
      'lifetimeMs',
      options.lifetimeMs ?? defaultLifetimeMs,
      minLifetimeMs,
      maxLifetimeMs,
    ),
    timeoutSeconds:
      options.timeoutMs === 0
        ? noTimeoutSeconds
        : checkSeconds('timeoutMs', options.timeoutMs ?? defaultTimeoutMs, minTimeoutMs, maxTimeoutMs),
    now: checkFunction('now', options.now ?? Date.now),
    random: checkFunction('random', options.random ?? systemRandom),
  };
  await sodium.ready;
  return { mint: (client) => mint(common, client) };
}

/**
 * Makes one netcode token. A backend that makes many is better served by {@link createNetcodeTokenMinter}.
 *
 * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT for a wrong option.
 */
export async function mintNetcodeToken(options: MintNetcodeTokenOptions): Promise<Uint8Array> {
  checkOptions('options', options, [...new Set([...minterOptionNames, ...clientOptionNames])]);
  const { clientId, userData, ...common } = options;
  const minter = await createNetcodeTokenMinter(common);
  return minter.mint({ clientId, ...(userData === undefined ? {} : { userData }) });
}

/** Options of a minter, checked and encoded. */
interface Common {
  readonly protocolId: bigint;
  readonly key: Uint8Array;
  readonly addresses: Uint8Array;
  readonly lifetimeSeconds: number;
  readonly timeoutSeconds: number;
  readonly now: () => number;
  readonly random: RandomSource;
}

/** Milliseconds as whole seconds, which is all that the format has. */
function checkSeconds(name: string, value: unknown, minMs: number, maxMs: number): number {
  const milliseconds = checkInteger(name, value, minMs, maxMs);
  if (milliseconds % 1000 === 0) return milliseconds / 1000;
  throw argumentError(name, 'a multiple of 1000: netcode counts in seconds', describe(value));
}

/** Their number and the addresses themselves. */
function encodeAddresses(addresses: unknown): Uint8Array {
  const list = checkArray('addresses', addresses, 1, maxAddresses);
  const count = new Uint8Array(4);
  viewOf(count).setUint32(0, list.length, true);
  const encoded = list.map((each, index) => {
    const name = `addresses[${index}]`;
    return netcodeAddress(parseAddress(each, name), name);
  });
  return Buffer.concat([count, ...encoded]);
}

function mint(common: Common, client: NetcodeTokenClient): Uint8Array {
  checkOptions('client', client, clientOptionNames);
  const clientId = checkU64('clientId', client.clientId);
  const addresses = client.addresses === undefined ? common.addresses : encodeAddresses(client.addresses);
  const userData = checkBytes('userData', client.userData ?? new Uint8Array(0), 0, netcodeUserDataBytes);
  const nowMs = createTimeMsOf(common.now);
  const createSeconds = Math.floor(nowMs / 1000);

  const { nonce, sessionKeys } = draw(common.random);
  const shared = encodeShared(common.timeoutSeconds, addresses, sessionKeys);

  const token = new Uint8Array(netcodeTokenBytes);
  const view = viewOf(token);
  token.set(netcodeVersion, netcodePublicOffset.version);
  view.setBigUint64(netcodePublicOffset.protocolId, common.protocolId, true);
  view.setBigUint64(netcodePublicOffset.createTime, BigInt(createSeconds), true);
  view.setBigUint64(netcodePublicOffset.expireTime, BigInt(createSeconds + common.lifetimeSeconds), true);
  token.set(nonce, netcodePublicOffset.nonce);
  token.set(shared, netcodePublicOffset.shared);

  const plaintext = new Uint8Array(netcodePrivateBytes);
  viewOf(plaintext).setBigUint64(netcodePrivateOffset.clientId, clientId, true);
  plaintext.set(shared, netcodePrivateOffset.shared);
  plaintext.set(userData, netcodePrivateOffset.shared + shared.length);
  const sealed = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
    plaintext,
    netcodeAssociatedData(token),
    null,
    nonce,
    common.key,
  );
  token.set(sealed, netcodePublicOffset.sealed);
  return token;
}

/** What stands in the same bytes in both parts. */
function encodeShared(timeoutSeconds: number, addresses: Uint8Array, sessionKeys: Uint8Array): Uint8Array {
  const timeout = new Uint8Array(4);
  viewOf(timeout).setInt32(0, timeoutSeconds, true);
  return Buffer.concat([timeout, addresses, sessionKeys]);
}
