// What the transport's tests share: a gateway and its clients, in a simulated network or over real sockets.

import { setFlagsFromString } from 'node:v8';
import { runInThisContext } from 'node:vm';
import { afterAll, afterEach, beforeEach, expect } from 'vitest';
import { type Clock, systemClock } from '../../src/base/clock.js';
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

const nothing = new Uint8Array(0);
const nobody = new Uint32Array(0);

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
  /** The time there. */
  readonly clock: Clock;
  /** Closes what was opened. */
  close(): Promise<void>;
}

abstract class BaseWorld implements World {
  readonly servers: (Closable & Pick<Server, 'state' | 'setLimits'>)[] = [];
  readonly connections: (Closable & Pick<Connection, 'carrier'>)[] = [];

  abstract listen<C extends ChannelMap = DefaultChannels>(
    options?: Partial<ServerOptions<C>>,
  ): Promise<Server<C>>;
  abstract connect<C extends ChannelMap = DefaultChannels>(
    token: TokenSource,
    options?: ConnectOptions<C>,
  ): Promise<Connection<C>>;
  abstract until<T>(promise: Promise<T>): Promise<T>;
  abstract settle(): Promise<void>;
  abstract readonly clock: Clock;

  async token(server: Addressed, overrides: TokenOverrides = {}): Promise<Uint8Array> {
    return mintToken({
      protocolId,
      key: serverKey,
      clientId: ++lastClientId,
      addresses: server.publicAddresses,
      now: () => this.clock.wallNow(),
      ...overrides,
    });
  }

  async close(): Promise<void> {
    await this.until(Promise.all(this.connections.map((connection) => connection.close())));
    await this.until(Promise.all(this.servers.map((server) => server.close())));
  }
}

/** Over real sockets both sides of a session may stand still for many seconds, and so may an attempt to connect: nobody is given up for that. */
export const patienceMs = 60_000;

/** How real sockets are opened: clients have one thread, whatever `threads` says. */
export type RealSockets = Pick<ServerOptions, 'socket' | 'driver' | 'threads'>;

export class RealWorld extends BaseWorld {
  override readonly clock: Clock = systemClock;
  readonly #server: RealSockets;
  readonly #client: Omit<RealSockets, 'threads'>;

  constructor(sockets: RealSockets = {}) {
    super();
    const { threads: _, ...client } = sockets;
    this.#server = sockets;
    this.#client = client;
  }

  override token(server: Addressed, overrides: TokenOverrides = {}): Promise<Uint8Array> {
    return super.token(server, { timeoutMs: patienceMs, ...overrides });
  }

  override async listen<C extends ChannelMap = DefaultChannels>(
    options: Partial<ServerOptions<C>> = {},
  ): Promise<Server<C>> {
    const server = await Server.listen({
      address: '127.0.0.1:0',
      protocolId,
      keys: [serverKey],
      ...this.#server,
      ...options,
    });
    this.servers.push(server);
    return server;
  }

  override async connect<C extends ChannelMap = DefaultChannels>(
    token: TokenSource,
    options: ConnectOptions<C> = {},
  ): Promise<Connection<C>> {
    const own = options.client === undefined ? this.#client : {};
    const connection = await connect(token, { timeoutMs: patienceMs, ...own, ...options });
    this.connections.push(connection);
    return connection;
  }

  override until<T>(promise: Promise<T>): Promise<T> {
    return promise;
  }

  override async settle(): Promise<void> {
    // Whatever was sent before is at its end, and so are the answers to it, and what follows from them: each goes on by one step at least
    // in a turn of everybody, and loopback loses nothing. However long a turn takes, no step depends on it.
    for (let turn = 0; turn < 20; ++turn) {
      await new Promise((resolve) => setTimeout(resolve, 1));
      this.#turnOfThreads();
    }
  }

  /** Returns when each I/O thread has read its socket, sent what it had, and told the event loop. */
  #turnOfThreads(): void {
    // These are answered at the beginning of a thread's turn, so that the second time comes after the whole turn of the first.
    for (let time = 0; time < 2; ++time) {
      for (const server of this.servers) if (server.state === 'RUNNING') server.setLimits({});
      for (const { carrier } of this.connections)
        carrier.broadcast(carrier.channels.first, nothing, nobody, 0);
    }
  }
}

export class SimulatedWorld extends BaseWorld {
  readonly network: SimulatedNetwork;
  override readonly clock: Clock;

  constructor(options: SimulatedNetworkOptions = {}) {
    super();
    this.network = new SimulatedNetwork(options);
    this.clock = this.network.clock;
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
}

/** I/O threads are there on Linux only. */
export const threadedSockets: readonly (readonly [string, RealSockets])[] =
  process.platform === 'linux'
    ? [
        ['on one I/O thread', { driver: 'threads' }],
        ['on three I/O threads', { driver: 'threads', threads: 3 }],
      ]
    : [];

export const realSockets: readonly (readonly [string, RealSockets])[] = [
  ['over native sockets', { socket: 'native' }],
  ['over portable sockets', { socket: 'portable' }],
  ...threadedSockets,
];

export const worlds: readonly (readonly [string, () => World])[] = [
  ['in a simulated network', () => new SimulatedWorld()],
  ...realSockets.map(([name, sockets]) => [name, () => new RealWorld(sockets)] as const),
];

/**
 * Gives each test of the suite a world of its own. They are closed together when the tests have run: gateways linger for a second, to
 * acknowledge repeated farewells.
 */
export function freshWorldForEachTest(make: () => World, use: (world: World) => void): void {
  const closing: Promise<void>[] = [];
  let world: World;
  beforeEach(() => {
    world = make();
    use(world);
  });
  afterEach(() => {
    closing.push(world.close());
  });
  afterAll(() => Promise.all(closing));
}

/** What a transfer does to a buffer, also where the runtime copies those of addons instead, as Node.js 20 does. */
function detach(buffer: ArrayBufferLike): void {
  setFlagsFromString('--allow-natives-syntax');
  const detachNow: (buffer: ArrayBufferLike) => void = runInThisContext(
    '(buffer) => { %ArrayBufferDetach(buffer); }',
  );
  detachNow(buffer);
}

/** A listener takes the slab of each of 50 messages away: all of them arrive, in slabs that replace the lost ones. */
export async function expectSlabsReplaced(world: RealWorld): Promise<void> {
  const messages = 50;
  const server = await world.listen();
  const heard: string[] = [];
  server.on('message', (peer, data) => {
    heard.push(text(data));
    detach(data.buffer);
    peer.send(bytes('next'));
  });
  const connection = await world.connect(await world.token(server));
  const enough = new Promise<void>((resolve) => {
    connection.on('message', () => {
      if (heard.length === messages) resolve();
      else connection.send(bytes(`message ${heard.length}`));
    });
  });
  connection.send(bytes('message 0'));
  await enough;
  expect(heard).toEqual(Array.from({ length: messages }, (_, index) => `message ${index}`));
  expect(server.stats.socket.slabsReplaced).toBe(messages);
  await world.close();
}
