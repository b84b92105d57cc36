// The client and the server of netcode 1.02, driven by tick(nowMs) and receive(datagram, from): no clock, no timers, no
// sockets of their own, and a thin wrapper that gives them those. `nowMs` is Unix milliseconds, of a clock of the test's
// choice. They do what the standard says and nothing else.

import { createSocket, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { type Bytes, Refused, require, toHex } from './bytes.js';
import { type Endpoint, fromEndpoint, type SendDatagram, toEndpoint } from './endpoints.js';
import {
  type ChallengeBody,
  type ClearPart,
  type Deformation,
  decodeChallenge,
  decodeHeader,
  decodeKeepAlive,
  decodePrivate,
  decodeRequest,
  decodeToken,
  encodeAddress,
  encodeChallenge,
  encodeKeepAlive,
  encodeRequest,
  isReplayProtected,
  type KeepAliveBody,
  openBody,
  openChallengeToken,
  openPrivate,
  type Packet,
  type PublicPart,
  packetType,
  ReplayProtection,
  random,
  requireBodySize,
  sealChallengeToken,
  sealPacket,
  takenByClient,
  takenByServer,
  tokenTag,
} from './netcode.js';

export type { Endpoint, SendDatagram };

/** "At some rate, like 10HZ." */
const sendIntervalMs = 100;
/** "A number of redundant connection disconnect packets." */
const disconnectPackets = 10;

const keyOf = (endpoint: Endpoint): string => toHex(encodeAddress(fromEndpoint(endpoint)));

/** A packet that a test makes by hand. */
export interface HandMade extends Deformation {
  /** The next one by default, which it then uses up. */
  readonly sequence?: bigint;
  readonly key?: Bytes;
  readonly protocolId?: bigint;
}

// ---- Client --------------------------------------------------------------------------------------------------------

export const clientState = {
  tokenExpired: -6,
  invalidToken: -5,
  timedOut: -4,
  responseTimedOut: -3,
  requestTimedOut: -2,
  denied: -1,
  disconnected: 0,
  sendingRequest: 1,
  sendingResponse: 2,
  connected: 3,
} as const;

export type ClientState = (typeof clientState)[keyof typeof clientState];

export interface NetcodeClientOptions {
  readonly token: Bytes;
  readonly sendDatagram: SendDatagram;
}

export class NetcodeClient {
  state: ClientState = clientState.disconnected;
  /** Every state so far, from the first one on. */
  readonly states: ClientState[] = [clientState.disconnected];
  /** Of the next encrypted packet. It goes on from server to server, because the keys stay the same. */
  sequence = 0n;
  /** Bodies of the PAYLOAD packets received while connected. */
  readonly messages: Bytes[] = [];
  /** Every packet that was taken. */
  readonly received: Packet[] = [];
  /** Why each datagram that was not taken was ignored. */
  readonly drops: string[] = [];
  /** What the server said when it connected this client. */
  slot: KeepAliveBody | undefined;
  /** The last challenge. */
  challenge: ChallengeBody | undefined;
  /** The server that is asked or connected to. */
  server: Endpoint | undefined;

  readonly #sendDatagram: SendDatagram;
  readonly #tokenBytes: Bytes;
  #token: PublicPart | undefined;
  #servers: Endpoint[] = [];
  #replays = new ReplayProtection();
  #nowMs = 0;
  #startedMs = 0;
  #lastSentMs = 0;
  /** When the present state was entered or, while connected, something was received. */
  #lastHeardMs = 0;

  constructor({ token, sendDatagram }: NetcodeClientOptions) {
    this.#tokenBytes = token;
    this.#sendDatagram = sendDatagram;
  }

  /** The public part of the token; there from start() on. */
  get token(): PublicPart {
    if (this.#token === undefined) throw new Error('no valid token yet');
    return this.#token;
  }

  /** Whether the client has reached an end: disconnected or one of the states of errors. */
  get ended(): boolean {
    return this.state <= clientState.disconnected;
  }

  /** Leaves "disconnected" for "sending connection request" or "invalid connect token". */
  start(nowMs: number): void {
    this.#nowMs = nowMs;
    this.#startedMs = nowMs;
    try {
      this.#token = decodeToken(this.#tokenBytes);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.#enter(clientState.invalidToken);
      return;
    }
    this.#servers = this.#token.addresses.map(toEndpoint);
    this.#askNext();
  }

  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    if (this.ended) return;
    const { create, expire, timeout } = this.token;
    const connecting = this.state !== clientState.connected;
    if (connecting && BigInt(nowMs - this.#startedMs) >= (expire - create) * 1000n) {
      this.#enter(clientState.tokenExpired);
      return;
    }
    if (timeout > 0 && nowMs - this.#lastHeardMs >= timeout * 1000) {
      this.#timeOut();
      return;
    }
    if (nowMs - this.#lastSentMs >= sendIntervalMs) this.#sendAgain();
  }

  receive(datagram: Bytes, from: Endpoint, nowMs: number = this.#nowMs): void {
    this.#nowMs = nowMs;
    try {
      this.#receive(Uint8Array.from(datagram), from);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.drops.push(error.message);
    }
  }

  /** Sends a PAYLOAD of 1 to 1,200 bytes. */
  send(data: Bytes): void {
    if (this.state !== clientState.connected) throw new Error(`a payload in state ${this.state}`);
    this.sendPacket(packetType.payload, data);
  }

  /** Ten DISCONNECT in one go, while connected, and state 0. */
  disconnect(): void {
    if (this.state === clientState.connected) {
      for (let count = 0; count < disconnectPackets; ++count)
        this.sendPacket(packetType.disconnect, new Uint8Array(0));
    }
    this.#enter(clientState.disconnected);
  }

  /** Sends any packet to the present server, well-formed or not. @returns the datagram. */
  sendPacket(type: number, body: Bytes, handMade: HandMade = {}): Uint8Array {
    const datagram = this.makePacket(type, body, handMade);
    this.sendRaw(datagram);
    return datagram;
  }

  /** As {@link sendPacket}, without sending. */
  makePacket(type: number, body: Bytes, { sequence, key, protocolId, ...rest }: HandMade = {}): Uint8Array {
    return sealPacket(
      key ?? this.token.c2s,
      protocolId ?? this.token.protocolId,
      type,
      sequence ?? this.sequence++,
      body,
      rest,
    );
  }

  /** Any bytes to the present server. */
  sendRaw(datagram: Bytes): void {
    if (this.server === undefined) throw new Error('no server yet');
    this.#lastSentMs = this.#nowMs;
    this.#sendDatagram(datagram, this.server);
  }

  #enter(state: ClientState): void {
    this.state = state;
    this.states.push(state);
    this.#lastHeardMs = this.#nowMs;
  }

  /** @returns whether there was another server in the token. */
  #askNext(): boolean {
    const next = this.#servers.shift();
    if (next === undefined) return false;
    this.server = next;
    this.challenge = undefined;
    this.#replays = new ReplayProtection();
    this.#enter(clientState.sendingRequest);
    this.#sendAgain();
    return true;
  }

  #timeOut(): void {
    if (this.state === clientState.connected) this.#enter(clientState.timedOut);
    else if (this.state === clientState.sendingRequest) this.#fail(clientState.requestTimedOut);
    else this.#fail(clientState.responseTimedOut);
  }

  #fail(state: ClientState): void {
    if (!this.#askNext()) this.#enter(state);
  }

  #sendAgain(): void {
    if (this.state === clientState.sendingRequest) this.sendRaw(encodeRequest(this.token));
    else if (this.state === clientState.sendingResponse) this.#respond();
    else this.sendPacket(packetType.keepAlive, encodeKeepAlive({ clientIndex: 0, maxClients: 0 }));
  }

  #respond(): void {
    if (this.challenge === undefined) throw new Error('no challenge yet');
    this.sendPacket(packetType.response, encodeChallenge(this.challenge));
  }

  #receive(datagram: Bytes, from: Endpoint): void {
    require(!this.ended, 'not running');
    require(this.server !== undefined && keyOf(this.server) === keyOf(from), 'not the server');
    const header = decodeHeader(datagram, takenByClient);
    if (isReplayProtected(header.type)) this.#replays.test(header.sequence);
    const body = openBody(this.token.s2c, this.token.protocolId, header, datagram);
    if (isReplayProtected(header.type)) this.#replays.record(header.sequence);
    requireBodySize(header.type, body.length);
    this.#process({ type: header.type, sequence: header.sequence, body });
  }

  #process(packet: Packet): void {
    const { connected, sendingRequest, sendingResponse, denied, disconnected } = clientState;
    switch (packet.type) {
      case packetType.denied:
        require(this.state !== connected, 'unexpected');
        this.#fail(denied);
        break;
      case packetType.challenge:
        require(this.state === sendingRequest, 'unexpected');
        this.challenge = decodeChallenge(packet.body);
        this.#enter(sendingResponse);
        this.#respond();
        break;
      case packetType.keepAlive:
        require(this.state !== sendingRequest, 'unexpected');
        if (this.state === sendingResponse) {
          this.slot = decodeKeepAlive(packet.body);
          this.#enter(connected);
        }
        this.#lastHeardMs = this.#nowMs;
        break;
      case packetType.payload:
        require(this.state === connected, 'unexpected');
        this.messages.push(packet.body);
        this.#lastHeardMs = this.#nowMs;
        break;
      default:
        require(this.state === connected, 'unexpected');
        this.#enter(disconnected);
    }
    this.received.push(packet);
  }
}

// ---- Server --------------------------------------------------------------------------------------------------------

export interface NetcodeServerOptions {
  readonly protocolId: bigint;
  readonly privateKey: Bytes;
  /** The addresses of which a token must list one; they may be appended to later. */
  readonly addresses: readonly Endpoint[];
  readonly sendDatagram: SendDatagram;
  /** 4 by default. */
  readonly maxClients?: number;
  /** Random by default. */
  readonly challengeKey?: Bytes;
  /** Of the first DENIED or CHALLENGE; 2^63 by default, so that none meets one of a connected client. */
  readonly globalSequence?: bigint;
}

/** Who holds a slot. */
export class NetcodeServerClient {
  readonly index: number;
  readonly clientId: bigint;
  readonly userData: Bytes;
  readonly address: Endpoint;
  confirmed = false;
  /** Of the next packet to it. */
  sequence = 0n;
  /** Bodies of its PAYLOAD packets. */
  readonly messages: Bytes[] = [];
  /** Every packet that was taken while it was connected. */
  readonly received: Packet[] = [];
  /** How it went, once it has. */
  ended: 'disconnected' | 'timed out' | 'by server' | undefined;
  readonly replays: ReplayProtection = new ReplayProtection();
  lastSentMs: number;
  lastHeardMs: number;

  constructor(index: number, clientId: bigint, userData: Bytes, address: Endpoint, nowMs: number) {
    this.index = index;
    this.clientId = clientId;
    this.userData = userData;
    this.address = address;
    this.lastSentMs = nowMs;
    this.lastHeardMs = nowMs;
  }
}

/** With what packets from and to an address are encrypted. */
interface EncryptionMapping {
  readonly c2s: Bytes;
  readonly s2c: Bytes;
  /** 0: never. */
  readonly timeoutMs: number;
  readonly createdMs: number;
  usedMs: number;
}

export class NetcodeServer {
  /** Whether every PAYLOAD is sent back. */
  echo = false;
  /** By client index. */
  readonly slots: (NetcodeServerClient | undefined)[];
  /** Every client that ever connected, in this order. */
  readonly clients: NetcodeServerClient[] = [];
  /** Why each datagram that was not taken was ignored. */
  readonly drops: string[] = [];
  /** Of the next DENIED or CHALLENGE. */
  globalSequence: bigint;
  /** Of the next challenge token. */
  challengeSequence = 0n;

  readonly #options: NetcodeServerOptions;
  readonly #challengeKey: Bytes;
  readonly #mappings = new Map<string, EncryptionMapping>();
  /** From the tag of a token to the address that used it first. */
  readonly #tokensUsed = new Map<string, string>();
  #nowMs = 0;

  constructor(options: NetcodeServerOptions) {
    this.#options = options;
    this.#challengeKey = options.challengeKey ?? random(32);
    this.globalSequence = options.globalSequence ?? 1n << 63n;
    this.slots = new Array<undefined>(options.maxClients ?? 4).fill(undefined);
  }

  /** The clients that are connected now. */
  get connected(): NetcodeServerClient[] {
    return this.slots.filter((slot) => slot !== undefined);
  }

  tick(nowMs: number): void {
    this.#nowMs = nowMs;
    for (const client of this.connected) {
      const { timeoutMs } = this.#mapping(client.address);
      if (timeoutMs > 0 && nowMs - client.lastHeardMs >= timeoutMs) this.#reset(client, 'timed out');
      else if (nowMs - client.lastSentMs >= sendIntervalMs) this.#keepAlive(client);
    }
  }

  receive(datagram: Bytes, from: Endpoint, nowMs: number = this.#nowMs): void {
    this.#nowMs = nowMs;
    try {
      const bytes = Uint8Array.from(datagram);
      if (bytes[0] === packetType.request) this.#onRequest(bytes, from);
      else this.#onPacket(bytes, from);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.drops.push(error.message);
    }
  }

  /** Sends a PAYLOAD of 1 to 1,200 bytes. */
  send(client: NetcodeServerClient, data: Bytes): void {
    if (!client.confirmed) this.#keepAlive(client);
    this.sendPacket(client, packetType.payload, data);
  }

  /** Ten DISCONNECT in one go; the slot is free then. */
  disconnect(client: NetcodeServerClient): void {
    for (let count = 0; count < disconnectPackets; ++count)
      this.sendPacket(client, packetType.disconnect, new Uint8Array(0));
    this.#reset(client, 'by server');
  }

  /** Sends any packet to a client, well-formed or not. @returns the datagram. */
  sendPacket(
    client: NetcodeServerClient,
    type: number,
    body: Bytes,
    { sequence, ...handMade }: HandMade = {},
  ): Uint8Array {
    client.lastSentMs = this.#nowMs;
    return this.sendTo(client.address, type, body, { sequence: sequence ?? client.sequence++, ...handMade });
  }

  /** As {@link sendPacket}, to an address that has sent a REQUEST; numbered with the global sequence by default. */
  sendTo(
    to: Endpoint,
    type: number,
    body: Bytes,
    { sequence, key, protocolId, ...deformation }: HandMade = {},
  ): Uint8Array {
    const mapping = this.#mappings.get(keyOf(to));
    const datagram = sealPacket(
      key ?? this.#mapping(to).s2c,
      protocolId ?? this.#options.protocolId,
      type,
      sequence ?? this.globalSequence++,
      body,
      deformation,
    );
    if (mapping !== undefined) mapping.usedMs = this.#nowMs;
    this.#options.sendDatagram(datagram, to);
    return datagram;
  }

  // The order of the checks is that of the standard, section "Processing Connection Requests".
  #onRequest(datagram: Bytes, from: Endpoint): void {
    const { protocolId, privateKey, addresses } = this.#options;
    const request = decodeRequest(datagram);
    require(request.protocolId === protocolId, 'protocol id');
    require(request.expire > BigInt(Math.floor(this.#nowMs / 1000)), 'expired');
    const token = this.#openToken(privateKey, request);
    const own = addresses.map(keyOf);
    require(token.addresses.some((address) => own.includes(toHex(encodeAddress(address)))), 'another server');
    require(this.#clientAt(from) === undefined, 'address connected');
    require(this.#clientWith(token.clientId) === undefined, 'client id connected');
    const tag = toHex(tokenTag(request.sealed));
    const user = this.#tokensUsed.get(tag);
    require(user === undefined || user === keyOf(from), 'token used');
    this.#tokensUsed.set(tag, keyOf(from));
    if (this.#freeSlot() === undefined) {
      this.sendTo(from, packetType.denied, new Uint8Array(0), { key: token.s2c });
      return;
    }
    this.#mappings.set(keyOf(from), {
      c2s: token.c2s,
      s2c: token.s2c,
      timeoutMs: Math.max(0, token.timeout) * 1000,
      createdMs: this.#nowMs,
      usedMs: this.#nowMs,
    });
    const sequence = this.challengeSequence++;
    const challenge = sealChallengeToken(this.#challengeKey, sequence, token);
    this.sendTo(from, packetType.challenge, encodeChallenge({ sequence, token: challenge }));
  }

  #openToken(
    privateKey: Bytes,
    request: ClearPart & { readonly sealed: Bytes },
  ): ReturnType<typeof decodePrivate> {
    return decodePrivate(openPrivate(privateKey, request, request.sealed));
  }

  #onPacket(datagram: Bytes, from: Endpoint): void {
    const mapping = this.#mappings.get(keyOf(from));
    require(mapping !== undefined && this.#isAlive(keyOf(from), mapping), 'unknown address');
    const client = this.#clientAt(from);
    const header = decodeHeader(datagram, takenByServer);
    const replays = isReplayProtected(header.type) ? client?.replays : undefined;
    replays?.test(header.sequence);
    const body = openBody(mapping.c2s, this.#options.protocolId, header, datagram);
    replays?.record(header.sequence);
    requireBodySize(header.type, body.length);
    mapping.usedMs = this.#nowMs;
    const packet = { type: header.type, sequence: header.sequence, body };
    if (packet.type === packetType.response) {
      this.#onResponse(decodeChallenge(body), from);
    } else {
      require(client !== undefined, 'not connected');
      this.#onClientPacket(client, packet);
    }
  }

  // The order of the checks is that of the standard, section "Processing Connection Response Packets".
  #onResponse(challenge: ChallengeBody, from: Endpoint): void {
    const { clientId, userData } = openChallengeToken(
      this.#challengeKey,
      challenge.sequence,
      challenge.token,
    );
    require(this.#clientAt(from) === undefined, 'address connected');
    require(this.#clientWith(clientId) === undefined, 'client id connected');
    const index = this.#freeSlot();
    if (index === undefined) {
      this.sendTo(from, packetType.denied, new Uint8Array(0));
      return;
    }
    const client = new NetcodeServerClient(index, clientId, userData, from, this.#nowMs);
    this.slots[index] = client;
    this.clients.push(client);
    this.#keepAlive(client);
  }

  #onClientPacket(client: NetcodeServerClient, packet: Packet): void {
    client.received.push(packet);
    if (packet.type === packetType.disconnect) {
      this.#reset(client, 'disconnected');
      return;
    }
    client.lastHeardMs = this.#nowMs;
    client.confirmed = true;
    if (packet.type !== packetType.payload) return;
    client.messages.push(packet.body);
    if (this.echo) this.send(client, packet.body);
  }

  #keepAlive(client: NetcodeServerClient): void {
    const body = { clientIndex: client.index, maxClients: this.slots.length };
    this.sendPacket(client, packetType.keepAlive, encodeKeepAlive(body));
  }

  #reset(client: NetcodeServerClient, reason: NonNullable<NetcodeServerClient['ended']>): void {
    client.ended = reason;
    this.slots[client.index] = undefined;
    this.#mappings.delete(keyOf(client.address));
  }

  #mapping(address: Endpoint): EncryptionMapping {
    const mapping = this.#mappings.get(keyOf(address));
    if (mapping === undefined) throw new Error(`no keys for ${address.host}:${address.port}`);
    return mapping;
  }

  /** "Expires in timeout seconds of no packets ..., or if a client fails to establish a connection within timeout seconds." */
  #isAlive(key: string, { timeoutMs, createdMs, usedMs }: EncryptionMapping): boolean {
    if (timeoutMs === 0 || this.connected.some(({ address }) => keyOf(address) === key)) return true;
    return this.#nowMs - createdMs < timeoutMs && this.#nowMs - usedMs < timeoutMs;
  }

  #freeSlot(): number | undefined {
    const index = this.slots.indexOf(undefined);
    return index < 0 ? undefined : index;
  }

  #clientAt(from: Endpoint): NetcodeServerClient | undefined {
    return this.connected.find(({ address }) => keyOf(address) === keyOf(from));
  }

  #clientWith(clientId: bigint): NetcodeServerClient | undefined {
    return this.connected.find((client) => client.clientId === clientId);
  }
}

// ---- Sockets -------------------------------------------------------------------------------------------------------

/** What a {@link NetcodeWire} drives. */
export interface NetcodeEnd {
  tick(nowMs: number): void;
  receive(datagram: Bytes, from: Endpoint, nowMs: number): void;
}

/** A real socket and the real clock for one client or server. Bind it, make the end with its `send`, attach the end. */
export class NetcodeWire implements AsyncDisposable {
  readonly endpoint: Endpoint;
  /** What was sent, in order. */
  readonly sent: Bytes[] = [];
  /** What arrived, in order; while `deaf` the end does not get it. */
  readonly arrived: Bytes[] = [];
  deaf = false;
  readonly #socket: Socket;
  readonly #waiting = new Set<() => void>();
  #end: NetcodeEnd | undefined;
  #timer: NodeJS.Timeout | undefined;

  private constructor(socket: Socket) {
    this.#socket = socket;
    const { address, port } = socket.address();
    this.endpoint = { host: address, port };
    socket.on('message', (data, from) => {
      this.arrived.push(data);
      if (!this.deaf) this.#end?.receive(data, { host: from.address, port: from.port }, Date.now());
      this.#check();
    });
  }

  /** On any free port. */
  static async bind(host = '127.0.0.1'): Promise<NetcodeWire> {
    const socket = createSocket(host.includes(':') ? 'udp6' : 'udp4');
    socket.bind(0, host);
    await once(socket, 'listening');
    return new NetcodeWire(socket);
  }

  readonly send: SendDatagram = (datagram, to) => {
    this.sent.push(datagram);
    this.#socket.send(datagram, to.port, to.host);
  };

  /** From now on the end gets what arrives, and the time every 10 ms. */
  attach(end: NetcodeEnd): void {
    this.#end = end;
    this.#timer ??= setInterval(() => {
      this.#end?.tick(Date.now());
      this.#check();
    }, 10);
  }

  /** Waits for something that a datagram or the time brings about. */
  until(condition: () => boolean): Promise<void> {
    return new Promise((resolve) => {
      const check = (): void => {
        if (!condition()) return;
        this.#waiting.delete(check);
        resolve();
      };
      this.#waiting.add(check);
      check();
    });
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearInterval(this.#timer);
    const closed = once(this.#socket, 'close');
    this.#socket.close();
    await closed;
  }

  #check(): void {
    for (const check of this.#waiting) check();
  }
}
