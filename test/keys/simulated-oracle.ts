// What must hold between the ends of each pair, whatever happens: judged from devices, disks and the wire, never from what an SAE says of itself.

import type { Session } from '../../src/keys/protocol/session.js';
import type { KeyRecord, KeyStore, StoreChange } from '../../src/keys/store/store.js';
import type { Message } from '../../src/keys/wire/messages.js';

/** A device as it is, which goes on while its SAE is gone. */
export class Device {
  readonly live: Set<string> = new Set();
  current: string | null = null;
  /** Whether it takes part in traffic: not while it has forgotten its keys, or was closed for want of one. */
  isUp = true;
  /** Whether traffic was stopped on purpose. */
  isClosed = false;
  /** What it sent under when it last did. */
  last: string | null = null;
}

interface Agreement {
  readonly master: string;
  readonly oldKeyId: string | null;
}

export class Oracle {
  readonly problems: string[] = [];
  /** How often each of these was seen: so that a simulation in which nothing happens is noticed. */
  readonly seen = { rotations: 0, splits: 0, deletions: 0, rollBacks: 0, aborts: 0 };
  readonly #nowMs: () => number;
  readonly #devices = new Map<string, Device>();
  /** Of each key that was selected: the last session that is to rotate to it. */
  readonly #agreements = new Map<string, Agreement>();
  readonly #ended = new Set<string>();

  constructor(nowMs: () => number) {
    this.#nowMs = nowMs;
  }

  problem(text: string): void {
    this.problems.push(`${Math.round(this.#nowMs())} ms: ${text}`);
  }

  device(saeId: string, peerSaeId: string): Device {
    const name = `${saeId}/${peerSaeId}`;
    let device = this.#devices.get(name);
    if (device === undefined) {
      device = new Device();
      this.#devices.set(name, device);
    }
    return device;
  }

  // ---- Devices -----------------------------------------------------------------------------------------------------

  preConfigured(saeId: string, peerSaeId: string, keyId: string): void {
    this.device(saeId, peerSaeId).live.add(keyId);
    this.#check(saeId, peerSaeId);
  }

  rotated(saeId: string, peerSaeId: string, keyId: string | null): void {
    const device = this.device(saeId, peerSaeId);
    if (device.current !== keyId) ++this.seen.rotations;
    device.current = keyId;
    device.last = keyId;
    device.isUp = true;
    device.isClosed = false;
    this.#check(saeId, peerSaeId);
  }

  /** A key goes at a device, which may be before it goes in the store. */
  deleted(saeId: string, peerSaeId: string, keyId: string): void {
    const device = this.device(saeId, peerSaeId);
    if (device.live.delete(keyId)) ++this.seen.deletions;
    this.#gone(`the device of ${saeId}`, saeId, peerSaeId, keyId);
    this.#check(saeId, peerSaeId);
  }

  forgot(saeId: string, peerSaeId: string): void {
    const device = this.device(saeId, peerSaeId);
    device.live.clear();
    device.current = null;
    device.isUp = false;
  }

  /** An SAE has set its device up: one that never had a key needs none. */
  ready(saeId: string, peerSaeId: string): void {
    const device = this.device(saeId, peerSaeId);
    if (device.last === null && !device.isClosed) device.isUp = true;
  }

  failedClosed(saeId: string, peerSaeId: string): void {
    const device = this.device(saeId, peerSaeId);
    device.current = null;
    device.isUp = false;
    device.isClosed = true;
  }

  /** A packet from one end to the other. @returns what it is under; undefined when none is sent. */
  packet(from: string, to: string): string | null | undefined {
    const [sender, receiver] = [this.device(from, to), this.device(to, from)];
    if (!sender.isUp || !receiver.isUp) return undefined;
    this.#check(from, to);
    return sender.current;
  }

  // ---- Disks -------------------------------------------------------------------------------------------------------

  /** @param disk with the change. */
  committed(saeId: string, change: StoreChange, disk: KeyStore): void {
    const { peerSaeId, session, update = [], remove = [] } = change;
    if (session !== undefined) this.#agreed(saeId, peerSaeId, session);
    const over = update.filter(({ status }) => status === 'revoked' || status === 'expired');
    for (const keyId of [...remove, ...over.map((key) => key.keyId)])
      this.#gone(`the store of ${saeId}`, saeId, peerSaeId, keyId);
    const production = disk.keys(peerSaeId).filter(({ status }) => status === 'in_production');
    if (production.length > 1)
      this.problem(`${saeId} has ${production.length} keys in production with ${peerSaeId}`);
    const active = disk.sessions(peerSaeId).filter(({ state }) => state !== 'IDLE');
    if (active.length > 1) this.problem(`${saeId} has ${active.length} sessions with ${peerSaeId}`);
    this.#check(saeId, peerSaeId);
  }

  /** What is sent was kept before, and is true. @param disk of the sender. */
  sent(saeId: string, peerSaeId: string, message: Message, disk: KeyStore): void {
    const session = disk.sessions(peerSaeId).find(({ sessionId }) => sessionId === message.session_id);
    const device = this.device(saeId, peerSaeId);
    const status = (keyId: string): KeyRecord['status'] | undefined => disk.key(peerSaeId, keyId)?.status;
    const must = (isSo: boolean, what: string): void => {
      if (!isSo) this.problem(`${saeId} sends ${message.message_type} to ${peerSaeId}, but ${what}`);
    };
    const isIn = (...states: readonly Session['state'][]): boolean =>
      session !== undefined && states.includes(session.state);
    switch (message.message_type) {
      case 'key_notification':
        must(isIn('NOTIFIED'), 'has not kept it');
        must(
          message.key_ids.every((keyId) => status(keyId) !== undefined),
          'has not kept the keys',
        );
        break;
      case 'key_acknowledgment': {
        if (message.status !== 'ready' || isIn('IDLE')) break;
        must(session !== undefined && !isIn('NOTIFIED'), 'has not kept it');
        must(device.live.has(message.selected_key_id ?? ''), 'the new key is not live');
        must(session?.oldKeyId == null || device.live.has(session.oldKeyId), 'the old key is not live');
        break;
      }
      case 'sync_confirmation':
        must(isIn('CONFIRMED', 'ROTATING'), 'has not kept it');
        must(device.live.has(session?.newKeyId ?? ''), 'the new key is not live');
        must(session?.oldKeyId == null || device.live.has(session.oldKeyId), 'the old key is not live');
        break;
      case 'rotation_completed':
        must(isIn('PENDING_DONE') && status(message.new_key_id) === 'in_production', 'has not kept it');
        must(device.current === message.new_key_id || !device.isUp, 'its device uses another key');
        break;
      case 'cleanup_status_request':
        must(isIn('CLEANUP_STATUS_CHECKING'), 'has not kept it');
        must(status(message.new_key_id) === 'in_production', 'has not kept the new key');
        must(device.current === message.new_key_id || !device.isUp, 'its device uses another key');
        break;
      case 'cleanup_delete_response':
        for (const keyId of message.deleted_key_ids) {
          must(status(keyId) === undefined, 'has a key that it says is deleted');
          must(!device.live.has(keyId), 'its device has a key that it says is deleted');
        }
        break;
      case 'error':
        if (message.details?.rolled_back === true)
          must(device.current === session?.oldKeyId || !device.isUp, 'its device is not back');
        break;
      default:
        break;
    }
  }

  #agreed(saeId: string, peerSaeId: string, session: Session): void {
    const { newKeyId, oldKeyId, role, state, outcome, sessionId } = session;
    if (newKeyId !== null && state !== 'IDLE')
      this.#agreements.set(newKeyId, { master: role === 'master' ? saeId : peerSaeId, oldKeyId });
    const name = `${saeId}/${sessionId}`;
    if (outcome === null || this.#ended.has(name)) return;
    this.#ended.add(name);
    if (outcome === 'aborted') ++this.seen.aborts;
    if (outcome === 'rolled_back') ++this.seen.rollBacks;
  }

  // ---- What must hold ----------------------------------------------------------------------------------------------

  #gone(where: string, saeId: string, peerSaeId: string, keyId: string): void {
    for (const device of [this.device(saeId, peerSaeId), this.device(peerSaeId, saeId)]) {
      if (device.last === keyId) this.problem(`${where} loses ${keyId}, with ${peerSaeId}, which is in use`);
    }
  }

  #check(saeId: string, peerSaeId: string): void {
    this.#reads(saeId, peerSaeId);
    this.#reads(peerSaeId, saeId);
    const [mine, others] = [this.device(saeId, peerSaeId), this.device(peerSaeId, saeId)];
    if (!mine.isUp || !others.isUp || mine.current === others.current) return;
    ++this.seen.splits;
    if (this.#isForward(mine, others, peerSaeId) || this.#isForward(others, mine, saeId)) return;
    this.problem(`${saeId} sends under ${mine.current} and ${peerSaeId} under ${others.current}`);
  }

  /** Whether it is (old, new): the slave is where their session leads, the master where it began. */
  #isForward(slave: Device, master: Device, masterId: string): boolean {
    const agreement = slave.current === null ? undefined : this.#agreements.get(slave.current);
    return agreement?.master === masterId && agreement.oldKeyId === master.current;
  }

  /** What one end sends under, both can read. Null is what was before the first key, which devices always can. */
  #reads(from: string, to: string): void {
    const [sender, receiver] = [this.device(from, to), this.device(to, from)];
    const { current } = sender;
    if (current === null || !sender.isUp) return;
    if (!sender.live.has(current))
      this.problem(`${from} sends to ${to} under ${current}, which it cannot read`);
    if (receiver.isUp && !receiver.live.has(current))
      this.problem(`${from} sends to ${to} under ${current}, which ${to} cannot read`);
  }
}
