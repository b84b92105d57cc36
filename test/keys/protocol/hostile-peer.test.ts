// A peer whose signature is good and that says whatever it likes: it harms nobody but what both share, and of that nothing that is in use.

import { expect, test } from 'vitest';
import type { Session } from '../../../src/keys/protocol/session.js';
import { encodeKey, encodePeer } from '../../../src/keys/store/key-records.js';
import { encodeSession } from '../../../src/keys/store/session-record.js';
import {
  errorCodes,
  type Message,
  type MessageType,
  maySend,
  messageLimits,
  messageTypes,
} from '../../../src/keys/wire/messages.js';
import { pair, type Side, World } from './pair.js';

const seeds = Array.from({ length: 6 }, (_, index) => index + 1);
const steps = 250;

/** Everything that may be wrong about one side by itself. */
function checkSide(side: Side, seed: number): void {
  const what = `seed ${seed}`;
  const { current, live, keys, kept } = side;
  if (current !== null) {
    expect(live.has(current), `${what}: the key in use is live`).toBe(true);
    expect(keys.has(current), `${what}: the key in use is kept`).toBe(true);
  }
  const inProduction = [...keys.values()].filter(({ status }) => status === 'in_production');
  expect(inProduction.length, what).toBeLessThanOrEqual(1);
  expect(kept.size, what).toBeLessThanOrEqual(16);
  for (const session of kept.values()) {
    expect(Object.keys(session.replies).length, what).toBeLessThanOrEqual(16);
  }
}

test.each([
  ['master', 'hawser'],
  ['slave', 'hawser'],
  ['both', 'hawser'],
  ['slave', 'sae-json'],
  ['master', 'sae-json'],
] as const)('a %s over %s keeps its key in use, and its bounds, whatever its peer says', (role, wire) => {
  let rotations = 0;
  for (const seed of seeds) {
    const world = new World(seed);
    const { master: side, slave: peer } = pair(world, { role, wire, maxRetransmitMs: 2000 });
    peer.isUp = false;
    const { random } = world;
    world.keeps = (_, change) => {
      if (change.session !== undefined) encodeSession(change.session);
      if (change.peer !== undefined) encodePeer(change.peer);
      for (const record of change.update ?? []) encodeKey(record);
      return random() < 0.95;
    };
    world.fails = () => (random() < 0.05 ? 'before' : undefined);
    world.takesMs = () => Math.floor(random() * 300);
    world.check = () => checkSide(side, seed);
    const pick = <T>(from: readonly T[]): T | undefined => from[Math.floor(random() * from.length)];
    const ids = [world.newId(), world.newId()];
    for (let step = 0; step < steps; ++step) {
      if (random() < 0.1) side.begin(2000 + random() * 20_000);
      if (random() < 0.02) side.revoke(pick([...side.keys.keys()]) ?? 'none');
      if (random() < 0.05) side.peerUses(pick([...side.keys.keys()]) ?? 'none');
      if (random() < 0.02) {
        side.crash();
        side.restart();
      }
      const message = anything(side, ids, pick);
      if (message !== undefined) side.receive(message);
      world.run(random() < 0.03 ? random() * 400_000 : random() * 3000);
    }
    const errors = world.sent.filter(({ message }) => message.message_type === 'error');
    for (const { atMs } of errors) {
      const within = errors.filter((other) => other.atMs >= atMs && other.atMs < atMs + 1000);
      // A full bucket, a second's tokens, and a statement of each of the few sessions that can end meanwhile.
      expect(within.length, `seed ${seed}`).toBeLessThanOrEqual(30);
    }
    for (const { message } of world.sent) {
      const own = message.master_sae_id === side.id ? 'master' : 'slave';
      expect(maySend(own, message.message_type), `seed ${seed}: ${own} ${message.message_type}`).toBe(true);
    }
    rotations += side.outcomes().filter((outcome) => outcome !== 'aborted').length;
  }
  // Otherwise it said too little that makes sense.
  expect(rotations).toBeGreaterThan(2);
});

/** A message that makes some sense at times. */
function anything(
  side: Side,
  ids: string[],
  pick: <T>(from: readonly T[]) => T | undefined,
): Message | undefined {
  const { world } = side;
  const { random } = world;
  const session = pick([...side.kept.values()].slice(-2));
  const wasMaster = random() < 0.95 ? session?.role !== 'master' : random() < 0.5;
  const type = (random() < 0.5 ? awaitedOf(session) : pick(messageTypes)) ?? 'key_notification';
  if (random() < 0.3) world.pool.add(world.newKeyId());
  const nowSeconds = Math.floor(side.nowMs / 1000);
  const anyKey = (): string =>
    (random() < 0.6 ? session?.newKeyId : pick([...side.keys.keys(), ...world.pool])) ?? 'key-none';
  const someKeys = (): string[] => [...new Set([anyKey(), anyKey()])].slice(0, 1 + Math.floor(random() * 2));
  const sessionId = (random() < 0.9 ? session?.sessionId : pick(ids)) ?? world.newId();
  const sent = world.sent.at(-1)?.message.message_id ?? world.newId();
  const fresh = type === 'key_notification' && random() < 0.7;
  const messageId = fresh || random() < 0.9 ? world.newId() : (pick(ids) ?? world.newId());
  ids.push(messageId);
  const answered =
    (random() < (type.endsWith('response') ? 0 : 0.9) ? session?.notificationId : sent) ?? sent;
  const original =
    side.settings.wire === 'sae-json' ? sessionId : type === 'error' && random() < 0.1 ? null : answered;
  const isReady = random() < 0.9;
  return {
    message_type: type,
    message_id: messageId,
    timestamp: nowSeconds,
    session_id: fresh ? messageId : sessionId,
    master_sae_id: wasMaster ? side.peer.id : side.id,
    slave_sae_id: wasMaster ? side.id : side.peer.id,
    original_message_id: original,
    key_ids: someKeys(),
    rotation_timestamp: nowSeconds + Math.floor(random() * 40) - 2,
    // Near the end of a life, the last that there is.
    epoch: random() < 0.003 ? messageLimits.epoch : (side.peerRecord?.epoch ?? 0) + Math.floor(random() * 3),
    current_key_id: random() < 0.8 ? side.current : anyKey(),
    selected_key_id: isReady ? (random() < 0.8 ? session?.keyIds[0] : anyKey()) : null,
    suggested_rotation_timestamp: isReady ? null : nowSeconds + Math.floor(random() * 5000),
    final_rotation_timestamp:
      random() < 0.7 ? session?.rotationTimestamp : nowSeconds + Math.floor(random() * 5000),
    new_key_id: anyKey(),
    old_key_ids: random() < 0.5 && session?.oldKeyId ? [session.oldKeyId] : someKeys(),
    rolled_keys_count: 1,
    service_status: null,
    deleted_key_ids: someKeys(),
    failed_key_ids: [],
    status: type === 'key_acknowledgment' ? (isReady ? 'ready' : 'need_more_time') : statusOf(type, random()),
    error_code: pick(errorCodes),
    error_message: '',
    details: random() < 0.3 ? { roll_back: true } : random() < 0.3 ? { rolled_back: true } : null,
  } as unknown as Message;
}

/** What a good peer might say next. */
function awaitedOf(session: Session | undefined): MessageType | undefined {
  switch (session?.state) {
    case 'NOTIFIED':
      return 'key_acknowledgment';
    case 'ACKNOWLEDGED':
      return 'sync_confirmation';
    case 'CONFIRMED':
    case 'ROTATING':
      return 'rotation_completed';
    case 'PENDING_DONE':
      return session.replies[session.notificationId] === undefined ? undefined : 'cleanup_status_request';
    case 'CLEANUP_STATUS_CHECKING':
      return session.awaiting?.message_type === 'cleanup_delete_request'
        ? 'cleanup_delete_response'
        : 'cleanup_status_response';
    default:
      return undefined;
  }
}

function statusOf(type: MessageType, chance: number): string {
  if (type === 'cleanup_acknowledgment') return chance < 0.7 ? 'completed' : 'failed';
  return chance < 0.7 ? 'success' : 'failed';
}
