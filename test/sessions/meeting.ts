// A client and the servers of gateways, in virtual time, with nothing between them but a delay: everything is that of the package.

import { HawserError } from '../../src/base/errors.js';
import type { MessageConnection, MessageReceiver } from '../../src/base/message-connection.js';
import type { SessionClientOptions, SessionConnector } from '../../src/sessions/client/options.js';
import { SessionClient } from '../../src/sessions/client/session-client.js';
import type { SessionServerOptions } from '../../src/sessions/server/options.js';
import { decodeClientMessage, decodeServerMessage } from '../../src/sessions/wire/codec.js';
import type { ClientMessage, ServerMessage } from '../../src/sessions/wire/messages.js';
import { type Gateway, World } from './server/world.js';

/** A message that somebody sent, by a connection to the gateway of that name. */
export type Sent = { readonly atMs: number; readonly gateway: string } & (
  | { readonly from: 'client'; readonly message: ClientMessage }
  | { readonly from: 'server'; readonly message: ServerMessage }
);

export class Meeting {
  readonly world = new World();
  readonly gateways: Gateway[] = [];
  /** One way. */
  delayMs = 20;
  /** Every message, when it was sent. */
  readonly sent: Sent[] = [];
  /** Whether what is sent arrives; nobody is told when it does not. */
  arrives: (sent: Sent) => boolean = () => true;
  #connection: Wire | undefined;

  get nowMs(): number {
    return this.world.nowMs;
  }

  async gateway(name: string, options: Partial<SessionServerOptions> = {}): Promise<Gateway> {
    const gateway = await this.world.gateway(name, options);
    this.gateways.push(gateway);
    return gateway;
  }

  client(options: Partial<SessionClientOptions> = {}): SessionClient {
    const { wheel } = this.world;
    return new SessionClient({ connector: this.connector, wheel, random: () => 0, ...options });
  }

  /** A client that has a session. */
  async connected(options: Partial<SessionClientOptions> = {}): Promise<SessionClient> {
    const client = this.client(options);
    const connecting = client.connect();
    await this.world.pass(4 * this.delayMs);
    await connecting;
    return client;
  }

  /** Ends the connection on both sides, as a transport does that has lost it. */
  cut(): void {
    this.#connection?.cut();
  }

  /** The messages of a type, in their order. */
  messages(type: Sent['message']['type']): Sent[] {
    return this.sent.filter(({ message }) => message.type === type);
  }

  /** To the gateway that is named first, or the next one behind that named last. */
  readonly connector: SessionConnector = async (attach, signal, target, connectedTo) => {
    await this.#wait(2 * this.delayMs);
    const address = ({ server }: Gateway): string => `${server.gateway}.example:4000`;
    const last = this.gateways.findIndex((each) => address(each) === target.last);
    const next = this.gateways[(last + 1) % this.gateways.length];
    const gateway = this.gateways.find((each) => address(each) === target.first) ?? next;
    if (gateway === undefined || signal.aborted) throw lostError();
    connectedTo(address(gateway));
    this.#connection = new Wire(this, gateway, attach);
  };

  #wait(ms: number): Promise<void> {
    return new Promise((resolve) => void this.world.clock.setTimeout(resolve, ms));
  }
}

class Wire {
  readonly #meeting: Meeting;
  readonly #gateway: string;
  readonly #client: MessageReceiver;
  readonly #server: MessageReceiver;
  #isOver = false;

  constructor(
    meeting: Meeting,
    { server }: Gateway,
    attach: (connection: MessageConnection) => MessageReceiver,
  ) {
    this.#meeting = meeting;
    this.#gateway = server.gateway;
    const remoteTimeMs = (): number => meeting.nowMs;
    this.#server = server.accept(this.#end('server'), { identity: 'device', remoteTimeMs });
    this.#client = attach(this.#end('client'));
  }

  cut(): void {
    if (this.#isOver) return;
    this.#isOver = true;
    this.#server.closed(lostError());
    this.#client.closed(lostError());
  }

  #end(from: 'client' | 'server'): MessageConnection {
    return {
      detectsLoss: true,
      roundTripMs: () => 2 * this.#meeting.delayMs,
      send: (frame) => this.#send(from, new Uint8Array(frame), false),
      sendUnreliable: (frame) => this.#send(from, new Uint8Array(frame), true),
      close: () => {
        if (this.#isOver) return;
        this.#isOver = true;
        queueMicrotask(() => this.#receiver(from).closed(undefined));
        this.#later(() => this.#receiver(from === 'client' ? 'server' : 'client').closed(undefined));
      },
    };
  }

  #send(from: 'client' | 'server', frame: Uint8Array, unreliable: boolean): boolean {
    const { nowMs: atMs, sent, arrives } = this.#meeting;
    const gateway = this.#gateway;
    const entry: Sent =
      from === 'client'
        ? { atMs, gateway, from, message: decodeClientMessage(frame) }
        : { atMs, gateway, from, message: decodeServerMessage(frame) };
    sent.push(entry);
    if (!arrives(entry)) return true;
    const receiver = this.#receiver(from === 'client' ? 'server' : 'client');
    this.#later(() => {
      if (this.#isOver) return;
      if (unreliable) receiver.unreliableMessage?.(frame);
      else receiver.message(frame);
    });
    return true;
  }

  #receiver(side: 'client' | 'server'): MessageReceiver {
    return side === 'client' ? this.#client : this.#server;
  }

  #later(run: () => void): void {
    this.#meeting.world.clock.setTimeout(run, this.#meeting.delayMs);
  }
}

function lostError(): HawserError {
  return new HawserError('ERR_HAWSER_NOT_CONNECTED', 'the connection is lost');
}
