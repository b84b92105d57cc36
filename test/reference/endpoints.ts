// The two ends of the handshake (docs/protocol.md section 7), driven by hand: no clock, no timers, no sockets of their own.
// A test hands in each datagram with its source, and calls resend() where the page says 10 Hz.

import { isIPv4 } from 'node:net';
import { type Bytes, concat, equal, Refused, require, toHex } from './bytes.js';
import {
  type Attempt,
  blake2b,
  type ChannelDeclaration,
  type ClearPart,
  type CookieInputs,
  channelsDigest,
  decodeRequest,
  decodeReset,
  decodeResponse,
  decodeToken,
  defaultChannels,
  deniedReason,
  encodeAddress,
  encodeRequest,
  encodeReset,
  feature,
  handshakeKeys,
  type KeyPair,
  keyPair,
  kind,
  type Limits,
  makeCookie,
  openAccept,
  openChallenge,
  openDenied,
  openPrivate,
  openResponse,
  type PrivatePart,
  type PublicPart,
  type ReferenceAddress,
  type Response,
  type ResponseBody,
  random,
  resetToken,
  sealAccept,
  sealChallenge,
  sealDenied,
  sealResponse,
  sessionPrk,
  tokenId,
  transcript,
  x25519,
} from './hawser1.js';
import { ReferenceSession } from './session.js';

/** As node:dgram knows it: `host` is an IPv4 or IPv6 address without brackets. */
export interface Endpoint {
  readonly host: string;
  readonly port: number;
}

export type SendDatagram = (datagram: Uint8Array, to: Endpoint) => void;

export function toEndpoint({ ip, port }: ReferenceAddress): Endpoint {
  if (ip.length === 4) return { host: ip.join('.'), port };
  return { host: (toHex(ip).match(/.{4}/g) ?? []).join(':'), port };
}

export function fromEndpoint({ host, port }: Endpoint): ReferenceAddress {
  if (isIPv4(host)) return { ip: Uint8Array.from(host.split('.'), Number), port };
  const [head = '', tail = ''] = host.split('::');
  const groups = (text: string): string[] => (text === '' ? [] : text.split(':'));
  const zeros = new Array<string>(8 - groups(head).length - groups(tail).length).fill('0');
  const all = [...groups(head), ...(host.includes('::') ? zeros : []), ...groups(tail)];
  return {
    ip: Uint8Array.from(
      all.flatMap((group) => [Number.parseInt(group, 16) >> 8, Number.parseInt(group, 16) & 255]),
    ),
    port,
  };
}

function sameEndpoint(a: Endpoint, b: Endpoint): boolean {
  return equal(encodeAddress(fromEndpoint(a)), encodeAddress(fromEndpoint(b)));
}

/** What both ends may be told of features and channels. */
export interface ChannelOptions {
  /** The bits that a client offers, or of which a server accepts what is offered; none by default. */
  readonly features?: number;
  /** {@link defaultChannels} by default. Others need `features` with the bit of channels. */
  readonly channels?: readonly ChannelDeclaration[];
  readonly limits?: Limits;
}

const defaultLimits: Limits = { maxDatagram: 1200, credit: 1_048_576, channelCredit: 262_144 };

const monotonicMicros = (): bigint => process.hrtime.bigint() / 1000n;

// ---- Client --------------------------------------------------------------------------------------------------------

export type ClientState =
  | 'DISCONNECTED'
  | 'REQUESTING'
  | 'RESPONDING'
  | 'CONFIRMING'
  | 'CONNECTED'
  | 'DISCONNECTING';

export interface ReferenceClientOptions extends ChannelOptions {
  readonly token: Bytes;
  readonly sendDatagram: SendDatagram;
  /** 4 to 16; 8 by default. */
  readonly idLength?: number;
  readonly nowMicros?: () => bigint;
}

export class ReferenceClient {
  state: ClientState = 'DISCONNECTED';
  /** Why each datagram that was not taken was refused. */
  readonly drops: string[] = [];
  /** The reasons of the addresses that denied. */
  readonly denied: number[] = [];
  /** Set when a valid RESET ended the connection. */
  wasReset = false;
  session: ReferenceSession | undefined;
  server: Endpoint | undefined;
  /** The handshake datagrams of this attempt, for tests that replay or compare them. */
  request: Bytes = new Uint8Array(0);
  response: Bytes = new Uint8Array(0);

  readonly token: PublicPart;
  readonly #options: ReferenceClientOptions;
  readonly #tokenBytes: Bytes;
  readonly #addresses: Endpoint[];
  #asked = 0;
  #pair: KeyPair = keyPair();
  #attempt: Attempt = { tokenId: new Uint8Array(32), clientShare: new Uint8Array(32) };
  #challenge: Bytes = new Uint8Array(0);
  #serverShare: Bytes = new Uint8Array(0);
  #ownId: Bytes = new Uint8Array(0);

  /** @throws Refused when the token cannot be decoded. */
  constructor(options: ReferenceClientOptions) {
    this.#options = options;
    this.#tokenBytes = options.token;
    this.token = decodeToken(options.token);
    this.#addresses = this.token.addresses.map(toEndpoint);
  }

  /** Begins an attempt: a new share, and REQUEST to the first `addresses` of the token. */
  start(addresses = 1): void {
    this.#pair = keyPair();
    this.#attempt = { tokenId: tokenId(this.token.sealed), clientShare: this.#pair.share };
    this.#ownId = random(this.#options.idLength ?? 8);
    this.#asked = addresses;
    this.request = encodeRequest(this.#tokenBytes, this.#pair.share);
    this.state = 'REQUESTING';
    this.resend();
  }

  /** What the client sends at 10 Hz in its state; in CONNECTED, the frames that were not acknowledged. */
  resend(): void {
    switch (this.state) {
      case 'DISCONNECTED':
        return;
      case 'REQUESTING':
        for (const address of this.#addresses.slice(0, this.#asked))
          this.#options.sendDatagram(this.request, address);
        return;
      case 'RESPONDING':
        this.#toServer(this.response);
        return;
      case 'CONFIRMING':
        this.session?.queuePing();
        this.session?.flush();
        return;
      case 'CONNECTED':
      case 'DISCONNECTING':
        this.session?.resend();
        return;
    }
  }

  /** The next address of the token joins (after 300 ms without CHALLENGE). */
  joinNextAddress(): void {
    this.#asked = Math.min(this.#asked + 1, this.#addresses.length);
    this.resend();
  }

  sendMessage(data: Bytes, channel = 0): void {
    if (this.session === undefined) throw new Error(`a message in state ${this.state}`);
    this.session.queueMessage(data, channel);
    this.session.flush();
  }

  disconnect(code = 0, reason = '', reconnectSpread = 0): void {
    if (this.session === undefined) throw new Error(`a disconnect in state ${this.state}`);
    this.session.disconnect(code, reason, reconnectSpread);
    this.state = 'DISCONNECTING';
  }

  receive(datagram: Bytes, from: Endpoint): void {
    try {
      this.#receive(Uint8Array.from(datagram), from);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.drops.push(error.message);
    }
  }

  #receive(datagram: Bytes, from: Endpoint): void {
    const keys = handshakeKeys(this.token);
    switch (datagram[0]) {
      case kind.challenge: {
        require(this.state === 'REQUESTING', 'unexpected');
        require(this.#wasAsked(from), 'unexpected');
        const challenge = openChallenge(keys.challenge, this.#attempt, datagram);
        this.#challenge = concat(challenge.cookie, challenge.serverShare);
        this.#serverShare = challenge.serverShare;
        this.response = sealResponse(keys.response, this.request, challenge.cookie, {
          features: this.#options.features ?? 0,
          connectionId: this.#ownId,
          ...this.#limits,
          channels: channelsDigest(this.#channels),
        });
        this.server = from;
        this.state = 'RESPONDING';
        this.resend();
        return;
      }
      case kind.accept:
        require(this.state === 'RESPONDING' && this.#isServer(from), 'unexpected');
        this.#accepted(keys.accept, datagram);
        return;
      case kind.denied:
        require(this.#isHeard(from), 'unexpected');
        this.#deniedBy(from, openDenied(keys.denied, this.#attempt, datagram));
        return;
      case kind.reset:
        require(this.session !== undefined && this.#isServer(from), 'unexpected');
        this.#reset(this.session, datagram);
        return;
      default:
        require(this.session !== undefined && this.#isServer(from), 'unexpected');
        this.#sessionPacket(this.session, datagram);
        return;
    }
  }

  #accepted(acceptKey: Bytes, datagram: Bytes): void {
    const body = openAccept(acceptKey, this.response, datagram);
    require((body.features & ~(this.#options.features ?? 0)) === 0, 'features that were not offered');
    const sameChannels =
      (body.features & feature.channels) !== 0 ||
      equal(channelsDigest(this.#channels), channelsDigest(defaultChannels));
    require(sameChannels, 'a server without the channels that were declared');
    const { c2s, s2c } = this.token;
    const prk = sessionPrk({
      c2s,
      s2c,
      shared: x25519(this.#pair.secret, this.#serverShare),
      acceptRandom: body.random,
      th: transcript(this.response, this.#challenge, datagram),
    });
    this.session = new ReferenceSession({
      role: 'client',
      prk,
      ownId: this.#ownId,
      peerId: body.connectionId,
      peerResetToken: body.resetToken,
      resetTokenOf: () => new Uint8Array(16),
      send: (packet) => this.#toServer(packet),
      nowMicros: this.#options.nowMicros ?? monotonicMicros,
      features: body.features,
      channels: this.#channels,
      ownLimits: this.#limits,
      peerLimits: body,
    });
    this.state = 'CONFIRMING';
    this.resend();
  }

  #deniedBy(from: Endpoint, reason: number): void {
    this.denied.push(reason);
    const struck = this.#addresses.findIndex((address) => sameEndpoint(address, from));
    this.#addresses.splice(struck, 1);
    if (this.#addresses.length === 0) {
      this.state = 'DISCONNECTED';
    } else if (this.state === 'RESPONDING') {
      // The attempt is spent; the next one begins behind the address that was struck out.
      this.#addresses.push(...this.#addresses.splice(0, struck));
      this.start();
    } else {
      this.#asked = Math.min(Math.max(this.#asked - 1, 1), this.#addresses.length);
      this.resend();
    }
  }

  #reset(session: ReferenceSession, datagram: Bytes): void {
    const { connectionId, token } = decodeReset(datagram);
    const known = [...session.peerIds.values()].find(({ id }) => equal(id, connectionId));
    require(known?.resetToken !== undefined && equal(known.resetToken, token), 'a RESET with another token');
    this.wasReset = true;
    this.state = 'DISCONNECTED';
  }

  #sessionPacket(session: ReferenceSession, datagram: Bytes): void {
    if (!session.receive(datagram)) return;
    if (this.state === 'CONFIRMING') {
      this.state = 'CONNECTED';
      session.queueSpareIds();
    }
    session.flush();
    if (
      session.ended?.by === 'peer' ||
      (this.state === 'DISCONNECTING' && session.unacknowledgedFrames.length === 0)
    ) {
      this.state = 'DISCONNECTED';
    }
  }

  get #channels(): readonly ChannelDeclaration[] {
    return this.#options.channels ?? defaultChannels;
  }

  get #limits(): Limits {
    return this.#options.limits ?? defaultLimits;
  }

  #wasAsked(from: Endpoint): boolean {
    return this.#addresses.slice(0, this.#asked).some((address) => sameEndpoint(address, from));
  }

  /** Whether a DENIED from there counts: of those asked before the CHALLENGE, of the server alone after it. */
  #isHeard(from: Endpoint): boolean {
    if (this.state === 'REQUESTING') return this.#wasAsked(from);
    return this.state === 'RESPONDING' && this.#isServer(from);
  }

  #isServer(from: Endpoint): boolean {
    return this.server !== undefined && sameEndpoint(this.server, from);
  }

  #toServer(datagram: Uint8Array): void {
    if (this.server === undefined) throw new Error('no server yet');
    this.#options.sendDatagram(datagram, this.server);
  }
}

// ---- Server --------------------------------------------------------------------------------------------------------

export interface ReferenceServerOptions extends ChannelOptions {
  readonly protocolId: bigint;
  readonly keys: ReadonlyMap<number, Bytes>;
  /** The addresses under which clients reach this server. */
  readonly addresses: readonly Endpoint[];
  readonly sendDatagram: SendDatagram;
  /** 4 to 16; 8 by default. */
  readonly idLength?: number;
  readonly maxPeers?: number;
  /** Unix milliseconds; `Date.now` by default. */
  readonly nowMs?: () => number;
  readonly nowMicros?: () => bigint;
  readonly resetKey?: Bytes;
}

interface HalfOpen {
  readonly responseHash: Bytes;
  readonly accept: Bytes;
  readonly peer: ReferencePeer;
}

export interface ReferencePeer {
  readonly clientId: bigint;
  readonly userData: Bytes;
  readonly address: Endpoint;
  readonly session: ReferenceSession;
  confirmed: boolean;
}

/** One record of cookie key and share for the whole life of the server: enough for a test of seconds. */
export class ReferenceServer {
  readonly peers: ReferencePeer[] = [];
  readonly drops: string[] = [];
  /** Echoes each message when set. */
  echo = false;
  maxPeers: number;

  readonly #options: ReferenceServerOptions;
  readonly #cookieKey: Bytes = random(32);
  readonly #pair: KeyPair = keyPair();
  readonly #resetKey: Bytes;
  readonly #consumedCookies = new Map<string, HalfOpen>();
  readonly #consumedTokens = new Set<string>();
  /** The token that a peer consumes when it is confirmed. */
  readonly #singleUse = new Map<ReferencePeer, string>();

  constructor(options: ReferenceServerOptions) {
    this.#options = options;
    this.maxPeers = options.maxPeers ?? Number.POSITIVE_INFINITY;
    this.#resetKey = options.resetKey ?? random(32);
  }

  receive(datagram: Bytes, from: Endpoint): void {
    try {
      this.#receive(Uint8Array.from(datagram), from);
    } catch (error) {
      if (!(error instanceof Refused)) throw error;
      this.drops.push(error.message);
    }
  }

  #receive(datagram: Bytes, from: Endpoint): void {
    const first = datagram[0] ?? 0;
    if (first === kind.request) {
      this.#onRequest(datagram, from);
      return;
    }
    if (first === kind.response) {
      this.#onResponse(datagram, from);
      return;
    }
    require((first & 0b1111_0011) === kind.session, first >> 5 === 0b101 ? 'reflected' : 'unknownType');
    this.#onSessionPacket(datagram, from);
  }

  #openToken(clear: ClearPart, sealed: Bytes): PrivatePart {
    const now = BigInt((this.#options.nowMs ?? Date.now)());
    require(clear.protocolId === this.#options.protocolId, 'protocol');
    require(clear.expireTime > now, 'tokenExpired');
    require(clear.createTime <= now, 'tokenFuture');
    const key = this.#options.keys.get(clear.keyId);
    require(key !== undefined, 'unknownKey');
    const token = openPrivate(key, clear, sealed);
    const advertised = (address: ReferenceAddress): boolean =>
      this.#options.addresses.some((own) => equal(encodeAddress(fromEndpoint(own)), encodeAddress(address)));
    require(token.addresses.some(advertised), 'wrongAddress');
    return token;
  }

  #onRequest(datagram: Bytes, from: Endpoint): void {
    const request = decodeRequest(datagram);
    const keys = handshakeKeys(this.#openToken(request, request.sealed));
    const attempt = { tokenId: tokenId(request.sealed), clientShare: request.clientShare };
    const reason = this.#denial(request, attempt.tokenId);
    if (reason === undefined) {
      const time = Number((this.#nowMicros() / 1000n) & 0xffff_ffffn);
      const challenge = { cookie: this.#cookie(request, from, time), serverShare: this.#pair.share };
      this.#options.sendDatagram(sealChallenge(keys.challenge, attempt, challenge), from);
    } else {
      this.#options.sendDatagram(sealDenied(keys.denied, attempt, reason), from);
    }
  }

  #denial(clear: ClearPart, id: Bytes): number | undefined {
    if ((clear.flags & 1) !== 0 && this.#consumedTokens.has(toHex(id))) return deniedReason.TOKEN_USED;
    const connected = this.peers.filter((peer) => peer.session.ended === undefined).length;
    return connected >= this.maxPeers ? deniedReason.SERVER_FULL : undefined;
  }

  #cookie(
    { sealed, clientShare }: Pick<CookieInputs, 'sealed' | 'clientShare'>,
    from: Endpoint,
    time: number,
  ): Bytes {
    const address = fromEndpoint(from);
    return makeCookie(this.#cookieKey, {
      sealed,
      clientShare,
      time,
      keyIndex: 0,
      address,
      serverShare: this.#pair.share,
    });
  }

  #onResponse(datagram: Bytes, from: Endpoint): void {
    const response = decodeResponse(datagram);
    const attempt = { tokenId: tokenId(response.sealed), clientShare: response.clientShare };
    const time = new DataView(response.cookie.slice().buffer).getUint32(0, true);
    require(equal(response.cookie, this.#cookie(response, from, time)), 'cookieInvalid');
    const responseHash = blake2b(256, new Uint8Array(0), datagram);
    const consumed = this.#consumedCookies.get(toHex(response.cookie));
    if (consumed !== undefined) {
      const again = equal(consumed.responseHash, responseHash) && !consumed.peer.confirmed;
      require(again, 'cookieConsumed');
      this.#options.sendDatagram(consumed.accept, from);
      return;
    }
    const token = this.#openToken(response, response.sealed);
    const body = openResponse(handshakeKeys(token).response, datagram);
    const mismatch = this.#declaresSame(body) ? undefined : deniedReason.CHANNELS_MISMATCH;
    const reason = mismatch ?? this.#denial(response, attempt.tokenId);
    if (reason !== undefined) {
      this.#options.sendDatagram(sealDenied(handshakeKeys(token).denied, attempt, reason), from);
      return;
    }
    const { accept, peer } = this.#accept(datagram, response, body, token, from);
    this.peers.push(peer);
    this.#consumedCookies.set(toHex(response.cookie), { responseHash, accept, peer });
    if ((response.flags & 1) !== 0) this.#singleUse.set(peer, toHex(attempt.tokenId));
    this.#options.sendDatagram(accept, from);
  }

  /** A client without the feature has the default channels, whatever its digest. */
  #declaresSame({ features, channels }: ResponseBody): boolean {
    const declared = (features & feature.channels) === 0 ? channelsDigest(defaultChannels) : channels;
    return equal(declared, channelsDigest(this.#options.channels ?? defaultChannels));
  }

  #accept(
    datagram: Bytes,
    response: Response,
    offer: ResponseBody,
    token: PrivatePart,
    from: Endpoint,
  ): { accept: Bytes; peer: ReferencePeer } {
    const keys = handshakeKeys(token);
    const features = offer.features & (this.#options.features ?? 0);
    const limits = this.#options.limits ?? defaultLimits;
    const ownId = random(this.#options.idLength ?? 8);
    const acceptRandom = random(32);
    const resetTokenOf = (id: Bytes): Bytes => resetToken(this.#resetKey, id);
    const accept = sealAccept(keys.accept, datagram, {
      features,
      connectionId: ownId,
      random: acceptRandom,
      resetToken: resetTokenOf(ownId),
      ...limits,
    });
    const prk = sessionPrk({
      c2s: token.c2s,
      s2c: token.s2c,
      shared: x25519(this.#pair.secret, response.clientShare),
      acceptRandom,
      th: transcript(datagram, concat(response.cookie, this.#pair.share), accept),
    });
    const session = new ReferenceSession({
      role: 'server',
      prk,
      ownId,
      peerId: offer.connectionId,
      resetTokenOf,
      send: (packet) => this.#options.sendDatagram(packet, from),
      nowMicros: () => this.#nowMicros(),
      features,
      channels: this.#options.channels ?? defaultChannels,
      ownLimits: limits,
      peerLimits: offer,
    });
    const { clientId, userData } = token;
    return { accept, peer: { clientId, userData, address: from, session, confirmed: false } };
  }

  #nowMicros(): bigint {
    return (this.#options.nowMicros ?? monotonicMicros)();
  }

  #onSessionPacket(datagram: Bytes, from: Endpoint): void {
    const peer = this.peers.find(({ session }) => session.owns(datagram));
    if (peer === undefined) {
      this.drops.push('unknownConnection');
      this.#answerUnknown(datagram, from);
      return;
    }
    const before = peer.session.delivered.length;
    if (!peer.session.receive(datagram)) return;
    if (!peer.confirmed) {
      peer.confirmed = true;
      const used = this.#singleUse.get(peer);
      if (used !== undefined) this.#consumedTokens.add(used);
      peer.session.queuePing();
      peer.session.queueSpareIds();
    }
    if (this.echo) {
      for (const { data, channel } of peer.session.delivered.slice(before))
        peer.session.queueMessage(data, channel);
    }
    peer.session.flush();
  }

  #answerUnknown(datagram: Bytes, from: Endpoint): void {
    const connectionId = datagram.slice(1, 1 + (this.#options.idLength ?? 8));
    const reset = encodeReset(connectionId, resetToken(this.#resetKey, connectionId));
    if (datagram.length >= 30 && reset.length < datagram.length) this.#options.sendDatagram(reset, from);
  }
}
