// Two SAEs in virtual time: the protocol core of each with an obedient driver, a store, a device and a network of lists.

import { type Random, seededRandom } from '../../../src/base/random.js';
import { PeerSessions } from '../../../src/keys/protocol/peer-sessions.js';
import type { Session } from '../../../src/keys/protocol/session.js';
import type {
  ClockDifference,
  Operation,
  OperationResult,
  ProtocolEvent,
  ProtocolSettings,
} from '../../../src/keys/protocol/steps.js';
import type { KeyRecord, PeerRecord, StoreChange } from '../../../src/keys/store/store.js';
import type { Message, Unstamped } from '../../../src/keys/wire/messages.js';

export const startMs = 1_800_000_000_000;

export const defaults = {
  role: 'both',
  wire: 'hawser',
  graceMs: 10_000,
  maxRounds: 3,
  clockToleranceMs: 10_000,
  lateMs: 1000,
  sessionTimeoutMs: 300_000,
  cleanupTimeoutMs: 1_800_000,
  deviceTimeoutMs: 30_000,
  maxDeviceFailures: 3,
  maxDeleteRounds: 3,
  retransmitMs: 500,
  maxRetransmitMs: 10_000,
  errorsPerSecond: 10,
} as const satisfies Omit<ProtocolSettings, 'saeId' | 'peerSaeId'>;

/** A message without what a copy adds. */
export function unstampedOf({ timestamp: _, ...message }: Message): Unstamped {
  return message as Unstamped;
}

export interface Sent {
  readonly from: Side;
  readonly to: Side;
  readonly message: Message;
  readonly atMs: number;
}

type Fails = 'before' | 'after' | 'late' | undefined;

export class World {
  nowMs = startMs;
  readonly random: Random;
  /** Everything that was sent, lost or not. */
  readonly sent: Sent[] = [];
  /** When each copy of a message arrives, in milliseconds from now; none for a lost one. */
  deliver: (sent: Sent) => readonly number[] = () => [10];
  /** Whether a call to the outside fails, and how. */
  fails: (side: Side, operation: Operation) => Fails = () => undefined;
  /** How long it takes. */
  takesMs: (side: Side, operation: Operation) => number = () => 1;
  /** Whether a change is kept; a driver that crashes throws. */
  keeps: (side: Side, change: StoreChange) => boolean = () => true;
  /** When the first packet under another key arrives; undefined where no device can see packets. */
  packetMs: () => number | undefined = () => undefined;
  /** Looked at after whatever happens. */
  check: () => void = () => undefined;
  /** Ids of keys that the KME still has for the slave of the pair. */
  readonly pool: Set<string> = new Set();
  #ids = 0;
  #keys = 0;
  #turn = 0;
  #planned: { readonly atMs: number; readonly turn: number; readonly run: () => void }[] = [];

  constructor(seed = 1) {
    this.random = seededRandom(seed);
  }

  newId(): string {
    return `00000000-0000-4000-8000-${(++this.#ids).toString(16).padStart(12, '0')}`;
  }

  newKeyId(): string {
    return `key-${++this.#keys}`;
  }

  plan(delayMs: number, run: () => void): void {
    this.#planned.push({ atMs: this.nowMs + Math.max(0, delayMs), turn: ++this.#turn, run });
  }

  /** Runs what is planned for the next `durationMs`. */
  run(durationMs: number): void {
    const untilMs = this.nowMs + durationMs;
    let still = 0;
    for (let atMs = this.nowMs; ; ) {
      // Timers that are due and bring nothing would be run for ever.
      still = atMs === this.nowMs ? still + 1 : 0;
      atMs = this.nowMs;
      if (still > 10_000) throw new Error('time stands still');

      let first = this.#planned[0];
      for (const planned of this.#planned) {
        if (first === undefined || planned.atMs < first.atMs) first = planned;
        else if (planned.atMs === first.atMs && planned.turn < first.turn) first = planned;
      }
      if (first === undefined || first.atMs > untilMs) break;
      const gone = first;
      this.#planned = this.#planned.filter((planned) => planned !== gone);
      this.nowMs = Math.max(this.nowMs, gone.atMs);
      gone.run();
      this.check();
    }
    this.nowMs = untilMs;
  }

  types(): string[] {
    return this.sent.map(({ from, message }) => `${from.id} ${message.message_type}`);
  }
}

/** Thrown out of a driver's step: the process is gone. */
export class Crash extends Error {}

/** One SAE: what survives a crash, and what does not. */
export class Side {
  readonly settings: ProtocolSettings;
  readonly keys: Map<string, KeyRecord> = new Map();
  readonly kept: Map<string, Session> = new Map();
  peerRecord: PeerRecord | undefined;
  readonly live: Set<string> = new Set();
  current: string | null = null;
  /** What its clock is ahead. */
  offsetMs = 0;
  clock: ClockDifference | undefined | 'measured' = 'measured';
  readonly events: ProtocolEvent[] = [];
  readonly operations: Operation[] = [];
  readonly deletedKeyIds: string[] = [];
  keyLifetimeMs: number | null = null;
  keysPerRotation = 1;
  isUp = true;
  sessions: PeerSessions;
  crashAt: 'commit' | 'send' | 'operation' | undefined;
  readonly world: World;
  #life = 0;
  #dueAtMs = Number.POSITIVE_INFINITY;
  #peer: Side | undefined;

  constructor(world: World, saeId: string, peerSaeId: string, settings: Partial<ProtocolSettings> = {}) {
    this.world = world;
    this.settings = { ...defaults, saeId, peerSaeId, ...settings };
    this.sessions = this.#open();
  }

  get id(): string {
    return this.settings.saeId;
  }

  get peer(): Side {
    if (this.#peer === undefined) throw new Error('a side without a peer');
    return this.#peer;
  }

  set peer(peer: Side) {
    this.#peer = peer;
  }

  get nowMs(): number {
    return this.world.nowMs + this.offsetMs;
  }

  get active(): Session | undefined {
    return this.sessions.active;
  }

  get last(): Session {
    const last = [...this.kept.values()].at(-1);
    if (last === undefined) throw new Error(`${this.id} has no session`);
    return last;
  }

  outcomes(): (string | null)[] {
    return [...this.kept.values()].map((session) => session.outcome);
  }

  states(): string[] {
    return this.events.flatMap((event) => (event.type === 'transition' ? [event.session.state] : []));
  }

  rejections(): string[] {
    return this.events.flatMap((event) =>
      event.type === 'rejected' ? [`${event.messageType} ${event.code}`] : [],
    );
  }

  status(keyId: string): string | undefined {
    return this.keys.get(keyId)?.status;
  }

  begin(leadMs = 30_000): void {
    this.sessions.push({ type: 'begin', leadMs });
    this.pump();
  }

  receive(message: Message): void {
    if (!this.isUp) return;
    const offsetMs = this.peer.offsetMs - this.offsetMs;
    const clock = this.clock === 'measured' ? { offsetMs, uncertaintyMs: 5 } : this.clock;
    this.sessions.push({ type: 'message', message, clock });
    this.pump();
  }

  revoke(keyId: string): void {
    this.sessions.push({ type: 'revoke', keyId });
    this.pump();
  }

  peerUses(keyId: string): void {
    this.sessions.push({ type: 'peerUses', keyId });
    this.pump();
  }

  /** The process ends at once; what it was doing at the device goes on or not. */
  crash(): void {
    ++this.#life;
    this.isUp = false;
    this.crashAt = undefined;
  }

  /** As the agent does it: all live keys are configured again, and the one in production is used. */
  restart(): void {
    this.isUp = true;
    ++this.#life;
    this.sessions = this.#open();
    for (const keyId of this.sessions.liveKeyIds) this.live.add(keyId);
    const production = [...this.keys.values()].find((key) => key.status === 'in_production');
    this.#use(production?.keyId ?? null);
    this.pump();
  }

  /** Carries out all steps that there are. */
  pump(): void {
    if (!this.isUp) return;
    try {
      this.#pump();
    } catch (error) {
      if (!(error instanceof Crash)) throw error;
      this.crash();
    }
  }

  #open(): PeerSessions {
    this.#dueAtMs = Number.POSITIVE_INFINITY;
    return new PeerSessions(
      this.settings,
      { keys: () => [...this.keys.values()], key: (keyId) => this.keys.get(keyId) },
      { sessions: [...this.kept.values()], peer: this.peerRecord },
      this.world.random,
      () => this.world.newId(),
    );
  }

  #pump(): void {
    for (let step = this.sessions.next(this.nowMs); step; step = this.sessions.next(this.nowMs)) {
      if (step.change !== undefined) {
        this.#dieAt('commit');
        if (!this.world.keeps(this, step.change)) {
          this.sessions.failed(this.nowMs);
          break;
        }
        this.#keep(step.change);
      }
      this.#dieAt('send');
      for (const message of step.send) this.#send(message);
      this.events.push(...step.events);
      this.world.check();
      if (step.operation !== undefined) this.#run(step.operation);
    }
    this.#planDue();
  }

  #dieAt(place: 'commit' | 'send' | 'operation'): void {
    if (this.crashAt === place) throw new Crash();
  }

  #planDue(): void {
    const { dueMs } = this.sessions;
    if (dueMs === Number.POSITIVE_INFINITY) return;
    const atMs = Math.ceil(dueMs - this.offsetMs);
    if (atMs >= this.#dueAtMs) return;
    this.#dueAtMs = atMs;
    const life = this.#life;
    this.world.plan(atMs - this.world.nowMs, () => {
      if (life !== this.#life || this.#dueAtMs !== atMs) return;
      this.#dueAtMs = Number.POSITIVE_INFINITY;
      this.sessions.push({ type: 'due' });
      this.pump();
    });
  }

  #keep(change: StoreChange): void {
    for (const record of change.update ?? []) this.keys.set(record.keyId, record);
    for (const keyId of change.remove ?? []) this.keys.delete(keyId);
    if (change.session !== undefined) this.kept.set(change.session.sessionId, change.session);
    if (change.endSession !== undefined) this.kept.delete(change.endSession);
    this.peerRecord = change.peer;
  }

  #send(unstamped: Unstamped): void {
    const timestamp = Math.floor(this.nowMs / 1000);
    const isOriginal = this.settings.wire === 'sae-json' && 'original_message_id' in unstamped;
    // The original's envelope always names the notification.
    const named = isOriginal ? { original_message_id: unstamped.session_id } : {};
    const message = { ...unstamped, ...named, timestamp } as Message;
    const sent = { from: this, to: this.peer, message, atMs: this.world.nowMs };
    this.world.sent.push(sent);
    for (const delayMs of this.world.deliver(sent))
      this.world.plan(delayMs, () => this.peer.receive(message));
  }

  #run(operation: Operation): void {
    this.operations.push(operation);
    const fails = this.world.fails(this, operation);
    const life = this.#life;
    let tookMs = this.world.takesMs(this, operation);
    const untilMs = 'untilMs' in operation ? operation.untilMs - this.nowMs : Number.POSITIVE_INFINITY;
    const isLate = fails === 'late' || tookMs > untilMs;
    if (isLate) tookMs = Math.max(0, Math.min(untilMs, 60_000));
    this.world.plan(tookMs, () => {
      const isGone = life !== this.#life;
      if (isGone && this.world.random() < 0.5) return;
      const result = this.#result(operation, fails, isLate);
      this.world.check();
      if (isGone) return;
      this.sessions.done(result);
      if (this.crashAt === 'operation') this.crash();
      this.pump();
    });
  }

  #result(operation: Operation, fails: Fails, isLate: boolean): OperationResult {
    const isKeys = operation.type === 'requestKeys' || operation.type === 'fetchKeys';
    const failure = {
      ok: false,
      code: isKeys ? 'kme_unavailable' : 'device_failure',
      reason: 'as told',
      timedOut: isLate,
    } as const;
    if (fails === 'before' || (isLate && fails !== 'after')) return failure;
    const result = this.#act(operation);
    return fails === 'after' ? failure : result;
  }

  #act(operation: Operation): OperationResult {
    switch (operation.type) {
      case 'requestKeys':
        return { ok: true, keyIds: this.#request() };
      case 'fetchKeys':
        return this.#fetch(operation.keyIds);
      case 'preConfigure':
        this.live.add(operation.keyId);
        return { ok: true };
      case 'rotate':
        if (operation.keyId !== null && !this.live.has(operation.keyId))
          throw new Error(`${this.id} rotates to ${operation.keyId}, which is not live`);
        this.#use(operation.keyId);
        return { ok: true };
      case 'deleteKeys':
        for (const keyId of operation.keyIds) {
          if (keyId === this.current) throw new Error(`${this.id} deletes ${keyId}, which it uses`);
          this.live.delete(keyId);
          this.deletedKeyIds.push(keyId);
        }
        return { ok: true };
      case 'deviceStatus':
        return { ok: true, service: 'operational' };
    }
  }

  #use(keyId: string | null): void {
    this.current = keyId;
    const delayMs = this.world.packetMs();
    if (keyId === null || delayMs === undefined) return;
    this.world.plan(delayMs, () => {
      if (this.peer.isUp && this.current === keyId) this.peer.peerUses(keyId);
    });
  }

  #request(): readonly string[] {
    const available = [...this.keys.values()].filter((key) => key.status === 'available');
    const keyIds = available.slice(0, this.keysPerRotation).map((key) => key.keyId);
    while (keyIds.length < this.keysPerRotation) {
      const keyId = this.world.newKeyId();
      this.world.pool.add(keyId);
      this.#store(keyId);
      keyIds.push(keyId);
    }
    return keyIds;
  }

  #fetch(keyIds: readonly string[]): OperationResult {
    const lacking = keyIds.filter((keyId) => !this.keys.has(keyId) && !this.world.pool.has(keyId));
    if (lacking.length > 0)
      return { ok: false, code: 'key_unavailable', reason: 'gone', timedOut: false, keyIds: lacking };
    for (const keyId of keyIds) {
      this.world.pool.delete(keyId);
      if (!this.keys.has(keyId)) this.#store(keyId);
    }
    return { ok: true, keyIds };
  }

  #store(keyId: string): void {
    this.keys.set(keyId, {
      keyId,
      peerSaeId: this.settings.peerSaeId,
      status: 'available',
      sizeBits: 256,
      receivedAtMs: this.nowMs,
      expiresAtMs: this.keyLifetimeMs === null ? null : this.nowMs + this.keyLifetimeMs,
      sessionId: null,
      inProductionAtMs: null,
      rolledAtMs: null,
    });
  }
}

/** A master and its slave, `A` and `B`; with `both` either may begin. */
export function pair(
  world: World,
  settings: Partial<ProtocolSettings> = {},
  both = false,
): { readonly master: Side; readonly slave: Side } {
  const master = new Side(world, 'A', 'B', { role: both ? 'both' : 'master', ...settings });
  const slave = new Side(world, 'B', 'A', { role: both ? 'both' : 'slave', ...settings });
  master.peer = slave;
  slave.peer = master;
  return { master, slave };
}

/** What is promised of the two devices: whichever differs from it throws. */
export function checkPromise(master: Side, slave: Side): void {
  for (const [sender, receiver] of [
    [master, slave],
    [slave, master],
  ] as const)
    if (sender.current !== null && !receiver.live.has(sender.current))
      throw new Error(`${sender.id} sends under ${sender.current}, which ${receiver.id} does not have live`);
  if (master.current === slave.current) return;
  const isAllowed = [master, slave].some((side) =>
    [...side.kept.values()].some((session) => {
      const [rotatesFirst, then] = session.role === 'slave' ? [side, side.peer] : [side.peer, side];
      return rotatesFirst.current === session.newKeyId && then.current === session.oldKeyId;
    }),
  );
  if (!isAllowed) throw new Error(`(${master.current}, ${slave.current}) is none of the states that may be`);
}

/** Any message of the peer about the last session of `side`, as good as true. */
export function forged(side: Side, type: Message['message_type'], fields: object = {}): Message {
  const { sessionId, notificationId, role } = side.last;
  const [master, slave] = role === 'master' ? [side.id, side.peer.id] : [side.peer.id, side.id];
  return {
    message_type: type,
    message_id: side.world.newId(),
    timestamp: Math.floor(side.nowMs / 1000),
    session_id: sessionId,
    master_sae_id: master,
    slave_sae_id: slave,
    original_message_id: notificationId,
    ...fields,
  } as Message;
}

/** The codes of the errors that a side sent. */
export function errorsOf(side: Side): string[] {
  return side.world.sent.flatMap(({ from, message }) =>
    from === side && message.message_type === 'error' ? [message.error_code] : [],
  );
}
