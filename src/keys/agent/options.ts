// What an SAE can be told about how it is to work.

import { KeyObject } from 'node:crypto';
import {
  argumentError,
  checkArray,
  checkBoolean,
  checkFunction,
  checkOptions,
  checkText,
  describe,
} from '../../base/check.js';
import { type Random, systemRandom } from '../../base/random.js';
import { systemWheel, TimingWheel } from '../../base/timing-wheel.js';
import type { KeySource } from '../kme/key-source.js';
import { checkUdpAddress, type UdpAddress } from '../links/udp-socket.js';
import type { Persona } from '../personas/persona.js';
import type { KeyStore } from '../store/store.js';
import { messageLimits } from '../wire/messages.js';
import type { PeerOptions } from './peer-options.js';

/** Options of {@link Sae.open}. */
export interface SaeOptions {
  /** Its id: 1 to 256 bytes of UTF-8, the same at its KME and at its peers. */
  readonly saeId: string;
  /** What it signs with: an Ed25519 or an RSA (at least 2048 bits) private key. */
  readonly signingKey: KeyObject;
  /** What it signs with towards peers with `wire: 'sae-json'`, an RSA private key; `signingKey` by default. */
  readonly saeJsonSigningKey?: KeyObject;
  /** Where keys and sessions are kept. It belongs to the SAE from now on, which closes it. */
  readonly store: KeyStore;
  /** Where keys come from, for peers that name no other. */
  readonly keySource: KeySource;
  /** The device, for peers that name no other. It belongs to the SAE from now on, which closes it. */
  readonly persona: Persona;
  /** The SAEs that it shares keys with; none by default. `addPeer` adds more. */
  readonly peers?: readonly PeerOptions[];
  /** Where to hear datagrams, for peers with an `address`. Without it there is no socket. */
  readonly udp?: UdpAddress;
  /**
   * Whether traffic with a peer is stopped (`Persona.failClosed`) while there is no key for it that may be used: none at all, or one that
   * has expired. False by default: traffic goes on under the last key, or under none of ours.
   */
  readonly failClosed?: boolean;
  /** Whether to refuse to work (ERR_HAWSER_SECRET_MEMORY) where the system locks no memory for secrets. False by default. */
  readonly requireLockedMemory?: boolean;
  /** Allows times from 1 ms on, for tests. False by default. */
  readonly testRanges?: boolean;
  /** Where its timers run; one for the whole process by default. */
  readonly wheel?: TimingWheel;
  /** Where jitter is taken from; {@link systemRandom} by default. No id and no key is ever made of it. */
  readonly random?: Random;
}

/** The options with their defaults; peers are checked one by one. */
export interface SaeSettings {
  readonly saeId: string;
  readonly signingKey: KeyObject;
  readonly saeJsonSigningKey: KeyObject;
  readonly store: KeyStore;
  readonly keySource: KeySource;
  readonly persona: Persona;
  readonly peers: readonly PeerOptions[];
  readonly udp: UdpAddress | undefined;
  readonly failClosed: boolean;
  readonly requireLockedMemory: boolean;
  readonly testRanges: boolean;
  readonly wheel: TimingWheel;
  readonly random: Random;
}

const optionNames = [
  'saeId',
  'signingKey',
  'saeJsonSigningKey',
  'store',
  'keySource',
  'persona',
  'peers',
  'udp',
  'failClosed',
  'requireLockedMemory',
  'testRanges',
  'wheel',
  'random',
] as const;

/** Peers of one SAE, at most. */
export const maxPeers = 100_000;

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkSaeOptions(options: SaeOptions): SaeSettings {
  checkOptions('options', options, optionNames);
  checkArray('peers', options.peers ?? [], 0, maxPeers);
  const signingKey = checkPrivateKey('signingKey', options.signingKey);
  return {
    saeId: checkText('saeId', options.saeId, messageLimits.idBytes),
    signingKey,
    saeJsonSigningKey: checkPrivateKey('saeJsonSigningKey', options.saeJsonSigningKey ?? signingKey),
    store: checkStore(options.store),
    keySource: checkKeySource('keySource', options.keySource),
    persona: checkPersona('persona', options.persona),
    peers: options.peers ?? [],
    udp: options.udp === undefined ? undefined : checkUdpAddress('udp', options.udp, 0),
    failClosed: checkBoolean('failClosed', options.failClosed ?? false),
    requireLockedMemory: checkBoolean('requireLockedMemory', options.requireLockedMemory ?? false),
    testRanges: checkBoolean('testRanges', options.testRanges ?? false),
    wheel: checkWheel(options.wheel ?? systemWheel()),
    random: checkFunction('random', options.random ?? systemRandom),
  };
}

/** What it is made of is for the envelopes to judge. */
function checkPrivateKey(name: string, key: KeyObject): KeyObject {
  if (key instanceof KeyObject && key.type === 'private') return key;
  throw argumentError(name, 'a private KeyObject', describe(key));
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkPublicKey(name: string, key: unknown): KeyObject {
  if (key instanceof KeyObject && key.type === 'public') return key;
  throw argumentError(name, 'a public KeyObject', describe(key));
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkKeySource(name: string, source: KeySource): KeySource {
  if (typeof source?.getKeys === 'function' && typeof source.getKeysWithIds === 'function') return source;
  throw argumentError(name, 'a KeySource', describe(source));
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkPersona(name: string, persona: Persona): Persona {
  const calls = [
    persona?.validate,
    persona?.preConfigure,
    persona?.rotate,
    persona?.deleteKey,
    persona?.status,
  ];
  if (calls.every((call) => typeof call === 'function')) return persona;
  throw argumentError(name, 'a Persona', describe(persona));
}

function checkStore(store: KeyStore): KeyStore {
  if (typeof store?.commit === 'function' && typeof store.withMaterial === 'function') return store;
  throw argumentError('store', 'a KeyStore', describe(store));
}

function checkWheel(wheel: TimingWheel): TimingWheel {
  if (wheel instanceof TimingWheel) return wheel;
  throw argumentError('wheel', 'a TimingWheel', describe(wheel));
}
