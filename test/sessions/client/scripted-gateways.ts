// Gateways in virtual time that do what a test says, and otherwise what a server of sessions does; connections to them have a delay, and lose
// what may be lost.

import { HawserError } from '../../../src/base/errors.js';
import type { Farewell, MessageConnection, MessageReceiver } from '../../../src/base/message-connection.js';
import { type Random, seededRandom } from '../../../src/base/random.js';
import type { GatewayTarget, SessionConnector } from '../../../src/sessions/client/options.js';
import { decodeClientMessage, encodeServerMessage } from '../../../src/sessions/wire/codec.js';
import type { ClientMessage, ServerMessage } from '../../../src/sessions/wire/messages.js';
import { VirtualTime } from '../../interaction/virtual-time.js';

export const bytesOf = (text: string): Uint8Array => new TextEncoder().encode(text);
export const textOf = (bytes: Uint8Array): string => new TextDecoder().decode(bytes);

/** What all gateways know of a session. */
export interface ScriptedSession {
  /** Results by request id. */
  readonly results: Map<number, Uint8Array>;
  /** Requests in the order in which they were carried out. */
  readonly executed: string[];
}

/** One end of a connection. */
class End implements MessageConnection {
  readonly detectsLoss = true;
  readonly maxUnreliableBytes = (): number => 1200;
  receiver: MessageReceiver | undefined;
  isOpen = true;
  /** Set by a test: `send` then returns false, or throws. */
  room: 'free' | 'full' | 'refused' = 'free';
  readonly #link: ScriptedLink;
  readonly #far: () => End;

  constructor(link: ScriptedLink, far: () => End) {
    this.#link = link;
    this.#far = far;
  }

  send(message: Uint8Array): boolean {
    this.#checkOpen();
    if (this.room === 'refused') throw new HawserError('ERR_HAWSER_QUEUE_FULL', 'too much waits');
    this.#deliver(message, (receiver, copy) => receiver.message(copy));
    return this.room === 'free';
  }

  sendUnreliable(message: Uint8Array): boolean {
    this.#checkOpen();
    if (this.#link.losesOne()) return true;
    this.#deliver(message, (receiver, copy) => receiver.unreliableMessage?.(copy));
    return true;
  }

  close(): void {
    if (!this.isOpen) return;
    this.end(undefined);
    this.#link.later(() => this.#far().end(undefined));
  }

  end(error: HawserError | undefined): void {
    if (!this.isOpen) return;
    this.isOpen = false;
    this.receiver?.closed(error);
  }

  #checkOpen(): void {
    if (!this.isOpen) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'it is over');
  }

  #deliver(message: Uint8Array, tell: (receiver: MessageReceiver, copy: Uint8Array) => void): void {
    const copy = message.slice();
    const far = this.#far();
    this.#link.later(() => {
      if (far.isOpen && far.receiver !== undefined) tell(far.receiver, copy);
      // Whoever keeps a view beyond the call has nothing.
      copy.fill(0xee);
    });
  }
}

/** A connection of a client to a gateway. */
export class ScriptedLink {
  readonly client: End;
  readonly server: End;
  /** The session that it has. */
  sessionId: string | undefined;
  readonly #cluster: ScriptedCluster;

  constructor(cluster: ScriptedCluster) {
    this.#cluster = cluster;
    this.client = new End(this, () => this.server);
    this.server = new End(this, () => this.client);
  }

  get isOpen(): boolean {
    return this.server.isOpen;
  }

  send(message: ServerMessage, how: 'reliable' | 'unreliable' = 'reliable'): void {
    if (!this.server.isOpen) return;
    if (how === 'reliable') this.server.send(encodeServerMessage(message));
    else this.server.sendUnreliable(encodeServerMessage(message));
  }

  /** What the transport of the client says. */
  tellFarewell(farewell: Farewell): void {
    this.client.receiver?.farewell?.(farewell);
  }

  /** The gateway ends it. */
  close(): void {
    this.server.close();
  }

  /** Both ends hear that it is lost. */
  cut(): void {
    const error = new HawserError('ERR_HAWSER_CONNECTION_LOST', 'it was cut');
    this.client.end(error);
    this.server.end(error);
  }

  losesOne(): boolean {
    return this.#cluster.random() < this.#cluster.lossRate;
  }

  later(run: () => void): void {
    this.#cluster.time.clock.setTimeout(run, this.#cluster.delayMs);
  }
}

/** What came to a gateway. */
export interface Received {
  readonly atMs: number;
  readonly message: ClientMessage;
  readonly how: 'reliable' | 'unreliable';
}

/** One gateway. */
export class ScriptedGateway {
  readonly address: string;
  readonly links: ScriptedLink[] = [];
  readonly received: Received[] = [];
  /** False: nobody can connect. */
  isUp = true;
  /** Does something else with a message than a server would; false leaves it to that. */
  script: ((message: ClientMessage, link: ScriptedLink, how: Received['how']) => boolean) | undefined;
  readonly #cluster: ScriptedCluster;

  constructor(cluster: ScriptedCluster, address: string) {
    this.#cluster = cluster;
    this.address = address;
  }

  /** The connection that was made last. */
  get link(): ScriptedLink {
    const link = this.links.at(-1);
    if (link === undefined) throw new Error(`nobody connected to ${this.address}`);
    return link;
  }

  /** The messages of one type that came, in their order. */
  all<T extends ClientMessage['type']>(type: T): Extract<ClientMessage, { readonly type: T }>[] {
    const isOf = (message: ClientMessage): message is Extract<ClientMessage, { readonly type: T }> =>
      message.type === type;
    return this.received.map(({ message }) => message).filter(isOf);
  }

  /** When messages of one type came. */
  times(type: ClientMessage['type']): number[] {
    return this.received.filter(({ message }) => message.type === type).map(({ atMs }) => atMs);
  }

  accept(link: ScriptedLink): void {
    this.links.push(link);
    const hear = (bytes: Uint8Array, how: Received['how']): void => {
      // A copy, since the view is gone after the call.
      const message = decodeClientMessage(bytes.slice());
      this.received.push({ atMs: this.#cluster.time.nowMs, message, how });
      if (this.script?.(message, link, how)) return;
      this.#cluster.serve(message, link, how);
    };
    link.server.receiver = {
      message: (bytes) => hear(bytes, 'reliable'),
      unreliableMessage: (bytes) => hear(bytes, 'unreliable'),
      drained: () => undefined,
      closed: () => undefined,
    };
  }

  /** It is gone at once, and its connections are lost. */
  kill(): void {
    this.isUp = false;
    for (const link of this.links) link.cut();
  }
}

export interface ClusterOptions {
  readonly addresses?: readonly string[];
  readonly seed?: number;
}

/** Gateways that share their sessions. */
export class ScriptedCluster {
  readonly time: VirtualTime = new VirtualTime();
  readonly gateways: readonly ScriptedGateway[];
  readonly sessions: Map<string, ScriptedSession> = new Map();
  readonly random: Random;
  /** Of every connection, one way. */
  delayMs = 10;
  /** Of what may be lost. */
  lossRate = 0;
  /** How long a gateway that is gone is tried. */
  deadMs = 1000;
  /** What was connected to, and when. */
  readonly attempts: { readonly atMs: number; readonly address: string }[] = [];
  readonly targets: GatewayTarget[] = [];
  #nextSession = 1;

  constructor({ addresses = ['a:1', 'b:1', 'c:1'], seed = 1 }: ClusterOptions = {}) {
    this.random = seededRandom(seed);
    this.gateways = addresses.map((address) => new ScriptedGateway(this, address));
  }

  gateway(address: string): ScriptedGateway {
    const gateway = this.gateways.find((each) => each.address === address);
    if (gateway === undefined) throw new Error(`there is no gateway ${address}`);
    return gateway;
  }

  /** Every connection that is open. */
  get links(): ScriptedLink[] {
    return this.gateways.flatMap(({ links }) => links).filter(({ isOpen }) => isOpen);
  }

  readonly connector: SessionConnector = async (attach, signal, target, connectedTo) => {
    this.targets.push(target);
    for (const gateway of this.#inOrder(target)) {
      await this.time.clock.sleep(gateway.isUp ? this.delayMs * 2 : this.deadMs);
      if (signal.aborted) throw new HawserError('ERR_HAWSER_ABORTED', 'given up');
      if (!gateway.isUp) continue;
      this.attempts.push({ atMs: this.time.nowMs, address: gateway.address });
      const link = new ScriptedLink(this);
      gateway.accept(link);
      connectedTo(gateway.address);
      link.client.receiver = attach(link.client);
      return;
    }
    throw new HawserError('ERR_HAWSER_TIMED_OUT', 'no gateway answers');
  };

  /** From the one behind the last round to that, and the first before all. */
  #inOrder({ first, last }: GatewayTarget): ScriptedGateway[] {
    const behind = 1 + this.gateways.findIndex(({ address }) => address === last);
    const round = [...this.gateways.slice(behind), ...this.gateways.slice(0, behind)];
    return round.toSorted((a, b) => Number(b.address === first) - Number(a.address === first));
  }

  // ---- What a server does --------------------------------------------------------------------------------------------

  serve(message: ClientMessage, link: ScriptedLink, how: Received['how']): void {
    const session = link.sessionId === undefined ? undefined : this.sessions.get(link.sessionId);
    switch (message.type) {
      case 'CreateSession':
        link.sessionId = `session-${this.#nextSession++}`;
        this.sessions.set(link.sessionId, { results: new Map(), executed: [] });
        link.send({ type: 'SessionCreated', sessionId: link.sessionId, nonce: message.nonce });
        return;
      case 'ContinueSession':
        this.#continue(message, link);
        return;
      case 'KeepAlive':
        if (session !== undefined) {
          link.send({ type: 'KeepAliveResponse', timestamp: message.timestamp }, how);
          return;
        }
        link.send({ type: 'SessionClosed', reason: 'SessionError', leaderId: undefined });
        link.close();
        return;
      case 'ClientRequest':
        if (session !== undefined) this.#request(message, session, link);
        return;
      case 'Query': {
        const { correlationId, payload } = message;
        link.send({ type: 'QueryResponse', correlationId, result: bytesOf(`of ${textOf(payload)}`) });
        return;
      }
      case 'CloseSession':
        if (link.sessionId !== undefined) this.sessions.delete(link.sessionId);
        link.sessionId = undefined;
        return;
      default:
    }
  }

  #continue(
    { sessionId, nonce }: Extract<ClientMessage, { readonly type: 'ContinueSession' }>,
    link: ScriptedLink,
  ): void {
    if (!this.sessions.has(sessionId)) {
      link.send({ type: 'SessionRejected', reason: 'SessionExpired', nonce, leaderId: undefined });
      return;
    }
    link.sessionId = sessionId;
    link.send({ type: 'SessionContinued', nonce });
  }

  #request(
    { requestId, payload }: Extract<ClientMessage, { readonly type: 'ClientRequest' }>,
    session: ScriptedSession,
    link: ScriptedLink,
  ): void {
    const text = textOf(payload);
    let result = session.results.get(requestId);
    if (result === undefined) {
      result = bytesOf(`did ${text}`);
      session.executed.push(text);
      session.results.set(requestId, result);
    }
    link.send({ type: 'ClientResponse', requestId, result });
  }
}
