// A path between real sockets: loses datagrams, lets later ones overtake them, and gives a client another address.

import { parseAddress } from '../../src/base/address.js';
import { Nat } from './nat.js';

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

/** Stands between one client and its gateway. */
export class Relay {
  readonly up: Direction = newDirection();
  readonly down: Direction = newDirection();
  readonly #options: PathOptions;
  readonly #nat: Nat;
  #endOutage: (() => void) | undefined;
  readonly #timers = new Set<NodeJS.Timeout>();

  private constructor(options: PathOptions, nat: Nat) {
    this.#options = options;
    this.#nat = nat;
    nat.onDatagram = (direction, datagram, send) => this.#pass(this[direction], datagram, send);
  }

  static async open(options: PathOptions): Promise<Relay> {
    return new Relay(options, await Nat.open());
  }

  /** Where the client reaches the gateway. */
  get address(): string {
    return this.#nat.address;
  }

  set gateway(address: string) {
    this.#nat.gatewayPort = parseAddress(address).port;
  }

  /** Gives the client another port, and loses what comes to the old one. */
  changeAddress(): Promise<void> {
    return this.#nat.rebind();
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
    this.#nat.close();
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
