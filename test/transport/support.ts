// What the transport's tests share: a gateway and its clients, in a simulated network or over real sockets.

import {
  type ChannelMap,
  type Client,
  type ClientEvents,
  type Connection,
  type ConnectionEvents,
  type ConnectOptions,
  connect,
  type DefaultChannels,
  Server,
  type ServerEvents,
  type ServerOptions,
  type TokenSource,
} from '../../src/index.js';
import { SimulatedNetwork, type SimulatedNetworkOptions } from '../../src/testing/index.js';
import { generateKey, type MintTokenOptions, mintToken } from '../../src/token/index.js';

export const protocolId = 0x1122_3344_5566_7788n;
export const serverKey = generateKey({ id: 7 });

export const text = (message: Uint8Array): string => Buffer.from(message).toString();
export const bytes = (message: string): Uint8Array => new TextEncoder().encode(message);

/** The arguments of the next event of that name. */
export function next<C extends ChannelMap, Name extends keyof ServerEvents<C>>(
  emitter: Server<C>,
  name: Name,
): Promise<ServerEvents<C>[Name]>;
export function next<C extends ChannelMap, Name extends keyof ConnectionEvents<C>>(
  emitter: Connection<C>,
  name: Name,
): Promise<ConnectionEvents<C>[Name]>;
export function next<C extends ChannelMap, Name extends keyof ClientEvents<C>>(
  emitter: Client<C>,
  name: Name,
): Promise<ClientEvents<C>[Name]>;
export function next(emitter: NodeJS.EventEmitter, name: string): Promise<unknown[]> {
  return new Promise((resolve) => {
    emitter.once(name, (...args: unknown[]) => resolve(args));
  });
}

export type TokenOverrides = Partial<MintTokenOptions>;

let lastClientId = 1000n;

interface Addressed {
  readonly publicAddresses: readonly string[];
}

interface Closable {
  close(): Promise<void>;
}

/** A place where gateways and clients meet, the same for tests of both kinds. */
export interface World {
  readonly name: string;
  listen<C extends ChannelMap = DefaultChannels>(options?: Partial<ServerOptions<C>>): Promise<Server<C>>;
  token(server: Addressed, overrides?: TokenOverrides): Promise<Uint8Array>;
  connect<C extends ChannelMap = DefaultChannels>(
    token: TokenSource,
    options?: ConnectOptions<C>,
  ): Promise<Connection<C>>;
  /** Waits for a promise, letting time pass. */
  until<T>(promise: Promise<T>): Promise<T>;
  /** Lets what is on its way arrive. */
  settle(): Promise<void>;
  /** Unix milliseconds there. */
  wallNow(): number;
  /** Closes what was opened. */
  close(): Promise<void>;
}

abstract class BaseWorld implements World {
  abstract readonly name: string;
  readonly servers: Closable[] = [];
  readonly connections: Closable[] = [];

  abstract listen<C extends ChannelMap = DefaultChannels>(
    options?: Partial<ServerOptions<C>>,
  ): Promise<Server<C>>;
  abstract connect<C extends ChannelMap = DefaultChannels>(
    token: TokenSource,
    options?: ConnectOptions<C>,
  ): Promise<Connection<C>>;
  abstract until<T>(promise: Promise<T>): Promise<T>;
  abstract settle(): Promise<void>;
  abstract wallNow(): number;

  async token(server: Addressed, overrides: TokenOverrides = {}): Promise<Uint8Array> {
    return mintToken({
      protocolId,
      key: serverKey,
      clientId: ++lastClientId,
      addresses: server.publicAddresses,
      now: () => this.wallNow(),
      ...overrides,
    });
  }

  async close(): Promise<void> {
    await this.until(Promise.all(this.connections.map((connection) => connection.close())));
    await this.until(Promise.all(this.servers.map((server) => server.close())));
  }
}

export class RealWorld extends BaseWorld {
  override readonly name: string;
  readonly #socket: 'native' | 'portable';

  constructor(socket: 'native' | 'portable' = 'native') {
    super();
    this.name = `over ${socket} sockets`;
    this.#socket = socket;
  }

  override async listen<C extends ChannelMap = DefaultChannels>(
    options: Partial<ServerOptions<C>> = {},
  ): Promise<Server<C>> {
    const server = await Server.listen({
      address: '127.0.0.1:0',
      protocolId,
      keys: [serverKey],
      socket: this.#socket,
      ...options,
    });
    this.servers.push(server);
    return server;
  }

  override async connect<C extends ChannelMap = DefaultChannels>(
    token: TokenSource,
    options: ConnectOptions<C> = {},
  ): Promise<Connection<C>> {
    const socket = options.client === undefined ? { socket: this.#socket } : {};
    const connection = await connect(token, { ...socket, ...options });
    this.connections.push(connection);
    return connection;
  }

  override until<T>(promise: Promise<T>): Promise<T> {
    return promise;
  }

  override async settle(): Promise<void> {
    // A round trip through the kernel for whatever was sent before: loopback keeps the order.
    for (let turn = 0; turn < 20; ++turn) await new Promise((resolve) => setTimeout(resolve, 1));
  }

  override wallNow(): number {
    return Date.now();
  }
}

export class SimulatedWorld extends BaseWorld {
  override readonly name = 'in a simulated network';
  readonly network: SimulatedNetwork;

  constructor(options: SimulatedNetworkOptions = {}) {
    super();
    this.network = new SimulatedNetwork(options);
  }

  override async listen<C extends ChannelMap = DefaultChannels>(
    options: Partial<ServerOptions<C>> = {},
  ): Promise<Server<C>> {
    const server = await Server.listen({ protocolId, keys: [serverKey], network: this.network, ...options });
    this.servers.push(server);
    return server;
  }

  override async connect<C extends ChannelMap = DefaultChannels>(
    token: TokenSource,
    options: ConnectOptions<C> = {},
  ): Promise<Connection<C>> {
    const network = options.client === undefined ? { network: this.network } : {};
    const connection = await this.until(connect(token, { ...network, ...options }));
    this.connections.push(connection);
    return connection;
  }

  override until<T>(promise: Promise<T>): Promise<T> {
    return this.network.runUntil(promise);
  }

  override settle(): Promise<void> {
    return this.network.run(200);
  }

  override wallNow(): number {
    return this.network.clock.wallNow();
  }
}

export const worlds: readonly (readonly [string, () => World])[] = [
  ['in a simulated network', () => new SimulatedWorld()],
  ['over native sockets', () => new RealWorld('native')],
  ['over portable sockets', () => new RealWorld('portable')],
];
