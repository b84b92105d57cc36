// What the source document shows, with the defaults, through all of this layer: two SAEs, their stores, devices and KMEs.

import { beforeAll, describe, expect, test } from 'vitest';
import type { KeyStatus } from '../../src/keys/store/store.js';
import { type Message, maySend, messageTypes } from '../../src/keys/wire/messages.js';
import { currentKey, liveKeys, masterId, type Side, slaveId, World } from './agent/world.js';

interface Seen {
  readonly atMs: number;
  readonly from: string;
  readonly message: Message;
  /** When it was sent: what each side's device sends under, and what its store says of the keys. */
  readonly devices: readonly (string | null)[];
  readonly statuses: readonly Readonly<Record<string, KeyStatus>>[];
}

/** Where the payload of the envelope is (docs/keys-wire.md). */
function messageOf(bytes: Uint8Array): Message {
  const length = new DataView(bytes.buffer, bytes.byteOffset).getUint16(40, true);
  return JSON.parse(new TextDecoder().decode(bytes.subarray(42, 42 + length)));
}

function statusesOf(side: Side, peer: string): Readonly<Record<string, KeyStatus>> {
  return Object.fromEntries(side.memory.keys(peer).map(({ keyId, status }) => [keyId, status]));
}

const leadMs = 30_000;
const uuid = /^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$/;

let world: World;
const seen: Seen[] = [];
/** Of the second rotation: the first has no old key. */
let oldKey = '';
let newKey = '';
let beganAtMs = 0;
let startWallMs = 0;
let states: readonly (readonly string[])[] = [];

beforeAll(async () => {
  world = await World.open({ masterPeer: { leadMs }, slavePeer: { leadMs } });
  const { time, master, slave, network } = world;
  startWallMs = time.clock.wallNow() - time.nowMs;
  oldKey = (await time.finish(master.sae.rotate(slaveId))).newKeyId;
  await time.pass(1000);
  for (const { events } of [master, slave]) events.length = 0;
  beganAtMs = time.nowMs;
  network.filter = (bytes, from) => {
    const message = messageOf(bytes);
    // Copies are told apart by their message_id.
    if (!seen.some((each) => each.message.message_id === message.message_id)) {
      const devices = [currentKey(master), currentKey(slave)];
      const statuses = [statusesOf(master, slaveId), statusesOf(slave, masterId)];
      seen.push({ atMs: time.nowMs, from, message, devices, statuses });
    }
    return true;
  };
  newKey = (await time.finish(master.sae.rotate(slaveId))).newKeyId;
  await time.pass(1000);
  states = [master, slave].map(({ events }) =>
    events.filter((event) => / by /.test(event)).map((event) => event.replace(/ by .*/, '')),
  );
  return async () => world.close();
});

type Of<T extends Message['message_type']> = Extract<Message, { message_type: T }>;

function isOf<T extends Message['message_type']>(type: T, message: Message): message is Of<T> {
  return message.message_type === type;
}

/** The only message of a type. */
function only<T extends Message['message_type']>(type: T): Seen & { readonly message: Of<T> } {
  const found = seen.flatMap((each) =>
    isOf(type, each.message) ? [{ ...each, message: each.message }] : [],
  );
  const [first] = found;
  if (first === undefined || found.length > 1) throw new Error(`there are ${found.length} of ${type}`);
  return first;
}

describe('the key synchronization flow', () => {
  test('and the cleanup flow have the messages of the pictures, in their order', () => {
    expect(seen.map(({ from, message }) => `${from} ${message.message_type}`)).toEqual([
      `${masterId} key_notification`,
      `${slaveId} key_acknowledgment`,
      `${masterId} sync_confirmation`,
      `${slaveId} rotation_completed`,
      `${masterId} cleanup_status_request`,
      `${slaveId} cleanup_status_response`,
      `${masterId} cleanup_delete_request`,
      `${slaveId} cleanup_delete_response`,
      `${masterId} cleanup_acknowledgment`,
    ]);
  });

  test('each message has an id of its own, the time at which it was sent, and both SAE ids in their roles', () => {
    const ids = seen.map(({ message }) => message.message_id);
    expect(new Set(ids).size).toBe(ids.length);
    for (const { message, atMs } of seen) {
      expect(message.message_id).toMatch(uuid);
      expect(message.timestamp).toBe(Math.floor((startWallMs + atMs) / 1000));
      expect([message.master_sae_id, message.slave_sae_id]).toEqual([masterId, slaveId]);
      expect(message.session_id).toBe(only('key_notification').message.message_id);
    }
  });

  test('step 1: KEY_NOTIFICATION has the ids of the keys and a time in the future', () => {
    const { message, statuses } = only('key_notification');
    expect(message).toMatchObject({ key_ids: [newKey], current_key_id: oldKey });
    expect(message.rotation_timestamp).toBe(Math.ceil((startWallMs + beganAtMs + leadMs) / 1000));
    expect(statuses[0]).toMatchObject({ [newKey]: 'assigned', [oldKey]: 'in_production' });
  });

  test('steps 2 to 5: the keys are fetched, kept, marked ASSIGNED and live at the device before KEY_ACKNOWLEDGMENT', () => {
    const { message, statuses } = only('key_acknowledgment');
    expect(message).toMatchObject({
      original_message_id: only('key_notification').message.message_id,
      selected_key_id: newKey,
      status: 'ready',
    });
    expect(statuses[1]).toMatchObject({ [newKey]: 'assigned', [oldKey]: 'in_production' });
    expect(world.pool.requests.slice(-2)).toEqual([`enc ${slaveId} 1`, `dec ${masterId} 1`]);
    const calls = world.slave.persona.calls.filter(({ keyId }) => keyId === newKey);
    expect(calls.map(({ call }) => call)).toEqual(['preConfigure', 'rotate']);
  });

  test('step 6: SYNC_CONFIRMATION has the time that is confirmed', () => {
    const notification = only('key_notification').message;
    expect(only('sync_confirmation').message).toMatchObject({
      original_message_id: notification.message_id,
      final_rotation_timestamp: notification.rotation_timestamp,
    });
  });

  test('steps 7 to 11: the slave rotates at that time, marks both keys, and says so; the master still uses the old key', () => {
    const { message, atMs, devices, statuses } = only('rotation_completed');
    const agreed = only('sync_confirmation').message.final_rotation_timestamp;
    expect(message).toMatchObject({
      original_message_id: only('key_notification').message.message_id,
      new_key_id: newKey,
      rotation_timestamp: agreed,
    });
    expect(startWallMs + atMs - agreed * 1000).toBeGreaterThanOrEqual(0);
    expect(startWallMs + atMs - agreed * 1000).toBeLessThan(50);
    expect(statuses[1]).toEqual({ [newKey]: 'in_production', [oldKey]: 'rolled' });
    expect(devices).toEqual([oldKey, newKey]);
  });

  test('steps 12 and 13: the master rotates when it has heard of that, and begins the cleanup', () => {
    const { devices, statuses, atMs } = only('cleanup_status_request');
    expect(atMs).toBeGreaterThan(only('rotation_completed').atMs);
    expect(devices).toEqual([newKey, newKey]);
    expect(statuses[0]).toEqual({ [newKey]: 'in_production', [oldKey]: 'rolled' });
  });
});

describe('the cleanup flow', () => {
  test('steps 1 to 4: the status, the count of rolled keys and the service', () => {
    const request = only('cleanup_status_request').message;
    expect(request).toMatchObject({
      original_message_id: only('key_notification').message.message_id,
      new_key_id: newKey,
    });
    expect(only('cleanup_status_response').message).toMatchObject({
      original_message_id: request.message_id,
      status: 'success',
      rolled_keys_count: 1,
      service_status: 'recording: 2 live',
    });
  });

  test('steps 5 to 9: the rolled keys that are named go at the device and in the store, and the response says which', () => {
    const request = only('cleanup_delete_request').message;
    expect(request).toMatchObject({
      original_message_id: only('key_notification').message.message_id,
      new_key_id: newKey,
      old_key_ids: [oldKey],
    });
    const { message, statuses } = only('cleanup_delete_response');
    expect(message).toMatchObject({
      original_message_id: request.message_id,
      deleted_key_ids: [oldKey],
      failed_key_ids: [],
    });
    expect(statuses[1]).toEqual({ [newKey]: 'in_production' });
    // The master's own is still there.
    expect(statuses[0]).toEqual({ [newKey]: 'in_production', [oldKey]: 'rolled' });
  });

  test('steps 10 to 12: the master deletes its own, acknowledges, and both sessions are over', () => {
    const { message, statuses } = only('cleanup_acknowledgment');
    expect(message).toMatchObject({
      original_message_id: only('key_notification').message.message_id,
      status: 'completed',
    });
    expect(statuses[0]).toEqual({ [newKey]: 'in_production' });
    const { master, slave } = world;
    expect([liveKeys(master), liveKeys(slave)]).toEqual([[newKey], [newKey]]);
    expect([master, slave].map(({ sae }) => sae.status().peers[0]?.session)).toEqual([undefined, undefined]);
  });
});

describe('the state machines', () => {
  test('both sides go through the states of the picture', () => {
    expect(states[0]).toEqual([
      'NOTIFIED',
      'ACKNOWLEDGED',
      'CONFIRMED',
      'ROTATING',
      'PENDING_DONE',
      'CLEANUP_STATUS_CHECKING',
      'IDLE',
    ]);
    expect(states[1]).toEqual(['NOTIFIED', 'ACKNOWLEDGED', 'CONFIRMED', 'ROTATING', 'PENDING_DONE', 'IDLE']);
  });
});

test('the table of messages: each type goes in its direction, ERROR in either', () => {
  const directions = messageTypes.map((type) => [type, maySend('master', type), maySend('slave', type)]);
  expect(directions).toEqual([
    ['key_notification', true, false],
    ['key_acknowledgment', false, true],
    ['sync_confirmation', true, false],
    ['rotation_completed', false, true],
    ['cleanup_status_request', true, false],
    ['cleanup_status_response', false, true],
    ['cleanup_delete_request', true, false],
    ['cleanup_delete_response', false, true],
    ['cleanup_acknowledgment', true, false],
    ['error', true, true],
  ]);
});
