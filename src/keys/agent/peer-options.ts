// What an SAE can be told about one of its peers.

import type { KeyObject } from 'node:crypto';
import { isIP } from 'node:net';
import {
  argumentError,
  checkInteger,
  checkNumber,
  checkOneOf,
  checkOptions,
  checkText,
  describe,
} from '../../base/check.js';
import type { KeySource } from '../kme/key-source.js';
import { checkUdpAddress, type UdpAddress } from '../links/udp-socket.js';
import type { Persona } from '../personas/persona.js';
import type { ProtocolSettings } from '../protocol/steps.js';
import { messageLimits } from '../wire/messages.js';
import type { SaeWire } from '../wire/wire-name.js';
import { checkKeySource, checkPersona, checkPublicKey, type SaeSettings } from './options.js';

/** What an SAE may be towards a peer. */
export const peerRoles = ['master', 'slave', 'both'] as const;
/** One of `peerRoles`. */
export type PeerRole = (typeof peerRoles)[number];

const wires = ['hawser', 'sae-json'] as const satisfies readonly SaeWire[];

/** A peer. Times are in milliseconds; those from 1 s on may be less with `testRanges`. */
export interface PeerOptions {
  /** Its id: 1 to 256 bytes of UTF-8, another than ours. */
  readonly saeId: string;
  /** The only key that messages of this peer may be signed with. */
  readonly publicKey: KeyObject;
  /** What this SAE is towards the peer: `master` begins rotations, `slave` follows, `both` does either. */
  readonly role: PeerRole;
  /** How messages travel; `hawser` by default. `sae-json` is the format of the original code: weaker, docs/keys.md says in what. */
  readonly wire?: SaeWire;
  /** Where its datagrams go: needs the option `udp`. Without it the peer comes by a connection, or `Sae.link`. */
  readonly address?: UdpAddress;
  /** Its device; that of the SAE by default. */
  readonly persona?: Persona;
  /** Where keys shared with it come from; that of the SAE by default. */
  readonly keySource?: KeySource;
  /**
   * As the master: how long after the end of a rotation to begin the next by itself, or up to a tenth sooner, so that many peers do not begin
   * together; 1,000 to 2^31 - 1 and at least `leadMs`. Never by default.
   */
  readonly intervalMs?: number;
  /** How long before it a rotation is announced, 1,000 to 3,600,000; 30,000 by default. */
  readonly leadMs?: number;
  /** How much of that a side needs to have everything ready, 0 to `leadMs`; a third of that by default, at most 10,000. */
  readonly graceMs?: number;
  /** How often a session is announced, for a slave that needs more time, 1 to 100; 3 by default. */
  readonly maxRounds?: number;
  /** By how much clocks may differ, 0 to 3,600,000; 10,000 by default. */
  readonly clockToleranceMs?: number;
  /** How late a confirmation may come after its time, 0 to 3,600,000; 1,000 by default. */
  readonly lateMs?: number;
  /** When a session that is not confirmed is given up, 1,000 to 86,400,000 after its time; 300,000 by default. */
  readonly sessionTimeoutMs?: number;
  /** When old keys are deleted without the peer, once both have proved the new one, 1,000 to 604,800,000; 1,800,000 by default. */
  readonly cleanupTimeoutMs?: number;
  /** How long one call of the persona may take, 1,000 to 600,000; 30,000 by default. */
  readonly deviceTimeoutMs?: number;
  /** How often a device may fail to rotate until a session is rolled back, 1 to 100; 3 by default. */
  readonly maxDeviceFailures?: number;
  /** How often a failed deletion is asked for, 1 to 100; 3 by default. */
  readonly maxDeleteRounds?: number;
  /** Until a message is sent again for the first time, 10 to 10,000; 500 by default. It doubles from there. */
  readonly retransmitMs?: number;
  /** What it doubles to, `retransmitMs` to 600,000; 10,000 by default. */
  readonly maxRetransmitMs?: number;
  /** ERROR messages of a second, 0.1 to 1,000; 10 by default. */
  readonly errorsPerSecond?: number;
  /** Messages of the peer that are looked at in a second, 1 to 1,000,000; 200 by default. The rest is dropped. */
  readonly messagesPerSecond?: number;
  /** How long a key may be used, 1,000 to 2^53 - 1; 86,400,000 by default. */
  readonly keyLifetimeMs?: number;
  /** As the master: how many keys are announced, for the slave to select one, 1 to 16; 1 by default. */
  readonly keysPerRotation?: number;
  /** How many bits a key has, 64 to 8,192, a multiple of 8; 256 by default. */
  readonly keySizeBits?: number;
  /** How long keys are waited for, 1,000 to 600,000; 30,000 by default. */
  readonly kmeTimeoutMs?: number;
}

/** The options with their defaults. */
export interface PeerSettings extends ProtocolSettings {
  readonly publicKey: KeyObject;
  readonly address: UdpAddress | undefined;
  readonly persona: Persona;
  readonly keySource: KeySource;
  readonly failClosed: boolean;
  readonly intervalMs: number | undefined;
  readonly leadMs: number;
  readonly messagesPerSecond: number;
  readonly keyLifetimeMs: number;
  readonly keysPerRotation: number;
  readonly keySizeBits: number;
  readonly kmeTimeoutMs: number;
}

/** The options that are numbers. */
export const peerNumbers = [
  'intervalMs',
  'leadMs',
  'graceMs',
  'maxRounds',
  'clockToleranceMs',
  'lateMs',
  'sessionTimeoutMs',
  'cleanupTimeoutMs',
  'deviceTimeoutMs',
  'maxDeviceFailures',
  'maxDeleteRounds',
  'retransmitMs',
  'maxRetransmitMs',
  'errorsPerSecond',
  'messagesPerSecond',
  'keyLifetimeMs',
  'keysPerRotation',
  'keySizeBits',
  'kmeTimeoutMs',
] as const;

const optionNames = [
  'saeId',
  'publicKey',
  'role',
  'wire',
  'address',
  'persona',
  'keySource',
  ...peerNumbers,
] as const;

const minuteMs = 60_000;
const hourMs = 3_600_000;
const dayMs = 86_400_000;
/** The longest delay that timers know. */
const maxIntervalMs = 2 ** 31 - 1;
const defaultGraceMs = 10_000;

/**
 * @param name of the peer in messages: `peers[3]`.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function checkPeerOptions(name: string, options: PeerOptions, sae: SaeSettings): PeerSettings {
  checkOptions(name, options, optionNames);
  const integer = (key: keyof PeerOptions, usual: number, min: number, max: number): number =>
    checkInteger(`${name}.${key}`, options[key] ?? usual, min, max);
  const ms = (key: keyof PeerOptions, usual: number, min: number, max: number): number =>
    checkNumber(`${name}.${key}`, options[key] ?? usual, sae.testRanges ? Math.min(min, 1) : min, max);
  const role = checkOneOf(`${name}.role`, options.role, peerRoles);
  const leadMs = ms('leadMs', 30_000, 1000, hourMs);
  const retransmitMs = ms('retransmitMs', 500, 10, 10_000);
  const keySizeBits = integer('keySizeBits', 256, 64, 8192);
  if (keySizeBits % 8 !== 0) {
    throw argumentError(`${name}.keySizeBits`, 'a multiple of 8', describe(keySizeBits));
  }
  const persona = checkPersona(`${name}.persona`, options.persona ?? sae.persona);
  persona.validate(keySizeBits);
  return {
    saeId: sae.saeId,
    peerSaeId: checkPeerId(`${name}.saeId`, options.saeId, sae.saeId),
    publicKey: checkPublicKey(`${name}.publicKey`, options.publicKey),
    role,
    wire: checkOneOf(`${name}.wire`, options.wire ?? 'hawser', wires),
    address: checkAddress(name, options.address, sae.udp),
    persona,
    keySource: checkKeySource(`${name}.keySource`, options.keySource ?? sae.keySource),
    failClosed: sae.failClosed,
    intervalMs: checkInterval(`${name}.intervalMs`, options.intervalMs, role, leadMs),
    leadMs,
    graceMs: ms('graceMs', Math.min(defaultGraceMs, Math.floor(leadMs / 3)), 0, leadMs),
    maxRounds: integer('maxRounds', 3, 1, 100),
    clockToleranceMs: ms('clockToleranceMs', 10_000, 0, hourMs),
    lateMs: ms('lateMs', 1000, 0, hourMs),
    sessionTimeoutMs: ms('sessionTimeoutMs', 5 * minuteMs, 1000, dayMs),
    cleanupTimeoutMs: ms('cleanupTimeoutMs', 30 * minuteMs, 1000, 7 * dayMs),
    deviceTimeoutMs: ms('deviceTimeoutMs', 30_000, 1000, 10 * minuteMs),
    maxDeviceFailures: integer('maxDeviceFailures', 3, 1, 100),
    maxDeleteRounds: integer('maxDeleteRounds', 3, 1, 100),
    retransmitMs,
    maxRetransmitMs: ms('maxRetransmitMs', Math.max(10_000, retransmitMs), retransmitMs, 10 * minuteMs),
    errorsPerSecond: checkNumber(`${name}.errorsPerSecond`, options.errorsPerSecond ?? 10, 0.1, 1000),
    messagesPerSecond: integer('messagesPerSecond', 200, 1, 1_000_000),
    keyLifetimeMs: ms('keyLifetimeMs', dayMs, 1000, Number.MAX_SAFE_INTEGER),
    keysPerRotation: integer('keysPerRotation', 1, 1, messageLimits.keyIds),
    keySizeBits,
    kmeTimeoutMs: ms('kmeTimeoutMs', 30_000, 1000, 10 * minuteMs),
  };
}

function checkPeerId(name: string, value: unknown, own: string): string {
  const id = checkText(name, value, messageLimits.idBytes);
  if (id.trim() === '') throw argumentError(name, 'an id that is not blank', describe(id));
  if (id === own) throw argumentError(name, 'the id of another SAE', describe(id));
  return id;
}

function checkAddress(
  name: string,
  address: UdpAddress | undefined,
  udp: UdpAddress | undefined,
): UdpAddress | undefined {
  if (address === undefined) return undefined;
  if (udp !== undefined) {
    const checked = checkUdpAddress(`${name}.address`, address, 1);
    if (isIP(checked.host) === isIP(udp.host)) return checked;
    // A socket of one family reaches no address of the other, and says so with each datagram only.
    const family = `an IPv${isIP(udp.host)} address, as that of the option udp is`;
    throw argumentError(`${name}.address.host`, family, describe(checked.host));
  }
  throw argumentError(`${name}.address`, 'left out without the option udp of the SAE', describe(address));
}

function checkInterval(
  name: string,
  intervalMs: number | undefined,
  role: PeerRole,
  leadMs: number,
): number | undefined {
  if (intervalMs === undefined) return undefined;
  if (role === 'slave')
    throw argumentError(name, 'left out for a peer whose slave this SAE is', describe(intervalMs));
  return checkNumber(name, intervalMs, leadMs, maxIntervalMs);
}
