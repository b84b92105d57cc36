// The network between simulated clients and gateways: connections that delay, lose what may be lost, are cut and time out.

import { HawserError } from '../../src/base/errors.js';
import type { MessageConnection, MessageReceiver } from '../../src/base/message-connection.js';
import type { SessionConnector } from '../../src/sessions/client/options.js';
import type { Dice } from '../interaction/simulated-home.js';
import type { Process } from './simulated-process.js';

/** After so long without a word either side of a connection takes the other for gone. */
export const transportTimeoutMs = 5000;
const roundTripMs = 40;
/** The next address is tried after so long without an answer. */
const nextAddressMs = 300;

/** Where a client can connect to. */
export interface Harbour {
  readonly address: string;
  /** Undefined while there is no gateway. */
  readonly process: Process | undefined;
  accept(connection: MessageConnection, client: Process): MessageReceiver;
}

/** What is heard of frames. */
export interface FrameListener {
  /** Handed to a gateway; `handle` is the connection that it has. */
  arrived(gateway: Process, handle: MessageConnection, frame: Uint8Array): void;
  /** By a gateway. */
  sent(gateway: Process, handle: MessageConnection, frame: Uint8Array): void;
}

export interface RoadSettings {
  /** One way, at the most. */
  readonly delayMs: number;
  /** Of unreliable messages. */
  readonly lossRate: number;
  readonly duplicateRate: number;
}

export class Roads {
  settings: RoadSettings;
  readonly #dice: Dice;
  readonly #listener: FrameListener;
  readonly #connections = new Set<Connection>();
  readonly #cuts = new Map<string, number>();

  constructor(dice: Dice, settings: RoadSettings, listener: FrameListener) {
    this.#dice = dice;
    this.settings = settings;
    this.#listener = listener;
  }

  get connections(): readonly Connection[] {
    return Array.from(this.#connections);
  }

  /** Nothing gets from a client to a gateway or back. */
  cut(client: Process, { address, process }: Harbour): void {
    if (process === undefined) return;
    this.#cuts.set(keyOf(client, address), process.now());
    this.examine();
  }

  join(client: Process, { address }: Harbour): void {
    this.#cuts.delete(keyOf(client, address));
    for (const connection of this.connections) connection.flow();
  }

  joinAll(): void {
    this.#cuts.clear();
    for (const connection of this.connections) connection.flow();
  }

  cutSinceMs(client: Process, address: string): number {
    return this.#cuts.get(keyOf(client, address)) ?? Number.POSITIVE_INFINITY;
  }

  /** To be called when a process stops or a road is cut: what stays silent is lost in time. */
  examine(): void {
    for (const connection of this.connections) connection.examineLater();
  }

  /** @param harbours asked anew for each connection. */
  connector(client: Process, harbours: readonly Harbour[]): SessionConnector {
    return async (attach, signal, target, connectedTo) => {
      for (const harbour of this.#inOrder(harbours, target.first, target.last)) {
        await client.sleep(this.#dice.random() * roundTripMs);
        const { process } = harbour;
        const isReachable =
          process?.isRunning === true && !Number.isFinite(this.cutSinceMs(client, harbour.address));
        if (signal.aborted) throw lostError();
        if (isReachable) {
          connectedTo(harbour.address);
          const connection = new Connection(
            this,
            this.#dice,
            this.#listener,
            client,
            process,
            harbour.address,
          );
          this.#connections.add(connection);
          connection.open(harbour, attach);
          return;
        }
        await client.sleep(nextAddressMs);
      }
      throw lostError();
    };
  }

  over(connection: Connection): void {
    this.#connections.delete(connection);
  }

  #inOrder(all: readonly Harbour[], first: string | undefined, last: string | undefined): readonly Harbour[] {
    const rank = ({ address }: Harbour): number =>
      address === first ? -1 : address === last ? 2 : this.#dice.random();
    const ranked = all.map((harbour) => ({ harbour, rank: rank(harbour) }));
    return ranked.sort((one, other) => one.rank - other.rank).map(({ harbour }) => harbour);
  }
}

function keyOf(client: Process, address: string): string {
  return `${client.name} ${address}`;
}

function lostError(): HawserError {
  return new HawserError('ERR_HAWSER_CONNECTION_LOST', 'the simulated connection is lost');
}

/** One of the two sides. */
class End implements MessageConnection {
  readonly process: Process;
  readonly detectsLoss = true;
  readonly #connection: Connection;
  receiver: MessageReceiver | undefined;
  isOver = false;

  constructor(connection: Connection, process: Process) {
    this.#connection = connection;
    this.process = process;
  }

  readonly roundTripMs = (): number => roundTripMs;

  send(frame: Uint8Array): boolean {
    if (this.isOver) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'the connection is over');
    this.#connection.send(this, new Uint8Array(frame), true);
    return true;
  }

  readonly sendUnreliable = (frame: Uint8Array): boolean => {
    if (this.isOver) throw new HawserError('ERR_HAWSER_NOT_CONNECTED', 'the connection is over');
    this.#connection.send(this, new Uint8Array(frame), false);
    return true;
  };

  close(): void {
    if (this.isOver) return;
    this.#connection.leave(this);
    queueMicrotask(() => this.end(undefined));
  }

  end(error: HawserError | undefined): void {
    if (this.isOver) return;
    this.isOver = true;
    this.receiver?.closed(error);
  }
}

export class Connection {
  readonly #roads: Roads;
  readonly #dice: Dice;
  readonly #listener: FrameListener;
  readonly #address: string;
  readonly #client: End;
  readonly #gateway: End;
  /** What waits for the road, in its order; and when the last of each direction arrives. */
  readonly #waiting: (() => void)[] = [];
  readonly #lastMs = new Map<End, number>();

  constructor(
    roads: Roads,
    dice: Dice,
    listener: FrameListener,
    client: Process,
    gateway: Process,
    address: string,
  ) {
    this.#roads = roads;
    this.#dice = dice;
    this.#listener = listener;
    this.#address = address;
    this.#client = new End(this, client);
    this.#gateway = new End(this, gateway);
  }

  open(harbour: Harbour, attach: (connection: MessageConnection) => MessageReceiver): void {
    this.#gateway.receiver = harbour.accept(this.#gateway, this.#client.process);
    this.#client.receiver = attach(this.#client);
  }

  send(from: End, frame: Uint8Array, isReliable: boolean): void {
    const { lossRate, duplicateRate } = this.#roads.settings;
    if (from === this.#gateway) this.#listener.sent(from.process, from, frame);
    if (isReliable) {
      this.#inOrder(from, () => this.#deliver(from, frame, true));
      return;
    }
    const times = this.#dice.chance(lossRate) ? 0 : this.#dice.chance(duplicateRate) ? 2 : 1;
    for (let time = 0; time < times && !this.#isCut; ++time) {
      this.#plan(() => this.#deliver(from, frame, false), this.#delayMs());
    }
  }

  /** One side ends it: behind what it has sent. */
  leave(from: End): void {
    this.#inOrder(from, () => {
      const to = this.#other(from);
      to.process.receive(() => to.end(undefined));
      this.#roads.over(this);
    });
    this.examineLater();
  }

  /** Both sides find out, each at its time. */
  lose(withinMs: number): void {
    for (const end of [this.#client, this.#gateway]) {
      this.#plan(() => end.process.receive(() => end.end(lostError())), this.#dice.random() * withinMs);
    }
    this.#roads.over(this);
  }

  /** The road is there again. */
  flow(): void {
    if (!this.#isCut) for (const call of this.#waiting.splice(0)) call();
  }

  examineLater(): void {
    this.#plan(() => {
      const silentMs = this.#client.process.now() - this.#brokenSinceMs;
      if (silentMs >= transportTimeoutMs) this.lose(1);
    }, transportTimeoutMs);
  }

  get #brokenSinceMs(): number {
    const { process: client } = this.#client;
    const { process: gateway } = this.#gateway;
    return Math.min(
      client.stoppedSinceMs,
      gateway.stoppedSinceMs,
      this.#roads.cutSinceMs(client, this.#address),
    );
  }

  get #isCut(): boolean {
    return Number.isFinite(this.#roads.cutSinceMs(this.#client.process, this.#address));
  }

  #delayMs(): number {
    return this.#dice.random() * this.#roads.settings.delayMs;
  }

  #other(end: End): End {
    return end === this.#client ? this.#gateway : this.#client;
  }

  #inOrder(from: End, call: () => void): void {
    const go = (): void => {
      const nowMs = from.process.now();
      const atMs = Math.max(nowMs + this.#delayMs(), this.#lastMs.get(from) ?? 0);
      this.#lastMs.set(from, atMs);
      this.#plan(call, atMs - nowMs);
    };
    if (this.#isCut) this.#waiting.push(go);
    else go();
  }

  #deliver(from: End, frame: Uint8Array, isReliable: boolean): void {
    const to = this.#other(from);
    to.process.receive(() => {
      if (to.isOver || to.receiver === undefined) return;
      if (to === this.#gateway) this.#listener.arrived(to.process, to, frame);
      if (isReliable) to.receiver.message(frame);
      else to.receiver.unreliableMessage?.(frame);
    });
  }

  /** Whatever becomes of the processes. */
  #plan(call: () => void, delayMs: number): void {
    this.#client.process.clock.setTimeout(call, delayMs);
  }
}
