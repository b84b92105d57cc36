// One peer of an SAE: carries out the steps of its sessions, strictly one after the other, across awaits too.

import { randomUUID } from 'node:crypto';
import { Backoff } from '../../base/backoff.js';
import type { Random } from '../../base/random.js';
import { type TimingWheel, WheelTimer } from '../../base/timing-wheel.js';
import type { SaeLink } from '../links/link.js';
import { PeerSessions } from '../protocol/peer-sessions.js';
import type { Session } from '../protocol/session.js';
import type { Operation, ProtocolEvent, Step } from '../protocol/steps.js';
import type { KeyStore, StoreChange } from '../store/store.js';
import type { Envelope, Opened, Refused } from '../wire/envelope.js';
import { ClockDifferenceEstimate } from './clock-difference.js';
import { DeviceCalls } from './device-calls.js';
import { restoreDevice } from './device-restore.js';
import { DropCounter } from './drop-counter.js';
import type { RotationResult, SaeEvents, SaeFailure } from './events.js';
import { KeyExpiry } from './key-expiry.js';
import { KeyRequests } from './key-requests.js';
import { Operations } from './operations.js';
import { PeerClock } from './peer-clock.js';
import { PeerInbox } from './peer-inbox.js';
import { type LinkEnd, PeerLinks } from './peer-links.js';
import type { PeerSettings } from './peer-options.js';
import { PeerOutbox } from './peer-outbox.js';
import { describePeer } from './peer-report.js';
import { RotationCalls } from './rotation-calls.js';
import { RotationSchedule } from './rotation-schedule.js';
import { SessionReport } from './session-report.js';
import type { PeerStatus } from './status.js';
import type { StepTurns } from './step-turns.js';

/** What all peers of an SAE share. */
export interface DriverHost {
  readonly store: KeyStore;
  readonly wheel: TimingWheel;
  readonly random: Random;
  readonly turns: StepTurns;
  /** Calls the listeners of an event; what they throw is not the driver's. */
  readonly tell: <E extends keyof SaeEvents>(event: E, ...args: SaeEvents[E]) => void;
}

/** Between attempts to set up a device. */
const restoreRetry = { initialMs: 1000, maxMs: 60_000 } as const;

export class PeerDriver {
  readonly settings: PeerSettings;
  readonly #host: DriverHost;
  readonly #clock: PeerClock;
  readonly #estimate = new ClockDifferenceEstimate();
  readonly #drops = new DropCounter();
  readonly #sessions: PeerSessions;
  readonly #links: PeerLinks;
  readonly #inbox: PeerInbox;
  readonly #outbox: PeerOutbox;
  readonly #device: DeviceCalls;
  readonly #requests: KeyRequests;
  readonly #operations: Operations;
  readonly #expiry: KeyExpiry;
  readonly #schedule: RotationSchedule | undefined;
  readonly #calls = new RotationCalls();
  readonly #report: SessionReport;
  readonly #timer: WheelTimer;
  readonly #restoreBackoff: Backoff;
  /** Whether a pass over the steps is under way, and whether something came since its last look. */
  #running = false;
  #again = false;
  /** Whether the protocol waits for an operation. */
  #operating = false;
  #ready = false;
  /** Whether a rotation is under way that the schedule began. */
  #begunByItself = false;
  #closed = false;
  /** What is under way of the store; `close` waits for it. */
  #pass: Promise<void> = Promise.resolve();

  constructor(settings: PeerSettings, envelope: Envelope, host: DriverHost) {
    const { store, wheel, random } = host;
    const { peerSaeId, intervalMs } = settings;
    this.settings = settings;
    this.#host = host;
    this.#clock = new PeerClock(wheel.clock);
    const peer = store.peer(peerSaeId);
    this.#sessions = new PeerSessions(
      settings,
      { keys: () => store.keys(peerSaeId), key: (keyId) => store.key(peerSaeId, keyId) },
      { sessions: store.sessions(peerSaeId), peer },
      random,
      randomUUID,
    );
    this.#links = new PeerLinks(() => this.#linked());
    this.#outbox = new PeerOutbox({
      peerSaeId,
      envelope,
      links: this.#links,
      clock: this.#clock,
      estimate: this.#estimate,
      incarnation: store.incarnation,
    });
    this.#inbox = new PeerInbox({
      settings,
      envelope,
      clock: this.#clock,
      estimate: this.#estimate,
      drops: this.#drops,
      monotonicMs: () => wheel.clock.now(),
      receivedSequence: peer?.receivedSequence ?? 0n,
      active: () => this.#sessions.active,
      push: (message, clock) => {
        const taken = this.#sessions.push({ type: 'message', message, clock });
        this.#wake();
        return taken;
      },
      answer: (error) => this.#outbox.send(error),
      rejected: (rejection) => this.#report.rejected(rejection),
    });
    const device = { saeId: settings.saeId, peerSaeId, persona: settings.persona, store, wheel };
    this.#device = new DeviceCalls({ ...device, clock: this.#clock });
    const failed = (source: SaeFailure['source'], error: unknown): void => this.#failed(source, error);
    this.#requests = new KeyRequests({ settings, store, wheel, clock: this.#clock, random, failed });
    this.#operations = new Operations(this.#requests, this.#device, (error) => failed('device', error));
    this.#expiry = new KeyExpiry({
      settings,
      store,
      device: this.#device,
      clock: this.#clock,
      keyExpired: (keyId) => host.tell('keyExpired', { peerSaeId, keyId }),
      failedClosed: () => host.tell('failedClosed', { peerSaeId }),
      failed,
    });
    this.#report = new SessionReport(settings, host, this.#calls);
    this.#timer = new WheelTimer(() => this.#due());
    this.#restoreBackoff = new Backoff(restoreRetry, random);
    this.#schedule =
      intervalMs === undefined
        ? undefined
        : new RotationSchedule(intervalMs, wheel, random, () => this.#beginByItself());
  }

  /** Sets the device up, and goes on with what the store has. Resolves after the first attempt. */
  open(): Promise<void> {
    this.#pass = this.#restore();
    return this.#pass;
  }

  /** @throws (rejects) ERR_HAWSER_ROTATION, ERR_HAWSER_ABORTED, ERR_HAWSER_CLOSED. */
  rotate(leadMs: number, signal: AbortSignal | undefined): Promise<RotationResult> {
    return this.#calls.add(() => {
      if (this.#sessions.active === undefined) this.#estimate.reset();
      this.#sessions.push({ type: 'begin', leadMs });
      this.#wake();
    }, signal);
  }

  revoke(keyId: string): void {
    this.#sessions.push({ type: 'revoke', keyId });
    this.#wake();
  }

  /** Its device has seen the first packet of the peer under a key. */
  peerUses(keyId: string): void {
    if (this.#closed) return;
    this.#sessions.push({ type: 'peerUses', keyId });
    this.#wake();
  }

  /** From now on messages go by this link. */
  link(link: SaeLink): LinkEnd {
    this.#links.add(link);
    return {
      receive: (bytes) => {
        if (!this.#closed) this.#inbox.receive(bytes);
      },
      close: () => this.#links.remove(link),
    };
  }

  /** There is room on a link that did not take everything: what waits for an answer is sent again. */
  linkDrained(link: SaeLink): void {
    if (this.#links.current === link) this.#linked();
  }

  /** A datagram has come that is signed by the peer. */
  receiveOpened(opened: Opened): void {
    if (!this.#closed) this.#inbox.receiveOpened(opened);
  }

  /** A datagram has come that is refused, though it is signed by the peer. */
  receiveRefused(refused: Refused): void {
    if (!this.#closed) this.#inbox.refuse(refused);
  }

  get status(): PeerStatus {
    const { store } = this.#host;
    const nowMs = this.#clock.nowMs();
    const delayMs = this.#schedule?.delayMs;
    return describePeer(this.settings, store, this.#sessions.active, {
      linked: this.#links.current !== undefined,
      ready: this.#ready,
      failedClosed: this.#expiry.isClosed,
      nextBeginAtMs: delayMs === undefined ? null : Math.round(nowMs + delayMs),
      clock: this.#estimate.current(nowMs),
      sent: this.#outbox.sent,
      received: this.#inbox.received,
      unsent: this.#outbox.unsent,
      dropped: this.#drops.counts,
      ...this.#report.counts,
    });
  }

  /** Ends after the step that is under way; what waits for a device or a KME is given up. Keys stay in the store as they are. */
  async close(): Promise<void> {
    if (!this.#closed) {
      this.#closed = true;
      this.#host.wheel.cancel(this.#timer);
      this.#schedule?.close();
      this.#links.clear();
      this.#calls.close();
      this.#requests.close();
    }
    await this.#device.close();
    await this.#pass;
  }

  // ---- The device at the beginning ---------------------------------------------------------------------------------

  async #restore(): Promise<void> {
    const { store } = this.#host;
    const failed = (error: unknown): void => this.#failed('device', error);
    const parts = { settings: this.settings, store, device: this.#device, clock: this.#clock, failed };
    const done = await restoreDevice(parts, this.#sessions.active, this.#sessions.liveKeyIds);
    if (this.#closed) return;
    if (!done) return this.#arm(this.#clock.nowMs() + this.#restoreBackoff.next());
    this.#ready = true;
    this.#startSchedule();
    await this.#run();
  }

  #startSchedule(): void {
    const sinceMs = this.#report.productionSinceMs;
    this.#schedule?.start(sinceMs === undefined ? undefined : this.#clock.nowMs() - sinceMs);
  }

  // ---- Steps -------------------------------------------------------------------------------------------------------

  #due(): void {
    if (!this.#ready) {
      this.#pass = this.#restore();
      return;
    }
    this.#sessions.push({ type: 'due' });
    this.#wake();
  }

  #linked(): void {
    if (this.#closed) return;
    this.#sessions.delivers = this.#links.current?.delivers ?? false;
    this.#sessions.push({ type: 'linked' });
    this.#wake();
  }

  #beginByItself(): void {
    this.#begunByItself = true;
    const end = (): void => {
      this.#begunByItself = false;
      // What was not begun because another session is under way, is planned anew with the end of that one.
      if (!this.#closed && this.#sessions.active === undefined) this.#planAfterFailure();
    };
    this.rotate(this.settings.leadMs, undefined).then(() => {
      this.#begunByItself = false;
    }, end);
  }

  /** A rotation that somebody else asked for, and that failed, changes nothing of the plan. */
  #planAfterFailure(): void {
    if (!this.#begunByItself && this.#schedule?.delayMs === undefined) this.#schedule?.failed();
  }

  #wake(): void {
    this.#again = true;
    if (!this.#running && this.#ready && !this.#closed) this.#pass = this.#run();
  }

  /** One pass: all steps that there are, until the protocol waits for something. */
  async #run(): Promise<void> {
    this.#running = true;
    for (let goesOn = true; goesOn && !this.#closed; ) {
      const turn = this.#host.turns.begin();
      if (turn !== undefined) await turn;
      this.#again = false;
      const stepped = !this.#closed && (await this.#step());
      goesOn = stepped || this.#again;
    }
    this.#running = false;
    if (!this.#closed && !this.#operating) this.#arm(Math.min(this.#sessions.dueMs, this.#expiry.dueMs));
  }

  /** @returns whether there may be another. */
  async #step(): Promise<boolean> {
    if (this.#operating) return false;
    if (this.#sessions.active === undefined && this.#clock.anchor()) this.#estimate.reset();
    const nowMs = this.#clock.nowMs();
    const step = this.#sessions.next(nowMs);
    if (step !== undefined) return this.#carryOut(step);
    if (this.#expiry.dueMs > nowMs) return false;
    await this.#expiry.check();
    return true;
  }

  /** First it is kept, then it is said. @returns whether it was kept. */
  async #carryOut({ change, send, events, operation }: Step): Promise<boolean> {
    if (change !== undefined) {
      try {
        await this.#host.store.commit(this.#withSequence(change));
      } catch (error) {
        this.#sessions.failed(this.#clock.nowMs());
        if (!this.#closed) this.#failed('store', error);
        return false;
      }
      if (this.#closed) return false;
    }
    for (const message of send) this.#outbox.send(message);
    for (const event of events) this.#tellOf(event);
    if (operation !== undefined) this.#operate(operation);
    return true;
  }

  /** What was taken by now, is not to be taken again after a restart. */
  #withSequence(change: StoreChange): StoreChange {
    const { peerSaeId } = this.settings;
    const peer = change.peer ??
      this.#host.store.peer(peerSaeId) ?? { peerSaeId, epoch: 0, receivedSequence: 0n, notifiedAt: 0 };
    return { ...change, peer: { ...peer, receivedSequence: this.#inbox.receivedSequence } };
  }

  #operate(operation: Operation): void {
    this.#operating = true;
    const active = this.#sessions.active;
    const role = active?.role ?? (this.settings.role === 'slave' ? 'slave' : 'master');
    void this.#operations.run(operation, { role, sessionId: active?.sessionId }).then((result) => {
      if (this.#closed) return;
      this.#operating = false;
      if (operation.type === 'rotate' && result.ok) this.#expiry.opened();
      this.#sessions.done(result);
      this.#wake();
    });
  }

  #arm(atMs: number): void {
    const { wheel } = this.#host;
    if (atMs === Number.POSITIVE_INFINITY) wheel.cancel(this.#timer);
    else wheel.schedule(this.#timer, this.#clock.monotonicOf(Math.max(atMs, this.#clock.nowMs())));
  }

  // ---- What is told ------------------------------------------------------------------------------------------------

  #tellOf(event: ProtocolEvent): void {
    if (event.type === 'rejected') this.#drops.count(event.code);
    if (event.type === 'ended') this.#sessionEnded(event.session);
    this.#report.tellOf(event);
  }

  #sessionEnded({ outcome }: Session): void {
    const rotated = outcome !== 'aborted' && outcome !== 'rolled_back';
    if (rotated) this.#schedule?.succeeded();
    else this.#planAfterFailure();
  }

  #failed(source: SaeFailure['source'], error: unknown): void {
    if (!this.#closed) this.#host.tell('failure', { peerSaeId: this.settings.peerSaeId, source, error });
  }
}
