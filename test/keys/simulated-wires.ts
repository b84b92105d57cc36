// Networks between simulated SAEs: one that loses, copies and reorders, and one that delivers as long as its connection lasts.

import type { Message } from '../../src/keys/wire/messages.js';
import type { Dice } from '../interaction/simulated-home.js';
import type { SaeTime } from './agent/sae-time.js';
import type { Oracle } from './simulated-oracle.js';
import type { SimulatedSae } from './simulated-sae.js';

export interface WireFaults {
  loss: number;
  duplication: number;
  /** How likely a message takes its time, up to `detourMs`. */
  detours: number;
  delayMs: number;
  detourMs: number;
}

/** Before the payload of HAWSER's envelope, whose length is in the two bytes before it. */
const headBytes = 42;

/** Copies that somebody on the path has kept. */
const mostKept = 200;

/** Between two SAEs. */
export class SimulatedWire {
  readonly a: SimulatedSae;
  readonly b: SimulatedSae;
  readonly delivers: boolean;
  readonly faults: WireFaults;
  isCut = false;
  readonly #time: SaeTime;
  readonly #dice: Dice;
  readonly #oracle: Oracle;
  readonly #kept: { readonly from: SimulatedSae; readonly bytes: Uint8Array }[] = [];
  /** Of the connection, where there is one: what is under way by an older one is lost. */
  #connection = 0;
  #isConnected = false;
  #arrivesAtMs = 0;

  constructor(
    [a, b]: readonly [SimulatedSae, SimulatedSae],
    { time, dice, oracle }: { time: SaeTime; dice: Dice; oracle: Oracle },
    delivers: boolean,
    faults: WireFaults,
  ) {
    this.a = a;
    this.b = b;
    this.#time = time;
    this.#dice = dice;
    this.#oracle = oracle;
    this.delivers = delivers;
    this.faults = faults;
  }

  other(sae: SimulatedSae): SimulatedSae {
    return sae === this.a ? this.b : this.a;
  }

  has(sae: SimulatedSae): boolean {
    return sae === this.a || sae === this.b;
  }

  /** A process has come up. */
  linked(sae: SimulatedSae): void {
    if (!this.delivers) this.#link(sae, 0);
    else this.connect();
  }

  /** Both ends have a new connection, if both are there. */
  connect(): void {
    const { a, b } = this;
    if (!this.delivers || this.isCut || this.#isConnected || a.sae === undefined || b.sae === undefined)
      return;
    const connection = ++this.#connection;
    this.#isConnected = true;
    this.#arrivesAtMs = 0;
    this.#link(a, connection);
    // The first message may kill one of them.
    if (this.#isConnected) this.#link(b, connection);
  }

  /** The connection is lost: by a crash, a cut, or by itself. */
  disconnect(): void {
    if (!this.#isConnected) return;
    this.#isConnected = false;
    ++this.#connection;
    this.a.unlink(this.b.id);
    this.b.unlink(this.a.id);
  }

  cut(): void {
    this.isCut = true;
    this.disconnect();
  }

  join(): void {
    this.isCut = false;
    this.connect();
  }

  /** Somebody on the path sends what was sent before, as it was, changed, or back to where it came from. */
  attack(): void {
    if (this.#kept.length === 0) return;
    const { from, bytes } = this.#dice.pick(this.#kept);
    const forged = Uint8Array.from(bytes);
    const how = this.#dice.pick(['replayed', 'reflected', 'damaged', 'cut'] as const);
    if (how === 'damaged') {
      const at = this.#dice.between(0, forged.length - 1);
      forged[at] = (forged[at] ?? 0) ^ (1 << this.#dice.between(0, 7));
    }
    const to = how === 'reflected' ? from : this.other(from);
    to.receive(this.other(to).id, how === 'cut' ? forged.subarray(0, forged.length >> 1) : forged);
  }

  #link(sae: SimulatedSae, connection: number): void {
    sae.link(this.other(sae).id, {
      delivers: this.delivers,
      send: (bytes) => this.#send(sae, Uint8Array.from(bytes), connection),
    });
  }

  #send(from: SimulatedSae, bytes: Uint8Array, connection: number): boolean {
    if (from.isDown) return false;
    const to = this.other(from);
    this.#oracle.sent(from.id, to.id, messageOf(bytes), from.disk);
    if (this.#kept.push({ from, bytes }) > mostKept) this.#kept.shift();
    from.mayCrash();
    if (this.delivers) return this.#deliver(from, bytes, connection);
    const dice = this.#dice;
    const copies = dice.chance(this.faults.loss) ? 0 : dice.chance(this.faults.duplication) ? 2 : 1;
    for (let count = 0; count < copies; ++count) {
      this.#time.clock.setTimeout(() => {
        if (!this.isCut) to.receive(from.id, bytes);
      }, this.#delayMs());
    }
    return true;
  }

  #deliver(from: SimulatedSae, bytes: Uint8Array, connection: number): boolean {
    if (connection !== this.#connection || !this.#isConnected) return false;
    const atMs = Math.max(this.#arrivesAtMs, this.#time.nowMs + this.#delayMs());
    this.#arrivesAtMs = atMs;
    this.#time.clock.setTimeout(() => {
      if (connection === this.#connection) this.other(from).receive(from.id, bytes);
    }, atMs - this.#time.nowMs);
    return true;
  }

  #delayMs(): number {
    const { delayMs, detours, detourMs } = this.faults;
    return this.#dice.magnitude(1, this.#dice.chance(detours) ? detourMs : delayMs);
  }
}

/** What is in an envelope, without a look at the rest of it. */
function messageOf(bytes: Uint8Array): Message {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint16(headBytes - 2, true);
  return JSON.parse(new TextDecoder().decode(bytes.subarray(headBytes, headBytes + length)));
}
