// Where the addon and the reference implementation of netcode 1.02 meet: over real sockets, or in a simulated network and its
// virtual time. The reference stands in places; both carriers have the same ones.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { expect } from 'vitest';
import { formatAddress, parseAddress } from '../../src/base/address.js';
import { Client, type Connection, type Peer, type Server, type ServerOptions } from '../../src/index.js';
import { type MintNetcodeTokenOptions, mintNetcodeToken } from '../../src/token/index.js';
import type { Bytes } from '../reference/bytes.js';
import { type Endpoint, fromEndpoint, type SendDatagram } from '../reference/endpoints.js';
import * as netcode from '../reference/netcode.js';
import {
  clientState,
  NetcodeClient,
  type NetcodeEnd,
  NetcodeServer,
  type NetcodeServerClient,
  type NetcodeServerOptions,
} from '../reference/netcode-endpoints.js';
import {
  patienceMs,
  protocolId,
  RealWorld,
  SimulatedWorld,
  serverKey,
  type World,
} from '../transport/support.js';

export type Family = 'IPv4' | 'IPv6';

/** A datagram that reached a place, and when. */
export interface Heard {
  readonly atMs: number;
  readonly datagram: Bytes;
}

export const addressOf = ({ host, port }: Endpoint): string => formatAddress(parseAddress({ host, port }));

export const typeOf = (datagram: Bytes): number => (datagram[0] ?? 0) & 15;

export const ofType = (type: number, heard: readonly Heard[]): Bytes[] =>
  heard.map(({ datagram }) => datagram).filter((datagram) => typeOf(datagram) === type);

const tickMs = 10;

/** An address where the reference stands. */
export abstract class Place {
  readonly endpoint: Endpoint;
  readonly address: string;
  /** Every datagram that arrived, in order. */
  readonly heard: Heard[] = [];
  /** Every datagram that left, in order. */
  readonly sent: Bytes[] = [];
  /** Where the last datagram came from. */
  from: Endpoint | undefined;
  /** What of that which arrives the end gets; everything at first. */
  listens: (datagram: Bytes) => boolean = () => true;
  /** While it is mute nothing leaves. */
  mute = false;
  protected end: NetcodeEnd | undefined;

  protected constructor(endpoint: Endpoint) {
    this.endpoint = endpoint;
    this.address = addressOf(endpoint);
  }

  abstract nowMs(): number;
  protected abstract transmit(datagram: Bytes, to: Endpoint): void;
  protected abstract startTicking(): void;

  readonly send: SendDatagram = (datagram, to) => {
    if (this.mute) return;
    this.sent.push(datagram);
    this.transmit(datagram, to);
  };

  /**
   * From now on the end gets what arrives.
   *
   * @param ticks whether it is told the time too; without, it says nothing but what it is asked for.
   */
  attach(end: NetcodeEnd, ticks = true): void {
    this.end = end;
    if (ticks) this.startTicking();
  }

  /** When datagrams of that type arrived. */
  timesOf(type: number): number[] {
    return this.heard.filter(({ datagram }) => typeOf(datagram) === type).map(({ atMs }) => atMs);
  }

  take(datagram: Bytes, from: Endpoint): void {
    this.heard.push({ atMs: this.nowMs(), datagram });
    this.from = from;
    if (this.listens(datagram)) this.end?.receive(datagram, from, this.nowMs());
  }
}

/**
 * The time that the reference is told over real sockets: a tick for each turn of a timer. A machine that stands still meanwhile does not make
 * it repeat what only waits to be read.
 */
class PatientClock {
  #nowMs = Date.now();
  readonly #timer = setInterval(() => {
    this.#nowMs += tickMs;
    for (const listener of this.listeners) listener(this.#nowMs);
  }, tickMs);
  readonly listeners = new Set<(nowMs: number) => void>();

  get nowMs(): number {
    return this.#nowMs;
  }

  stop(): void {
    clearInterval(this.#timer);
  }
}

class RealPlace extends Place {
  readonly #socket: Socket;
  readonly #clock: PatientClock;

  constructor(socket: Socket, clock: PatientClock) {
    const { address, port } = socket.address();
    super({ host: address, port });
    this.#socket = socket;
    this.#clock = clock;
    socket.on('message', (data, { address: host, port: source }) => this.take(data, { host, port: source }));
  }

  override nowMs(): number {
    return this.#clock.nowMs;
  }

  protected override transmit(datagram: Bytes, to: Endpoint): void {
    this.#socket.send(datagram, to.port, to.host);
  }

  readonly #tick = (nowMs: number): void => this.end?.tick(nowMs);

  protected override startTicking(): void {
    this.#clock.listeners.add(this.#tick);
  }

  close(): void {
    this.#clock.listeners.delete(this.#tick);
    this.#socket.close();
  }
}

/** Datagrams reach it at once; what it sends takes as long as those of the addon. */
class VirtualPlace extends Place {
  readonly #world: SimulatedWorld;

  constructor(world: SimulatedWorld, endpoint: Endpoint) {
    super(endpoint);
    this.#world = world;
  }

  override nowMs(): number {
    return Math.floor(this.#world.clock.wallNow());
  }

  protected override transmit(datagram: Bytes, to: Endpoint): void {
    const { network } = this.#world;
    network.clock.setTimeout(() => network.inject(this.address, addressOf(to), datagram), delayMs);
  }

  protected override startTicking(): void {
    const tick = (): void => {
      this.end?.tick(this.nowMs());
      this.#world.network.clock.setTimeout(tick, tickMs);
    };
    tick();
  }
}

export const delayMs = 5;

/** Of a token that the reference mints. */
export interface Minting extends Partial<Omit<netcode.TokenOptions, 'addresses'>> {
  readonly key?: Bytes;
  /** In seconds; 60 by default. */
  readonly lifetime?: bigint;
}

/** The reference as a client. */
export interface Guest {
  readonly client: NetcodeClient;
  readonly place: Place;
}

/** One that is connected to a gateway of the addon. */
export interface Joined extends Guest {
  readonly peer: Peer;
}

/** The reference as a server. */
export interface Host {
  readonly server: NetcodeServer;
  readonly place: Place;
}

/** An attempt of the addon to connect. */
export interface Call {
  readonly client: Client;
  /** The numbers of its states, from the first one on. */
  readonly states: number[];
  /** Rejects as connect() does. */
  readonly attempt: Promise<Connection>;
}

let lastClientId = 0n;

export abstract class Carrier {
  abstract readonly world: World;
  /** Of sessions, and of each step of an attempt, in seconds, where a test does not say another. */
  abstract readonly timeout: number;
  readonly #clients: Client[] = [];

  abstract place(family?: Family): Promise<Place>;
  /** Waits until it is so; the limit is generous. */
  abstract until(condition: () => boolean): Promise<void>;
  /** Until everything that the server was sent, or may answer to it, has arrived. */
  abstract settle(server: Server): Promise<void>;
  protected abstract openClient(family: Family): Promise<Client>;
  protected abstract wildcard(family: Family): string;

  /** Unix milliseconds, whole. */
  nowMs(): number {
    return Math.floor(this.world.clock.wallNow());
  }

  mint(servers: readonly { readonly publicAddresses: readonly string[] }[], options: Minting = {}): Bytes {
    const addresses = servers.flatMap(({ publicAddresses }) => publicAddresses);
    return this.mintFor(
      addresses.map((address) => parseAddress(address)),
      options,
    );
  }

  mintFor(
    addresses: readonly Endpoint[],
    { key = serverKey.key, lifetime = 60n, ...options }: Minting = {},
  ): Bytes {
    const create = options.create ?? BigInt(Math.floor(this.nowMs() / 1000));
    return netcode.mintToken(key, {
      protocolId,
      create,
      expire: create + lifetime,
      nonce: netcode.random(24),
      clientId: ++lastClientId,
      timeout: this.timeout,
      c2s: netcode.random(32),
      s2c: netcode.random(32),
      userData: new Uint8Array(256),
      ...options,
      addresses: addresses.map(fromEndpoint),
    });
  }

  /** A token as backends in JavaScript mint them. */
  mintHere(
    addresses: readonly string[],
    options: Partial<MintNetcodeTokenOptions> = {},
  ): Promise<Uint8Array> {
    return mintNetcodeToken({
      protocolId,
      key: serverKey,
      clientId: ++lastClientId,
      addresses,
      lifetimeMs: 60_000,
      timeoutMs: 1000 * this.timeout,
      now: () => this.world.clock.wallNow(),
      ...options,
    });
  }

  // ---- The reference as a client

  gateway(options: Partial<ServerOptions> = {}, family: Family = 'IPv4'): Promise<Server> {
    return this.world.listen({
      address: this.wildcard(family),
      wires: ['hawser', 'netcode'],
      freshKeys: true,
      ...options,
    });
  }

  async guest(token: Bytes, { family = 'IPv4', ticks = true }: GuestOptions = {}): Promise<Guest> {
    const place = await this.place(family);
    return { client: this.guestAt(place, token, { ticks }), place };
  }

  /** A client in the place of one that is gone, if there was one. */
  guestAt(place: Place, token: Bytes, { ticks = true }: GuestOptions = {}): NetcodeClient {
    const client = new NetcodeClient({ token, sendDatagram: place.send });
    place.attach(client, ticks);
    return client;
  }

  async join(server: Server, minting: Minting = {}, options: GuestOptions = {}): Promise<Joined> {
    const guest = await this.guest(this.mint([server], minting), options);
    guest.client.start(this.nowMs());
    return { ...guest, peer: await this.connected(server, guest) };
  }

  /** Waits until both sides know that the guest is connected. */
  async connected(server: Server, { client, place }: Guest): Promise<Peer> {
    const peerOf = (): Peer | undefined => [...server.peers].find(({ address }) => address === place.address);
    await this.until(() => client.state === clientState.connected && peerOf() !== undefined);
    return peerOf() ?? expect.fail('gone again');
  }

  // ---- The reference as a server

  async host(options: Partial<NetcodeServerOptions> = {}, family: Family = 'IPv4'): Promise<Host> {
    const place = await this.place(family);
    const server = new NetcodeServer({
      protocolId,
      privateKey: serverKey.key,
      addresses: [place.endpoint],
      sendDatagram: place.send,
      ...options,
    });
    place.attach(server);
    return { server, place };
  }

  /** Begins to connect. */
  async call(
    token: Bytes,
    options: { readonly timeoutMs?: number; readonly signal?: AbortSignal } = {},
    family: Family = 'IPv4',
  ): Promise<Call> {
    const client = await this.openClient(family);
    this.#clients.push(client);
    const states: number[] = [clientState.disconnected];
    let connection: Connection | undefined;
    const onState = (): void => {
      connection ??= [...client.connections][0];
      states.push(connection?.netcodeState ?? expect.fail('a state of nothing'));
    };
    const attempt = client.connect(token, { ...options, onState });
    // Whoever waits for it gets the error all the same.
    attempt.catch(() => undefined);
    return { client, states, attempt };
  }

  /** The addon as a client of the reference. */
  async visit(host: Host, options: Partial<MintNetcodeTokenOptions> = {}): Promise<Visit> {
    const call = await this.call(await this.mintHere([host.place.address], options));
    const connection = await this.world.until(call.attempt);
    await this.until(() => host.server.clients.at(-1)?.confirmed === true);
    return { ...call, connection, seat: host.server.clients.at(-1) ?? expect.fail('nobody came') };
  }

  async close(): Promise<void> {
    await this.world.until(Promise.all(this.#clients.map((client) => client.close())));
    await this.world.close();
  }
}

/** How a guest comes. */
export interface GuestOptions {
  readonly family?: Family;
  /** Whether it is told the time; true by default. */
  readonly ticks?: boolean;
}

/** A connection of the addon to the reference. */
export interface Visit extends Call {
  readonly connection: Connection;
  /** What the reference knows of it. */
  readonly seat: NetcodeServerClient;
}

class RealCarrier extends Carrier {
  override readonly world = new RealWorld();
  override readonly timeout: number = patienceMs / 1000;
  readonly #clock = new PatientClock();
  readonly #places: RealPlace[] = [];

  override nowMs(): number {
    return this.#clock.nowMs;
  }

  override async place(family: Family = 'IPv4'): Promise<Place> {
    const socket = createSocket(family === 'IPv4' ? 'udp4' : 'udp6');
    socket.bind(0, family === 'IPv4' ? '127.0.0.1' : '::1');
    await once(socket, 'listening');
    const place = new RealPlace(socket, this.#clock);
    this.#places.push(place);
    return place;
  }

  override async until(condition: () => boolean): Promise<void> {
    const limit = performance.now() + 60_000;
    while (!condition()) {
      if (performance.now() > limit) throw new Error(`nothing came of it: ${condition}`);
      await new Promise((resolve) => setTimeout(resolve, 1));
    }
  }

  // Loopback keeps the order of what one socket is sent, and a turn of the server ends with what it sends: once the mark was
  // counted, every answer is in the socket that it is for, and one round of the event loop delivers it.
  override async settle(server: Server): Promise<void> {
    const place = await this.place();
    const before = server.stats.drops.unknownType;
    place.send(Uint8Array.of(0xff), parseAddress(server.address));
    await this.until(() => server.stats.drops.unknownType > before);
    for (let round = 0; round < 3; ++round) await new Promise((resolve) => setImmediate(resolve));
  }

  protected override openClient(family: Family): Promise<Client> {
    return Client.open({ address: this.wildcard(family) });
  }

  protected override wildcard(family: Family): string {
    return family === 'IPv4' ? '127.0.0.1:0' : '[::1]:0';
  }

  override async close(): Promise<void> {
    await super.close();
    this.#clock.stop();
    for (const place of this.#places) place.close();
  }
}

export class VirtualCarrier extends Carrier {
  override readonly world = new SimulatedWorld({ delayMs });
  override readonly timeout = 5;
  readonly #places = new Map<string, Place>();

  constructor() {
    super();
    this.world.network.capture((from, to, datagram) => {
      this.#places.get(to)?.take(datagram, parseAddress(from));
    });
  }

  override async place(family: Family = 'IPv4'): Promise<Place> {
    const number = this.#places.size + 1;
    const host = family === 'IPv4' ? `10.99.0.${number}` : `fd99::${number}`;
    return this.placeAt({ host, port: 5000 });
  }

  placeAt(endpoint: Endpoint): Place {
    const place = new VirtualPlace(this.world, endpoint);
    this.#places.set(place.address, place);
    return place;
  }

  override until(condition: () => boolean): Promise<void> {
    return this.world.network.runUntil(condition);
  }

  override settle(): Promise<void> {
    return this.world.network.run(1000);
  }

  protected override openClient(family: Family): Promise<Client> {
    return Client.open({ address: this.wildcard(family), network: this.world.network });
  }

  protected override wildcard(family: Family): string {
    return family === 'IPv4' ? '0.0.0.0:0' : '[::]:0';
  }

  override async close(): Promise<void> {
    await super.close();
    this.world.network.capture(undefined);
  }
}

export const carriers: readonly (readonly [string, () => Carrier])[] = [
  ['over real sockets', () => new RealCarrier()],
  ['in virtual time', () => new VirtualCarrier()],
];
