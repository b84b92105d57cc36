// A path between real sockets: loses datagrams, lets later ones overtake them, and gives a client another address.

import { createSocket, type RemoteInfo, type Socket } from 'node:dgram';
import { once } from 'node:events';
import { parseAddress } from '../../src/base/address.js';

/** What happens to datagrams of 1,000 bytes or more, in each direction. Shorter ones pass at once, so that transfers alone are hard. */
export interface PathOptions {
  /** One of so many is lost. */
  readonly loseOneIn: number;
  /** One of so many is held back. */
  readonly holdBackOneIn: number;
  readonly holdBackMs: number;
}

/** Counts of one direction, and what an outage has seen of it. */
interface Direction {
  datagrams: number;
  lost: number;
  heldBack: number;
  lastAt: number;
  hasPaused: boolean;
}

const newDirection = (): Direction => ({
  datagrams: 0,
  lost: 0,
  heldBack: 0,
  lastAt: Number.POSITIVE_INFINITY,
  hasPaused: false,
});

const longDatagram = 1000;
/** Between two probes that wait so long, the probe timeout was doubled several times. */
const backoffMs = 200;

async function bound(): Promise<Socket> {
  const socket = createSocket('udp4');
  socket.bind(0, '127.0.0.1');
  await once(socket, 'listening');
  return socket;
}

/** Stands between one client and its gateway, as a NAT does. */
export class Relay {
  readonly up: Direction = newDirection();
  readonly down: Direction = newDirection();
  readonly #options: PathOptions;
  /** Faces the client. */
  readonly #inner: Socket;
  /** Faces the gateway: its address is the client's for the gateway. */
  #outer: Socket;
  #client: RemoteInfo | undefined;
  #gatewayPort = 0;
  #endOutage: (() => void) | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor(options: PathOptions, inner: Socket, outer: Socket) {
    this.#options = options;
    this.#inner = inner;
    this.#outer = outer;
    inner.on('message', (data, client) => {
      this.#client = client;
      this.#pass(this.up, data, () => this.#outer.send(data, this.#gatewayPort, '127.0.0.1'));
    });
    this.#listenOutside();
  }

  static async open(options: PathOptions): Promise<Relay> {
    return new Relay(options, await bound(), await bound());
  }

  /** Where the client reaches the gateway. */
  get address(): string {
    return `127.0.0.1:${this.#inner.address().port}`;
  }

  set gateway(address: string) {
    this.#gatewayPort = parseAddress(address).port;
  }

  /** Gives the client another port, and loses what comes to the old one. */
  async changeAddress(): Promise<void> {
    const before = this.#outer;
    this.#outer = await bound();
    this.#listenOutside();
    before.close();
  }

  /** Loses everything until both sides, which have to send all the time, wait long for their next probe. */
  outage(): Promise<void> {
    for (const direction of [this.up, this.down]) {
      direction.hasPaused = false;
      direction.lastAt = Number.POSITIVE_INFINITY;
    }
    return new Promise((resolve) => {
      this.#endOutage = resolve;
    });
  }

  close(): void {
    for (const timer of this.#timers) clearTimeout(timer);
    this.#inner.close();
    this.#outer.close();
  }

  #listenOutside(): void {
    this.#outer.on('message', (data) => {
      this.#pass(this.down, data, () => this.#inner.send(data, this.#client?.port, this.#client?.address));
    });
  }

  #lose(direction: Direction): void {
    const now = performance.now();
    direction.hasPaused ||= now - direction.lastAt >= backoffMs;
    direction.lastAt = now;
    if (!this.up.hasPaused || !this.down.hasPaused) return;
    this.#endOutage?.();
    this.#endOutage = undefined;
  }

  #pass(direction: Direction, data: Buffer, send: () => void): void {
    if (this.#endOutage) {
      this.#lose(direction);
      return;
    }
    if (data.length < longDatagram) {
      send();
      return;
    }
    const count = ++direction.datagrams;
    if (count % this.#options.loseOneIn === 0) {
      ++direction.lost;
    } else if (count % this.#options.holdBackOneIn === 0) {
      ++direction.heldBack;
      const timer = setTimeout(() => {
        this.#timers.delete(timer);
        send();
      }, this.#options.holdBackMs);
      this.#timers.add(timer);
    } else {
      send();
    }
  }
}
