// The configuration of an SAE, of `hawser sae` and of a gateway's layer `keys`: each name checked, each path relative to the file (docs/cli.md).

import { readFileSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import {
  argumentError,
  checkArray,
  checkBoolean,
  checkInteger,
  checkOptions,
  checkString,
  checkText,
  describe,
} from '../../base/check.js';
import { HawserError } from '../../base/errors.js';
import { systemReason } from '../../base/system-error.js';
import { messageLimits } from '../../keys/wire/messages.js';
import { asConfig, configError } from '../config-values.js';
import { type ListenConfig, readListen } from './config-links.js';
import { checkPeers, type PeerConfig, readPeer } from './config-peers.js';
import { type PersonaConfig, readPersona } from './config-personas.js';
import { type PathReader, readAddress, readSecretPlace, type SecretPlace } from './config-values.js';

export interface StoreConfig {
  /** A directory. */
  readonly path: string;
  readonly masterKey: SecretPlace;
}

/** Files in PEM, and where the KME is. */
export interface KmeConfig {
  readonly url: string;
  readonly ca: string;
  readonly cert: string;
  readonly key: string;
  /** Undefined for what `KmeClient` takes by itself. */
  readonly kmeId: string | undefined;
  readonly timeoutMs: number | undefined;
}

export interface SaeConfig {
  /** The file itself; empty for one that was given as an object. */
  readonly file: string;
  readonly saeId: string;
  /** A file in PEM. */
  readonly signingKey: string;
  /** Likewise, RSA, for peers that speak sae-json; undefined for the same. */
  readonly saeJsonSigningKey: string | undefined;
  readonly store: StoreConfig;
  readonly kme: KmeConfig;
  readonly persona: PersonaConfig;
  readonly transport: ListenConfig | undefined;
  /** Where datagrams of peers that speak `sae-json` come in, `host:port`. */
  readonly udp: string | undefined;
  readonly peers: readonly PeerConfig[];
  readonly failClosed: boolean;
  readonly requireLockedMemory: boolean;
  /** The Unix socket by which the other commands talk to the SAE that runs. */
  readonly control: string;
}

const maxConfigBytes = 1_048_576;
const maxPeers = 10_000;
const maxPathLength = 4096;

const names = [
  'saeId',
  'signingKey',
  'saeJsonSigningKey',
  'store',
  'kme',
  'persona',
  'transport',
  'udp',
  'peers',
  'failClosed',
  'requireLockedMemory',
  'control',
];
/**
 * Reads a configuration. The files that it names are not opened.
 *
 * @throws HawserError ERR_HAWSER_CONFIG with the file, the name of the setting and what it must be.
 */
export function readSaeConfig(file: string): SaeConfig {
  const content = parseFile(file);
  try {
    return checkConfig(file, dirname(resolve(file)), content, false);
  } catch (error) {
    if (error instanceof HawserError) throw configError(`${file}: ${error.message}`);
    throw error;
  }
}

/**
 * The configuration of the SAE of a gateway, whose peers connect to its listeners: `transport`, `control` and `connect` are not for it.
 *
 * @param source a file, or its content.
 * @param base the directory that paths are relative to.
 * @throws HawserError ERR_HAWSER_CONFIG.
 */
export function readGatewaySae(source: unknown, base: string): SaeConfig {
  const isFile = typeof source === 'string';
  const file = isFile ? resolve(base, source) : '';
  const content = isFile ? parseFile(file) : source;
  return asConfig(
    () => checkConfig(file, isFile ? dirname(file) : base, content, true),
    isFile ? `${file}: ` : 'sae: ',
  );
}

function parseFile(file: string): unknown {
  let text: string;
  try {
    const bytes = readFileSync(file);
    if (bytes.length > maxConfigBytes) throw configError(`${file}: more than ${maxConfigBytes} bytes`);
    text = new TextDecoder('utf-8', { fatal: true }).decode(bytes);
  } catch (error) {
    if (error instanceof HawserError) throw error;
    const reason = error instanceof TypeError ? 'it is not UTF-8' : systemReason(error);
    throw configError(`cannot read the configuration ${file}: ${reason}`);
  }
  try {
    return JSON.parse(text);
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    throw configError(`${file} is not JSON: ${reason}`);
  }
}

/** @throws HawserError ERR_HAWSER_ARGUMENT. */
function checkConfig(file: string, base: string, content: unknown, ofGateway: boolean): SaeConfig {
  const path: PathReader = (name, value) => resolve(base, checkString(name, value, 1, maxPathLength));
  const known = ofGateway ? names.filter((name) => name !== 'transport' && name !== 'control') : names;
  const given = checkOptions('the configuration', content, known);
  const store = readStore(given.store, path);
  const peers = checkArray('peers', given.peers, 1, maxPeers).map((peer, index) =>
    readPeer(`peers[${index}]`, peer, path),
  );
  const config: SaeConfig = {
    file,
    saeId: checkText('saeId', given.saeId, messageLimits.idBytes),
    signingKey: path('signingKey', given.signingKey),
    saeJsonSigningKey:
      given.saeJsonSigningKey === undefined ? undefined : path('saeJsonSigningKey', given.saeJsonSigningKey),
    store,
    kme: readKme(given.kme, path),
    persona: readPersona('persona', given.persona ?? { type: 'transport' }, path),
    transport: given.transport === undefined ? undefined : readListen('transport', given.transport, path),
    udp: given.udp === undefined ? undefined : readAddress('udp', given.udp),
    peers,
    failClosed: checkBoolean('failClosed', given.failClosed ?? false),
    requireLockedMemory: checkBoolean('requireLockedMemory', given.requireLockedMemory ?? false),
    control: given.control === undefined ? `${store.path}.sock` : path('control', given.control),
  };
  checkPeers(config, ofGateway);
  return config;
}

function readStore(value: unknown, path: PathReader): StoreConfig {
  const given = checkOptions('store', value, ['path', 'masterKey']);
  return {
    path: path('store.path', given.path),
    masterKey: readSecretPlace('store.masterKey', given.masterKey, path),
  };
}

function readKme(value: unknown, path: PathReader): KmeConfig {
  const given = checkOptions('kme', value, ['url', 'ca', 'cert', 'key', 'kmeId', 'timeoutMs']);
  const url = checkString('kme.url', given.url, 1, 2048);
  if (!URL.canParse(url) || new URL(url).protocol !== 'https:') {
    throw argumentError('kme.url', 'a URL of https', describe(url));
  }
  return {
    url,
    ca: path('kme.ca', given.ca),
    cert: path('kme.cert', given.cert),
    key: path('kme.key', given.key),
    kmeId: given.kmeId === undefined ? undefined : checkText('kme.kmeId', given.kmeId, messageLimits.idBytes),
    timeoutMs:
      given.timeoutMs === undefined
        ? undefined
        : checkInteger('kme.timeoutMs', given.timeoutMs, 1, 3_600_000),
  };
}
