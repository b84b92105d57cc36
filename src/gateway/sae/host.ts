// An SAE with what its configuration names but for the ways to its peers: its store, its KME, its devices.

import { parseAddress } from '../../base/address.js';
import type { PeerOptions, PeerRole } from '../../keys/agent/peer-options.js';
import { Sae } from '../../keys/agent/sae.js';
import { KmeClient } from '../../keys/kme/kme-client.js';
import { openKeyStore } from '../../keys/store/lmdb-store.js';
import { masterKeyFrom } from '../../keys/store/master-key.js';
import type { KeyStore } from '../../keys/store/store.js';
import type { KmeConfig, SaeConfig, StoreConfig } from './config.js';
import type { PeerConfig } from './config-peers.js';
import { type Devices, openDevices } from './devices.js';
import { readPrivateKey, readPublicFile, readPublicKey, readSecretFile } from './files.js';

/** An SAE that runs. */
export interface OpenSae {
  readonly sae: Sae;
  readonly devices: Devices;
  /** Closes it and its store, wipes keys. */
  close(): Promise<void>;
}

/**
 * Opens what the configuration names, then the SAE.
 *
 * @param role what it is towards peers for which the configuration does not say.
 * @throws HawserError (rejects) ERR_HAWSER_CONFIG for files that cannot be read, and as `Sae.open`; what was opened is closed.
 */
export async function openSae(config: SaeConfig, role: PeerRole): Promise<OpenSae> {
  // What may be wrong with files is found before anything is opened.
  const signingKey = readPrivateKey('the signing key', config.signingKey);
  const { saeJsonSigningKey: jsonKey } = config;
  const saeJsonSigningKey =
    jsonKey === undefined ? undefined : readPrivateKey('the signing key of sae-json', jsonKey);
  const devices = openDevices(config);
  const peers = config.peers.map((peer) => peerOptions(peer, role, devices));
  const keySource = openKme(config.kme);
  const store = await openSaeStore(config.store);
  try {
    const sae = await Sae.open({
      saeId: config.saeId,
      signingKey,
      ...(saeJsonSigningKey !== undefined && { saeJsonSigningKey }),
      store,
      keySource,
      persona: devices.usual,
      peers,
      failClosed: config.failClosed,
      requireLockedMemory: config.requireLockedMemory,
      ...(config.udp !== undefined && { udp: parseAddress(config.udp) }),
    });
    const close = async (): Promise<void> => {
      await sae.close();
      await keySource.close();
    };
    return { sae, devices, close };
  } catch (error) {
    await store.close();
    await keySource.close();
    throw error;
  }
}

/** @throws HawserError (rejects) ERR_HAWSER_CONFIG, ERR_HAWSER_MASTER_KEY and those of a store. */
export async function openSaeStore({ path, masterKey: place }: StoreConfig): Promise<KeyStore> {
  const masterKey = masterKeyFrom(place);
  try {
    return await openKeyStore(path, { masterKey });
  } finally {
    masterKey.wipe();
  }
}

function openKme({ url, ca, cert, key, kmeId, timeoutMs }: KmeConfig): KmeClient {
  const authority = readPublicFile('the certificate of the authority of the KME', ca);
  const certificate = readPublicFile('the certificate for the KME', cert);
  const privateKey = readSecretFile('the key for the KME', key);
  try {
    return new KmeClient({
      url,
      ca: authority,
      cert: certificate,
      key: privateKey,
      ...(kmeId !== undefined && { kmeId }),
      ...(timeoutMs !== undefined && { timeoutMs }),
    });
  } finally {
    privateKey.fill(0);
  }
}

function peerOptions(peer: PeerConfig, role: PeerRole, devices: Devices): PeerOptions {
  const persona = devices.own.get(peer.saeId);
  return {
    saeId: peer.saeId,
    publicKey: readPublicKey(`the public key of ${peer.saeId}`, peer.publicKey),
    role: peer.role ?? role,
    wire: peer.wire,
    ...peer.numbers,
    ...(persona !== undefined && { persona }),
    ...(peer.address !== undefined && { address: parseAddress(peer.address) }),
  };
}
