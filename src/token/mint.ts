// Minting connect tokens: what a backend does after it has authenticated a user in its own way.

import sodium from 'libsodium-wrappers';
import { type Address, addressToWire, maxWireAddressBytes, parseAddress } from '../base/address.js';
import {
  checkArray,
  checkBoolean,
  checkBytes,
  checkFunction,
  checkInteger,
  checkOptions,
  checkU64,
} from '../base/check.js';
import {
  flagSingleUse,
  maxAddresses,
  maxTimeoutMs,
  minTimeoutMs,
  privateBytes,
  privateOffset,
  publicOffset,
  variableBytes,
  versionText,
  viewOf,
} from './format.js';
import {
  createTimeMsOf,
  defaultLifetimeMs,
  defaultTimeoutMs,
  draw,
  maxLifetimeMs,
  minterOptionNames,
} from './minting.js';
import { type RandomSource, systemRandom } from './random.js';
import { parseKey, type ServerKey } from './server-key.js';

/** What all tokens of one minter have in common. */
export interface TokenMinterOptions {
  /** Which application the tokens are for: any number that its clients and gateways agree on. */
  readonly protocolId: bigint;
  /** The key that seals the private part, as an object or in its text form. */
  readonly key: ServerKey | string;
  /** 1 to 32 gateways that a client may try, in this order, as they are reached from outside. */
  readonly addresses: readonly (Address | string)[];
  /** For how long a token can be used to connect: 1 to 86,400,000; one hour by default. */
  readonly lifetimeMs?: number;
  /** After how long without anything authentic a connection is given up: 1,000 to 3,600,000; 15,000 by default. */
  readonly timeoutMs?: number;
  /** Unix milliseconds; `Date.now` by default. */
  readonly now?: () => number;
  /** Where nonces and keys come from; the system's generator by default. For tests only. */
  readonly random?: RandomSource;
}

/** What one token says about its client. */
export interface TokenClient {
  /** Who the client is; one client id is connected to a gateway at most once at a time. */
  readonly clientId: bigint;
  /** Handed to the gateway when the client connects; the client cannot read it. At most 256 bytes always fit. */
  readonly userData?: Uint8Array;
  /** Whether the token admits one session only; false by default. */
  readonly singleUse?: boolean;
  /** Other gateways than the minter's, for this token only. */
  readonly addresses?: readonly (Address | string)[];
}

/** Mints tokens without waiting; made by {@link createTokenMinter}. */
export interface TokenMinter {
  /**
   * Makes one token: 1,119 to 1,720 bytes, fresh keys in each. It is a secret between the backend and this client: send it
   * over TLS. See `encodeToken` for the text form.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT for a wrong option.
   */
  mint(client: TokenClient): Uint8Array;
}

/** Options of {@link mintToken}. */
export interface MintTokenOptions extends TokenMinterOptions, TokenClient {
  readonly addresses: readonly (Address | string)[];
}

const clientOptionNames = ['clientId', 'userData', 'singleUse', 'addresses'] as const;

/**
 * Prepares a minter; the options are checked here, once.
 *
 * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT for a wrong option.
 */
export async function createTokenMinter(options: TokenMinterOptions): Promise<TokenMinter> {
  checkOptions('options', options, minterOptionNames);
  const common: Common = {
    protocolId: checkU64('protocolId', options.protocolId),
    key: parseKey(options.key),
    addresses: encodeAddresses(options.addresses),
    lifetimeMs: checkInteger('lifetimeMs', options.lifetimeMs ?? defaultLifetimeMs, 1, maxLifetimeMs),
    timeoutMs: checkInteger('timeoutMs', options.timeoutMs ?? defaultTimeoutMs, minTimeoutMs, maxTimeoutMs),
    now: checkFunction('now', options.now ?? Date.now),
    random: checkFunction('random', options.random ?? systemRandom),
  };
  await sodium.ready;
  return { mint: (client) => mint(common, client) };
}

/**
 * Makes one token. A backend that makes many is better served by {@link createTokenMinter}.
 *
 * @throws HawserError (rejects) ERR_HAWSER_ARGUMENT for a wrong option.
 */
export async function mintToken(options: MintTokenOptions): Promise<Uint8Array> {
  checkOptions('options', options, [...new Set([...minterOptionNames, ...clientOptionNames])]);
  const { clientId, userData, singleUse, ...common } = options;
  const minter = await createTokenMinter(common);
  return minter.mint({
    clientId,
    ...(userData === undefined ? {} : { userData }),
    ...(singleUse === undefined ? {} : { singleUse }),
  });
}

/** Options of a minter, checked and encoded. */
interface Common {
  readonly protocolId: bigint;
  readonly key: ServerKey;
  readonly addresses: EncodedAddresses;
  readonly lifetimeMs: number;
  readonly timeoutMs: number;
  readonly now: () => number;
  readonly random: RandomSource;
}

interface EncodedAddresses {
  readonly count: number;
  readonly bytes: Uint8Array;
}

function encodeAddresses(addresses: unknown): EncodedAddresses {
  const list = checkArray('addresses', addresses, 1, maxAddresses);
  const bytes = new Uint8Array(list.length * maxWireAddressBytes);
  let end = 0;
  for (const [index, each] of list.entries()) {
    const name = `addresses[${index}]`;
    const wire = addressToWire(parseAddress(each, name), name);
    bytes.set(wire, end);
    end += wire.length;
  }
  return { count: list.length, bytes: bytes.subarray(0, end) };
}

function mint(common: Common, client: TokenClient): Uint8Array {
  checkOptions('client', client, clientOptionNames);
  const clientId = checkU64('clientId', client.clientId);
  const singleUse = checkBoolean('singleUse', client.singleUse ?? false);
  const addresses = client.addresses === undefined ? common.addresses : encodeAddresses(client.addresses);
  const userData = checkBytes(
    'userData',
    client.userData ?? new Uint8Array(0),
    0,
    variableBytes - addresses.bytes.length,
  );
  const createTimeMs = createTimeMsOf(common.now);

  const { nonce, sessionKeys } = draw(common.random);

  const token = new Uint8Array(publicOffset.addresses + addresses.bytes.length);
  const view = viewOf(token);
  token.set(Buffer.from(versionText, 'latin1'), publicOffset.version);
  view.setBigUint64(publicOffset.protocolId, common.protocolId, true);
  view.setUint32(publicOffset.keyId, common.key.id, true);
  view.setUint32(publicOffset.flags, singleUse ? flagSingleUse : 0, true);
  view.setBigUint64(publicOffset.createTime, BigInt(createTimeMs), true);
  view.setBigUint64(publicOffset.expireTime, BigInt(createTimeMs + common.lifetimeMs), true);
  token.set(nonce, publicOffset.nonce);
  view.setUint32(publicOffset.timeout, common.timeoutMs, true);
  view.setUint16(publicOffset.addressCount, addresses.count, true);
  token.set(sessionKeys, publicOffset.clientToServerKey);
  token.set(addresses.bytes, publicOffset.addresses);

  const plaintext = encodePrivate(clientId, common.timeoutMs, addresses, userData, sessionKeys);
  const sealed = sodium.crypto_aead_xchacha20poly1305_ietf_encrypt(
    plaintext,
    token.subarray(0, publicOffset.nonce),
    null,
    nonce,
    common.key.key,
  );
  token.set(sealed, publicOffset.sealed);
  return token;
}

function encodePrivate(
  clientId: bigint,
  timeoutMs: number,
  addresses: EncodedAddresses,
  userData: Uint8Array,
  sessionKeys: Uint8Array,
): Uint8Array {
  const plaintext = new Uint8Array(privateBytes);
  const view = viewOf(plaintext);
  view.setBigUint64(privateOffset.clientId, clientId, true);
  view.setUint32(privateOffset.timeout, timeoutMs, true);
  view.setUint16(privateOffset.addressCount, addresses.count, true);
  view.setUint16(privateOffset.userDataLength, userData.length, true);
  plaintext.set(sessionKeys, privateOffset.clientToServerKey);
  plaintext.set(addresses.bytes, privateOffset.variable);
  plaintext.set(userData, privateOffset.variable + addresses.bytes.length);
  return plaintext;
}
