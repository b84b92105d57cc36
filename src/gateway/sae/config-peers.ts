// The peers of an SAE, as its configuration has them, and what has to agree with the rest of it.

import { checkNumber, checkOneOf, checkOptions, checkText } from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { type PeerRole, peerNumbers, peerRoles } from '../../keys/agent/peer-options.js';
import { messageLimits } from '../../keys/wire/messages.js';
import type { SaeWire } from '../../keys/wire/wire-name.js';
import type { SaeConfig } from './config.js';
import { type ConnectConfig, readConnect } from './config-links.js';
import { type PersonaConfig, readPersona } from './config-personas.js';
import { type PathReader, readAddress, readId64 } from './config-values.js';

/** `Sae.open` checks their ranges and has the defaults. */
export type PeerNumbers = { readonly [K in (typeof peerNumbers)[number]]?: number };

export interface PeerConfig {
  readonly saeId: string;
  /** A file in PEM. */
  readonly publicKey: string;
  /** Undefined for that of the command. */
  readonly role: PeerRole | undefined;
  readonly wire: SaeWire;
  /** With `sae-json`: where it listens, `host:port`. */
  readonly address: string | undefined;
  /** At the gateway: the client id of its token. */
  readonly clientId: bigint | undefined;
  /** At the client: how to reach it. */
  readonly connect: ConnectConfig | undefined;
  /** Undefined for that of the SAE. */
  readonly persona: PersonaConfig | undefined;
  readonly numbers: PeerNumbers;
}

const peerNames = [
  'saeId',
  'publicKey',
  'role',
  'wire',
  'address',
  'clientId',
  'connect',
  'persona',
  ...peerNumbers,
];

/** @param name of the setting: `peers[3]`. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function readPeer(name: string, value: unknown, path: PathReader): PeerConfig {
  const given = checkOptions(name, value, peerNames);
  const optional = <T>(key: string, read: (name: string, value: unknown) => T): T | undefined =>
    given[key] === undefined ? undefined : read(`${name}.${key}`, given[key]);
  const numbers: Record<string, number> = {};
  for (const key of peerNumbers) {
    const number = optional(key, (full, each) => checkNumber(full, each, 0, Number.MAX_SAFE_INTEGER));
    if (number !== undefined) numbers[key] = number;
  }
  return {
    saeId: checkText(`${name}.saeId`, given.saeId, messageLimits.idBytes),
    publicKey: path(`${name}.publicKey`, given.publicKey),
    role: optional('role', (full, each) => checkOneOf(full, each, peerRoles)),
    wire: optional('wire', (full, each) => checkOneOf(full, each, ['hawser', 'sae-json'])) ?? 'hawser',
    address: optional('address', readAddress),
    clientId: optional('clientId', readId64),
    connect: optional('connect', (full, each) => readConnect(full, each, path)),
    persona: optional('persona', (full, each) => readPersona(full, each, path)),
    numbers,
  };
}

// ---- What has to agree ---------------------------------------------------------------------------------------------

/** @param ofGateway whether peers connect to the listeners of a gateway. @throws HawserError ERR_HAWSER_ARGUMENT. */
export function checkPeers(config: SaeConfig, ofGateway: boolean): void {
  const { peers, saeId, transport, udp } = config;
  const ids = new Set<string>();
  const clientIds = new Set<bigint>();
  peers.forEach((peer, index) => {
    const name = `peers[${index}]`;
    if (peer.saeId === saeId) throw refused(`${name}.saeId is that of this SAE`);
    if (ids.has(peer.saeId)) throw refused(`${name}.saeId is that of another peer`);
    ids.add(peer.saeId);
    if (peer.wire === 'sae-json') checkDatagramPeer(name, peer, udp);
    else checkConnectedPeer(name, peer, ofGateway || transport !== undefined, clientIds);
    if (ofGateway && peer.connect !== undefined) {
      throw refused(`${name}.connect: peers connect to a gateway, and need clientId; "hawser sae" connects`);
    }
  });
}

function checkDatagramPeer(name: string, peer: PeerConfig, udp: string | undefined): void {
  if (peer.address === undefined)
    throw refused(`${name}.address is missing: with sae-json, where the peer listens`);
  if (udp === undefined) throw refused('udp is missing: with peers that speak sae-json, where to listen');
  if (peer.connect !== undefined || peer.clientId !== undefined) {
    throw refused(`${name}: connect and clientId go with the wire hawser`);
  }
}

function checkConnectedPeer(
  name: string,
  peer: PeerConfig,
  isListening: boolean,
  clientIds: Set<bigint>,
): void {
  if (peer.address !== undefined) throw refused(`${name}.address goes with the wire sae-json`);
  if ((peer.connect === undefined) === (peer.clientId === undefined)) {
    throw refused(
      `${name} needs either connect, to reach the peer, or clientId, by which it is known when it connects`,
    );
  }
  if (peer.clientId === undefined) return;
  if (!isListening) {
    throw refused(`transport is missing: ${name} has a clientId, so that it connects to this SAE`);
  }
  if (clientIds.has(peer.clientId)) throw refused(`${name}.clientId is that of another peer`);
  clientIds.add(peer.clientId);
}

function refused(message: string): HawserError {
  return new HawserError('ERR_HAWSER_ARGUMENT', message);
}
