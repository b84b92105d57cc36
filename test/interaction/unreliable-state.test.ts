// Notifications that may be lost, come twice, or after later ones.

import { describe, expect, test } from 'vitest';
import { HawserError } from '../../src/base/errors.js';
import { seededRandom } from '../../src/base/random.js';
import { hawserCodec } from '../../src/interaction/hawser-codec.js';
import { mashCodec } from '../../src/interaction/mash-codec.js';
import type { Message, Notification } from '../../src/interaction/messages.js';
import { alone, full, listening, notification, read, serving, subscribed, terms } from './ends.js';

const codec = hawserCodec();
const datagramBytes = 1158;

/** What a notification of attribute 7 says, for short. */
function brief({ kind, sequence, changes }: Notification): unknown[] {
  return [kind, sequence, changes.get(7)];
}

function decoded(messages: readonly Uint8Array[]): unknown[] {
  return messages.map((bytes) => {
    const message = codec.decode(bytes);
    return message.type === 'notification' ? brief(message) : message;
  });
}

describe('a device', () => {
  test('sends its changes unreliably, its primings, heartbeats and answers reliably', () => {
    let value = 0;
    const { time, device, end, subscribe, hear } = serving(() => value, {
      unreliableState: true,
      datagramBytes,
    });
    subscribe(1);
    value = 1;
    device.notifyChange(1, 2, 7, 1);
    time.runTo(60_000);
    hear(read(2));
    expect(end.ofType('notification').map(brief)).toEqual([
      ['priming', 1, 0],
      ['heartbeat', 3, 1],
    ]);
    expect(end.ofType('response').map(({ messageId }) => messageId)).toEqual([1, 2]);
    expect(decoded(end.unreliable)).toEqual([['change', 2, 1]]);
  });

  test('says everything with each of them', () => {
    const { device, end, hear } = serving(() => 0, { unreliableState: true, datagramBytes });
    hear({ type: 'request', operation: 'subscribe', messageId: 1, endpoint: 1, feature: 2, attributes: [] });
    device.notifyChange(1, 2, 8, 1);
    device.notifyChange(1, 2, 9, 1);
    const last = codec.decode(end.unreliable.at(-1) ?? new Uint8Array());
    expect(last).toMatchObject({ kind: 'change', sequence: 3 });
    expect(last.type === 'notification' && [...last.changes.keys()]).toEqual([7, 8, 9]);
  });

  test('sends what is too long for a datagram reliably, and waits for room where there is none', () => {
    const { device, end, subscribe, connection } = serving(() => 0, { unreliableState: true, datagramBytes });
    subscribe(1);
    device.notifyChange(1, 2, 7, 'x'.repeat(datagramBytes));
    expect(end.ofType('notification')).toHaveLength(2);
    end.errors.push(full());
    device.notifyChange(1, 2, 7, 'y'.repeat(datagramBytes));
    device.notifyChange(1, 2, 7, 'z'.repeat(datagramBytes));
    expect(end.ofType('notification')).toHaveLength(2);
    connection.drained();
    expect(end.ofType('notification').at(-1)?.changes.get(7)).toBe('z'.repeat(datagramBytes));
    // The transport takes one more, and says that it is enough.
    end.hasRoom = false;
    for (const letter of 'abc') device.notifyChange(1, 2, 7, letter.repeat(datagramBytes));
    expect(end.ofType('notification').at(-1)?.changes.get(7)).toBe('a'.repeat(datagramBytes));
    connection.drained();
    expect(end.ofType('notification').at(-1)?.changes.get(7)).toBe('c'.repeat(datagramBytes));
    expect(end.unreliable).toEqual([]);
  });

  test('sends reliably where the transport has nothing else, or when it is off', () => {
    for (const options of [{ unreliableState: true }, { datagramBytes }]) {
      const { device, end, subscribe } = serving(() => 0, options);
      subscribe(1);
      device.notifyChange(1, 2, 7, 1);
      expect([end.ofType('notification').length, end.unreliable.length]).toEqual([2, 0]);
    }
  });

  test('takes for lost what finds no room or nobody, and cancels for a message that cannot be', () => {
    const { device, end, subscribe, connection, errors } = serving(() => 0, {
      unreliableState: true,
      datagramBytes,
    });
    subscribe(1);
    end.errors.push(full(), new HawserError('ERR_HAWSER_NOT_CONNECTED', 'gone'));
    for (const value of [1, 2, 3]) device.notifyChange(1, 2, 7, value);
    expect(decoded(end.unreliable)).toEqual([['change', 4, 3]]);
    expect([connection.open, device.subscriptions]).toEqual([true, 1]);
    device.notifyChange(1, 2, 7, 'x'.repeat(70_000));
    expect([connection.open, errors]).toEqual([false, ['notify']]);
  });

  test('sends nothing after the end, nor while it closes', () => {
    for (const end of ['destroy', 'close'] as const) {
      const { connection } = serving(() => 0, { unreliableState: true, datagramBytes });
      void connection[end]();
      expect(connection.notifyUnreliably(notification(5, 1, { sequence: 1 }))).toBe(false);
    }
  });
});

test('what has no sequence, or a codec without, goes reliably', () => {
  const hawser = serving(() => 0, { datagramBytes });
  hawser.connection.notifyUnreliably(notification(5, 1));
  expect([hawser.end.ofType('notification').length, hawser.end.unreliable.length]).toEqual([1, 0]);
  const mash = serving(() => 0, { datagramBytes, codec: mashCodec() });
  mash.connection.notifyUnreliably(notification(5, 1, { sequence: 1 }));
  expect([mash.end.ofType('notification').length, mash.end.unreliable.length]).toEqual([1, 0]);
});

describe('a subscriber', () => {
  async function subscriber() {
    const made = alone();
    const log: unknown[] = [];
    const subscribing = made.connection.subscribe(terms, {
      ...listening([]),
      notified: (heard) => log.push(brief(heard)),
    });
    const hearUnreliably = (message: Message): void =>
      made.connection.unreliableMessage(codec.encode(message));
    return { ...made, log, subscribing, hearUnreliably };
  }

  /** One that is primed. */
  async function primed() {
    const made = await subscriber();
    made.hear(notification(5, 0, { kind: 'priming', sequence: 1 }));
    made.hear(subscribed(1, 5));
    await made.subscribing;
    expect(made.log.splice(0)).toEqual([['priming', 1, 0]]);
    return made;
  }

  test('hears nothing that is older than what it has heard, nor anything twice', async () => {
    const { log, hearUnreliably, hear, connection } = await primed();
    for (const sequence of [3, 2, 3, 1, 5, 4]) hearUnreliably(notification(5, sequence, { sequence }));
    // Nor reliably: what is too long for a datagram goes that way, and may be overtaken there.
    hear(notification(5, 4, { sequence: 4 }));
    hear(notification(5, 6, { sequence: 6 }));
    expect(log).toEqual([
      ['change', 3, 3],
      ['change', 5, 5],
      ['change', 6, 6],
    ]);
    expect(connection.outdatedNotifications).toBe(5);
  });

  test('knows what is newer when the numbers begin again', async () => {
    const { log, hearUnreliably, connection } = await primed();
    const told = [2 ** 31, 2 ** 32 - 1, 0, 2 ** 32 - 1, 1, 2 ** 31 + 1, 2 ** 31];
    for (const sequence of told) hearUnreliably(notification(5, 0, { sequence }));
    // From 1, what is 2^31 away is neither older nor newer; one less is newer.
    expect(log.map((each) => (each as unknown[])[1])).toEqual([2 ** 31, 2 ** 32 - 1, 0, 1, 2 ** 31]);
    expect(connection.outdatedNotifications).toBe(2);
  });

  test('is primed first and once, whatever overtakes the priming', async () => {
    const cases: [string[], unknown[]][] = [
      [
        ['change', 'priming', 'response'],
        [
          ['priming', undefined, 0],
          ['change', 3, 3],
        ],
      ],
      [
        ['change', 'response', 'priming'],
        [
          ['priming', undefined, 0],
          ['change', 3, 3],
        ],
      ],
      [
        ['priming', 'change', 'response'],
        [
          ['priming', 1, 0],
          ['change', 3, 3],
        ],
      ],
      [
        ['priming', 'response', 'change'],
        [
          ['priming', 1, 0],
          ['change', 3, 3],
        ],
      ],
      [
        ['change', 'old', 'priming', 'response'],
        [
          ['priming', undefined, 0],
          ['change', 3, 3],
        ],
      ],
      [
        ['old', 'change', 'priming', 'response'],
        [
          ['priming', undefined, 0],
          ['change', 2, 2],
          ['change', 3, 3],
        ],
      ],
    ];
    for (const [order, expected] of cases) {
      const { log, hear, hearUnreliably, subscribing } = await subscriber();
      for (const each of order) {
        if (each === 'change') hearUnreliably(notification(5, 3, { sequence: 3 }));
        else if (each === 'old') hearUnreliably(notification(5, 2, { sequence: 2 }));
        else if (each === 'priming') hear(notification(5, 0, { kind: 'priming', sequence: 1 }));
        else hear(subscribed(1, 5));
      }
      await subscribing;
      expect(log).toEqual(expected);
    }
  });

  test('ends the connection when too much comes early, also in this way', async () => {
    const { hearUnreliably, events, subscribing } = await subscriber();
    const outcome = expect(subscribing).rejects.toMatchObject({ code: 'ERR_HAWSER_CONNECTION_LOST' });
    for (let count = 1; count <= 257; ++count) hearUnreliably(notification(count, 0, { sequence: 1 }));
    expect(events).toEqual([['close', 'too many notifications before a response']]);
    await outcome;
  });

  test('takes nothing but notifications with a sequence', async () => {
    const { hearUnreliably, connection, end, events, log } = await primed();
    const before = end.sent.length;
    const misplaced: Message[] = [
      read(1),
      { type: 'response', messageId: 1, status: 'SUCCESS' },
      subscribed(1, 6),
      { type: 'control', control: 'ping', sequence: 1 },
      { type: 'control', control: 'close', sequence: 0 },
      notification(5, 9),
    ];
    for (const message of misplaced) hearUnreliably(message);
    expect(connection.misplacedMessages).toBe(misplaced.length);
    expect([connection.open, end.sent.length - before, events, log]).toEqual([true, 0, [], []]);
    // One of a subscription that is gone is nothing special.
    hearUnreliably(notification(99, 9, { sequence: 1 }));
    expect(connection.unknownNotifications).toBe(1);
  });

  test('leaves whoever sends what is no message, or what was not subscribed to', async () => {
    const request = await primed();
    // {0: 1, 1: 5, 2: 99}: there is no operation 99, which reliably would be answered.
    request.connection.unreliableMessage(Uint8Array.of(0xa3, 0x00, 0x01, 0x01, 0x05, 0x02, 0x18, 99));
    expect([request.connection.open, request.end.ofType('response')]).toEqual([false, []]);
    const garbage = await primed();
    garbage.connection.unreliableMessage(Uint8Array.of(0xff));
    expect(garbage.connection.open).toBe(false);
    const stranger = await primed();
    stranger.hearUnreliably(notification(5, 1, { sequence: 2, endpoint: 9 }));
    expect([stranger.connection.open, stranger.log]).toEqual([false, []]);
  });
});

test('whatever is lost, doubled and mixed up, values only become newer, and a heartbeat mends the rest', () => {
  for (let seed = 1; seed <= 200; ++seed) {
    const random = seededRandom(seed);
    let value = 0;
    const device = serving(() => value, { unreliableState: true, datagramBytes });
    const { connection, hear, end } = alone();
    const log: number[] = [];
    void connection.subscribe(terms, {
      notified: ({ changes }) => log.push(Number(changes.get(7))),
    });
    for (const message of end.sent) device.hear(message);
    for (const message of device.end.sent) hear(message);
    for (value = 1; value <= 50; ++value) device.device.notifyChange(1, 2, 7, value);
    const arriving = device.end.unreliable
      .filter(() => random() < 0.7)
      .flatMap((bytes) => (random() < 0.2 ? [bytes, bytes] : [bytes]))
      .map((bytes, index) => ({ bytes, place: index + random() * 10 }))
      .sort((one, other) => one.place - other.place);
    for (const { bytes } of arriving) connection.unreliableMessage(bytes);
    const ascending = log.every((each, index) => index === 0 || each > (log[index - 1] ?? 0));
    expect(ascending, `seed ${seed}: ${log.join()}`).toBe(true);
    expect(connection.outdatedNotifications + log.length, `seed ${seed}`).toBe(arriving.length + 1);
    device.time.runTo(60_000);
    connection.unreliableMessage(device.end.unreliable.at(-1) ?? new Uint8Array());
    expect(log.at(-1), `seed ${seed}`).toBe(50);
  }
});
