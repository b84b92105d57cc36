// Session servers over a store in memory, and clients that speak frames, all in virtual time.

import type { Clock, Timer } from '../../../src/base/clock.js';
import type { MessageConnection, MessageReceiver } from '../../../src/base/message-connection.js';
import { seededRandom } from '../../../src/base/random.js';
import { TimingWheel } from '../../../src/base/timing-wheel.js';
import type { SessionServerEvents } from '../../../src/sessions/server/events.js';
import type { SessionServerOptions } from '../../../src/sessions/server/options.js';
import type { SessionPeer } from '../../../src/sessions/server/session.js';
import { SessionServer } from '../../../src/sessions/server/session-server.js';
import { ownerKey, prefixRange } from '../../../src/sessions/store/keys.js';
import { MemorySessionStore } from '../../../src/sessions/store/memory-store.js';
import { decodeOwner, type OwnerRecord } from '../../../src/sessions/store/records.js';
import type { WatchListener } from '../../../src/sessions/store/store.js';
import { decodeServerMessage, encodeClientMessage } from '../../../src/sessions/wire/codec.js';
import type { ClientMessage, ServerMessage } from '../../../src/sessions/wire/messages.js';
import { settled, VirtualTime } from '../../interaction/virtual-time.js';
import { FaultyStore } from '../cluster/faulty-store.js';

export const startWallMs = 1_700_000_000_000;
export const leaseTtlMs = 10_000;
export const noBytes: Uint8Array = new Uint8Array(0);

/** A clock of virtual time whose wall can be set, and which can stop calling. */
class WorldClock implements Clock {
  readonly #clock: Clock;
  wallOffsetMs = 0;
  /** Calls that came while it was stopped. */
  #held: (() => void)[] | undefined;

  constructor(clock: Clock) {
    this.#clock = clock;
  }

  now(): number {
    return this.#clock.now();
  }

  wallNow(): number {
    return startWallMs + this.wallOffsetMs + this.#clock.now();
  }

  setTimeout(callback: () => void, delayMs: number): Timer {
    let isOver = false;
    const run = (): void => {
      if (!isOver) callback();
    };
    const timer = this.#clock.setTimeout(() => {
      if (this.#held === undefined) run();
      else this.#held.push(run);
    }, delayMs);
    return {
      clear: () => {
        isOver = true;
        timer.clear();
      },
    };
  }

  stop(): void {
    this.#held ??= [];
  }

  go(): void {
    const held = this.#held ?? [];
    this.#held = undefined;
    for (const run of held) run();
  }
}

export class World {
  readonly time = new VirtualTime();
  readonly clock = new WorldClock(this.time.clock);
  readonly wheel = new TimingWheel(this.clock);
  /** What an onlooker sees. */
  readonly store: MemorySessionStore = new MemorySessionStore({ clock: this.clock, leaseTtlMs });
  #seed = 0;

  get nowMs(): number {
    return this.time.nowMs;
  }

  /** A gateway that serves, or follows. */
  async gateway(name: string, options: Partial<SessionServerOptions> = {}): Promise<Gateway> {
    const gateway = new Gateway(this, name, options, ++this.#seed);
    void gateway.server.start().catch(() => undefined);
    await this.pass(200);
    return gateway;
  }

  /** Lets everything happen that does not wait for time. */
  async settle(): Promise<void> {
    for (let turn = 0; turn < 12; ++turn) await settled();
  }

  async pass(ms: number): Promise<void> {
    await this.settle();
    const untilMs = this.nowMs + ms;
    while (this.time.clock.nextDueMs <= untilMs) {
      this.time.runTo(this.time.clock.nextDueMs);
      await settled();
      await settled();
    }
    this.time.runTo(untilMs);
    await this.settle();
  }

  async keys(prefix: string): Promise<string[]> {
    return (await this.store.read(prefixRange(prefix))).map(({ key }) => key);
  }

  /** Who owns a session, as the store says. */
  async owner(id: string): Promise<OwnerRecord | undefined> {
    const key = ownerKey(id);
    const [entry] = await this.store.read({ from: key, to: `${key}\0` });
    return entry && decodeOwner(entry.value);
  }
}

/** A store whose watches can go silent, though everything else works. */
export class DeafStore extends MemorySessionStore {
  isDeaf = false;

  override watch(prefix: string, listener: WatchListener): Disposable {
    return super.watch(prefix, {
      changed: (changes) => {
        if (!this.isDeaf) listener.changed(changes);
      },
      reset: () => listener.reset(),
    });
  }
}

const eventNames = [
  'sessionCreated',
  'sessionContinued',
  'sessionDisconnected',
  'sessionWarning',
  'sessionEnded',
  'sessionMoved',
  'sessionRejected',
  'clockSkew',
  'serving',
  'leader',
  'listenerError',
] as const;

/** A server with a store of its own, which others see. */
export class Gateway {
  readonly world: World;
  readonly server: SessionServer;
  readonly store: FaultyStore;
  /** What its events told, in their order. */
  readonly told: { readonly event: string; readonly args: readonly unknown[] }[] = [];
  /** By which its lease is kept alive. */
  readonly leaseClock: WorldClock;
  readonly #memory: MemorySessionStore;

  constructor(world: World, name: string, options: Partial<SessionServerOptions>, seed: number) {
    this.world = world;
    this.leaseClock = new WorldClock(world.time.clock);
    this.#memory = new MemorySessionStore({ sharedWith: world.store, clock: this.leaseClock, leaseTtlMs });
    this.store = new FaultyStore(this.#memory);
    this.server = new SessionServer({
      store: this.store,
      gateway: name,
      advertise: `${name}.example:4000`,
      wheel: world.wheel,
      random: seededRandom(seed),
      ...options,
    });
    for (const event of eventNames) {
      this.server.on(event, (...args: unknown[]) => {
        this.told.push({ event, args });
      });
    }
  }

  /** The arguments of each time that an event was told. */
  events(event: keyof SessionServerEvents): (readonly unknown[])[] {
    return this.told.filter((each) => each.event === event).map(({ args }) => args);
  }

  connect(identity = 'device', remoteTimeMs?: () => number | undefined): Peer {
    return new Peer(this, identity, remoteTimeMs);
  }

  /** A connected client with a session. */
  async session(identity = 'device', capabilities?: Record<string, string>): Promise<Peer> {
    const peer = this.connect(identity);
    peer.create(1n, capabilities);
    await this.world.settle();
    if (peer.sessionId === undefined) throw new Error('no session was created');
    return peer;
  }

  /** It does not reach the store any more: its lease runs out. */
  cutOff(): void {
    this.store.fault = 'unreachable';
    this.leaseClock.stop();
  }

  join(): void {
    this.leaseClock.go();
    this.store.fault = 'none';
  }

  /** Its process is gone without a word, and the store has found out. */
  async die(): Promise<void> {
    this.store.fault = 'unreachable';
    await this.#memory.close();
  }
}

/** A client's end of a connection, which says what a test wants. */
export class Peer {
  readonly identity: string;
  readonly received: ServerMessage[] = [];
  /** What came by the unreliable channel. */
  readonly lossy: ServerMessage[] = [];
  /** When each of `received` came. */
  readonly receivedMs: number[] = [];
  /** Why the server has ended the connection. */
  closed: string | undefined;
  /** What happens with each message that comes. */
  reaction: (message: ServerMessage) => void = () => undefined;
  /** What the transport says of the way there and back. */
  roundTripMs = 0;
  readonly #receiver: MessageReceiver;
  readonly #world: World;

  constructor({ server, world }: Gateway, identity: string, remoteTimeMs?: () => number | undefined) {
    this.identity = identity;
    this.#world = world;
    const peer: SessionPeer = remoteTimeMs === undefined ? { identity } : { identity, remoteTimeMs };
    const connection: MessageConnection = {
      detectsLoss: true,
      send: (frame) => this.#came(this.received, frame),
      sendUnreliable: (frame) => this.#came(this.lossy, frame),
      roundTripMs: () => this.roundTripMs,
      close: (reason) => {
        this.closed ??= reason;
        queueMicrotask(() => this.#receiver.closed(undefined));
      },
    };
    this.#receiver = server.accept(connection, peer);
  }

  say(message: ClientMessage): void {
    this.#receiver.message(encodeClientMessage(message));
  }

  raw(frame: Uint8Array): void {
    this.#receiver.message(frame);
  }

  create(nonce = 1n, capabilities: Record<string, string> = { hawser: '1' }): void {
    this.say({ type: 'CreateSession', capabilities: new Map(Object.entries(capabilities)), nonce });
  }

  continue(sessionId: string, nonce = 2n): void {
    this.say({ type: 'ContinueSession', sessionId, nonce });
  }

  /** A KeepAlive, with the right time by default. */
  keepAlive(timestamp: number = Math.floor(this.#world.clock.wallNow()), unreliable = false): void {
    const frame = encodeClientMessage({ type: 'KeepAlive', timestamp });
    if (unreliable) this.#receiver.unreliableMessage?.(frame);
    else this.#receiver.message(frame);
  }

  request(requestId: number, payload: Uint8Array = noBytes, lowestPendingRequestId = requestId): void {
    this.say({ type: 'ClientRequest', requestId, lowestPendingRequestId, payload, createdAt: 7 });
  }

  /** The transport has lost the connection. */
  lose(): void {
    this.#receiver.closed(undefined);
  }

  get last(): ServerMessage | undefined {
    return this.received.at(-1);
  }

  /** Of the last session that was created by it. */
  get sessionId(): string | undefined {
    return this.received.findLast((each) => each.type === 'SessionCreated')?.sessionId;
  }

  /** As `sessionId`, of one that is known to be there. */
  get id(): string {
    if (this.sessionId === undefined) throw new Error('it has no session');
    return this.sessionId;
  }

  get types(): string[] {
    return this.received.map(({ type }) => type);
  }

  #came(to: ServerMessage[], frame: Uint8Array): boolean {
    const message = decodeServerMessage(frame);
    to.push(message);
    if (to === this.received) this.receivedMs.push(this.#world.nowMs);
    this.reaction(message);
    return true;
  }
}

export const rejected = (reason: string, nonce: bigint, leaderId?: string): object => ({
  type: 'SessionRejected',
  reason,
  nonce,
  leaderId,
});

export const closedWith = (reason: string, leaderId?: string): object => ({
  type: 'SessionClosed',
  reason,
  leaderId,
});
