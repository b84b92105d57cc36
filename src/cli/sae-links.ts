// The connections of an SAE with its peers: those that it accepts, and those that it makes. One that is lost is made anew.

import type { SaeConfig } from '../gateway/sae/config.js';
import type { ConnectConfig, ListenConfig } from '../gateway/sae/config-links.js';
import type { Devices } from '../gateway/sae/devices.js';
import { readPublicFile, readServerKey } from '../gateway/sae/files.js';
import type { Sae } from '../keys/agent/sae.js';
import {
  type KeysChannels,
  keysChannels,
  keysConnector,
  SaeConnection,
  serveKeys,
} from '../keys/links/over-hawser.js';
import type { Connection } from '../transport/connection.js';
import type { Peer } from '../transport/peer.js';
import { Server } from '../transport/server.js';
import { type SaeChannels, type SaeTraffic, trafficChannels } from './sae-traffic.js';
import { type TokenFactory, tokenFactory } from './tokens.js';

/** Told of each connection that is made or lost. @param lostBy undefined for one that is made. */
export type ConnectionListener = (saeId: string, lostBy: string | undefined) => void;

/** How the links of an SAE are run. */
export interface LinkOptions {
  readonly onConnection: ConnectionListener;
  /** Something that is tried again failed. */
  readonly onError: (error: unknown, saeId: string | undefined) => void;
  /** Messages beside those of keys; undefined for none. */
  readonly traffic?: SaeTraffic;
}

const tokenLifetimeMs = 3_600_000;
const defaultTimeoutMs = 15_000;

export class SaeLinks {
  /** Where peers connect to; undefined where none do. */
  readonly address: string | undefined;
  readonly #server: Server<SaeChannels> | undefined;
  readonly #connections: readonly SaeConnection[];
  /** What peers are connected by now. */
  readonly #live: ReadonlyMap<string, Peer<SaeChannels> | Connection<SaeChannels>>;

  /** @throws CommandError, HawserError (rejects) when it cannot listen, or a key cannot be read. */
  static async open(config: SaeConfig, sae: Sae, devices: Devices, options: LinkOptions): Promise<SaeLinks> {
    const live = new Map<string, Peer<SaeChannels> | Connection<SaeChannels>>();
    const connectors: SaeConnection[] = [];
    for (const { saeId, connect } of config.peers) {
      if (connect === undefined) continue;
      const connection = await connectTo(saeId, connect, sae, devices, options, live);
      connectors.push(connection);
    }
    const { transport } = config;
    const server =
      transport === undefined ? undefined : await listen(config, transport, sae, devices, options, live);
    for (const connector of connectors) connector.connect();
    return new SaeLinks(server, connectors, live);
  }

  private constructor(
    server: Server<SaeChannels> | undefined,
    connections: readonly SaeConnection[],
    live: ReadonlyMap<string, Peer<SaeChannels> | Connection<SaeChannels>>,
  ) {
    this.address = server?.address;
    this.#server = server;
    this.#connections = connections;
    this.#live = live;
  }

  /** How often the keys of the connection with a peer have been updated; undefined where there is none. */
  keyEpochOf(saeId: string): number | undefined {
    return this.#live.get(saeId)?.keyEpoch;
  }

  async close(): Promise<void> {
    await Promise.all([
      ...this.#connections.map((connection) => connection.close()),
      this.#server?.close({ reason: 'the SAE closes' }),
    ]);
  }
}

function declaredChannels({ traffic }: LinkOptions): SaeChannels {
  // Peers without traffic must find the same channels as they have. Types know of it in any case: nobody uses it then.
  const declared: KeysChannels =
    traffic === undefined ? keysChannels : { ...keysChannels, ...trafficChannels };
  return declared as SaeChannels;
}

async function listen(
  config: SaeConfig,
  { listen: address, public: publicAddresses, key, protocolId }: ListenConfig,
  sae: Sae,
  devices: Devices,
  options: LinkOptions,
  live: Map<string, Peer<SaeChannels> | Connection<SaeChannels>>,
): Promise<Server<SaeChannels>> {
  const ids = new Map<bigint, string>();
  for (const { saeId, clientId } of config.peers) if (clientId !== undefined) ids.set(clientId, saeId);
  const saeOf = (peer: { readonly clientId: bigint }): string => {
    const saeId = ids.get(peer.clientId);
    if (saeId !== undefined) return saeId;
    throw new Error(
      `a client with the id ${peer.clientId}, which no peer of the configuration has, connected`,
    );
  };
  const server = await Server.listen<SaeChannels>({
    address,
    ...(publicAddresses.length > 0 && { publicAddresses }),
    channels: declaredChannels(options),
    keys: [readServerKey('the server key', key)],
    protocolId,
    secretOf: (secretId, peer) => devices.transportOf(saeOf(peer))?.secretOf(secretId, peer),
  });
  server.on('listenerError', (error) => options.onError(error, undefined));
  for (const persona of devices.transports) {
    persona.serve(server, (peer) => {
      const saeId = ids.get(peer.clientId);
      return saeId !== undefined && devices.transportOf(saeId) === persona ? saeId : undefined;
    });
  }
  options.traffic?.serve(server);
  server.on('connect', (peer) => {
    const saeId = ids.get(peer.clientId);
    if (saeId === undefined) return;
    live.set(saeId, peer);
    options.onConnection(saeId, undefined);
  });
  server.on('disconnect', (peer, { result }) => {
    const saeId = ids.get(peer.clientId);
    if (saeId === undefined) return;
    if (live.get(saeId) === peer) live.delete(saeId);
    options.onConnection(saeId, result);
  });
  serveKeys(server, sae, { saeOf });
  return server;
}

async function connectTo(
  saeId: string,
  config: ConnectConfig,
  sae: Sae,
  devices: Devices,
  options: LinkOptions,
  live: Map<string, Peer<SaeChannels> | Connection<SaeChannels>>,
): Promise<SaeConnection> {
  const persona = devices.transportOf(saeId);
  const connected = (connection: Connection<SaeChannels>): void => {
    live.set(saeId, connection);
    persona?.attach(saeId, connection);
    options.traffic?.attach(connection);
    connection.on('disconnect', ({ result }) => {
      if (live.get(saeId) === connection) live.delete(saeId);
      options.onConnection(saeId, result);
    });
    options.onConnection(saeId, undefined);
  };
  const connector = keysConnector<SaeChannels>(
    await tokensOf(config),
    {
      channels: declaredChannels(options),
      ...(persona !== undefined && { secretOf: persona.secretOf }),
    },
    connected,
  );
  const connection = new SaeConnection({ sae, peerSaeId: saeId, connector });
  connection.on('attemptFailed', (error) => options.onError(error, saeId));
  connection.on('listenerError', (error) => options.onError(error, saeId));
  return connection;
}

/** Gets a token for each connection. */
async function tokensOf(config: ConnectConfig): Promise<() => Promise<Uint8Array | string>> {
  if ('tokenFile' in config) {
    const { tokenFile } = config;
    // Read anew each time: somebody may have put another one there.
    return async () => readPublicFile('the token', tokenFile).toString('utf8').trim();
  }
  const common = { lifetime: tokenLifetimeMs, wire: 'hawser' } as const;
  let mint: TokenFactory;
  if ('tokenUrl' in config) {
    const { tokenUrl } = config;
    mint = await tokenFactory({
      ...common,
      tokenUrl,
      server: [],
      key: undefined,
      protocolId: 1n,
      timeout: defaultTimeoutMs,
    });
  } else {
    const { to, key, protocolId, timeoutMs } = config;
    mint = await tokenFactory({
      ...common,
      tokenUrl: undefined,
      server: to,
      key: readServerKey('the server key', key),
      protocolId,
      timeout: timeoutMs ?? defaultTimeoutMs,
    });
  }
  return () => mint(config.clientId);
}
