// Arbitrary messages for fast-check, each in the one form that it has after it was sent: a bigint only where a number
// is not exact, no -0, nothing that a codec leaves out.

import fc from 'fast-check';
import type { Message, Notification, Request, Response } from '../../src/interaction/messages.js';
import { type Status, statusCodes } from '../../src/interaction/status.js';
import type { AttributeValues, Value } from '../../src/interaction/values.js';

const u8 = fc.integer({ min: 0, max: 0xff });
const u32 = fc.integer({ min: 0, max: 0xffff_ffff });
const id = fc.integer({ min: 1, max: 0xffff_ffff });
const attribute = fc.integer({ min: 0, max: 0xffff });
const text = fc.string({ unit: 'binary', maxLength: 12 });

const scalar: fc.Arbitrary<Value> = fc.oneof(
  fc.constantFrom(null, true, false, 0, 23, 24, 255, 256, 65_535, 65_536, -1, -24, -25, 2 ** 32, 1.5, 1e300),
  fc.maxSafeInteger().map((value) => value + 0),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => value + 0),
  fc.bigInt({ min: 2n ** 53n, max: 2n ** 64n - 1n }),
  fc.bigInt({ min: -(2n ** 64n), max: -(2n ** 53n) }),
  text,
  fc.uint8Array({ maxLength: 12 }),
);

/** Any value, with lists and maps four deep at most. */
export const values: fc.Arbitrary<Value> = fc.letrec<{ value: Value }>((tie) => ({
  value: fc.oneof(
    { maxDepth: 4, depthSize: 'small' },
    scalar,
    fc.array(tie('value'), { maxLength: 5 }),
    fc
      .array(fc.tuple(fc.oneof(fc.maxSafeInteger(), text), tie('value')), { maxLength: 5 })
      .map((entries) => new Map(entries)),
  ),
})).value;

export const attributeValues: fc.Arbitrary<AttributeValues> = fc
  .array(fc.tuple(attribute, values), { maxLength: 6 })
  .map((entries) => new Map(entries));

const namedParameters: fc.Arbitrary<Value> = fc
  .array(fc.tuple(text, values), { minLength: 1, maxLength: 4 })
  .map((entries) => new Map(entries));

/** @param leastInterval that the codec can say. */
function requests(leastInterval: number, parameters: fc.Arbitrary<Value>): fc.Arbitrary<Request> {
  const head = { type: fc.constant('request'), messageId: id, endpoint: u8, feature: u8 } as const;
  const attributes = fc.array(attribute, { maxLength: 8 });
  const interval = fc.integer({ min: leastInterval, max: 0xffff_ffff });
  return fc.oneof(
    fc.record({ ...head, operation: fc.constant('read'), attributes }),
    fc.record({ ...head, operation: fc.constant('write'), values: attributeValues }),
    fc.record(
      {
        ...head,
        operation: fc.constant('subscribe'),
        attributes,
        minIntervalMs: interval,
        maxIntervalMs: interval,
      },
      { requiredKeys: ['type', 'messageId', 'endpoint', 'feature', 'operation', 'attributes'] },
    ),
    fc.record({
      type: fc.constant('request'),
      operation: fc.constant('unsubscribe'),
      messageId: id,
      subscriptionId: id,
    }),
    fc.record(
      { ...head, operation: fc.constant('invoke'), command: u8, parameters },
      { requiredKeys: ['type', 'messageId', 'endpoint', 'feature', 'operation', 'command'] },
    ),
  );
}

const statuses = fc.constantFrom(...(Object.keys(statusCodes) as Status[]));

const responses: fc.Arbitrary<Response> = fc.record(
  { type: fc.constant('response'), messageId: id, status: statuses, payload: values },
  { requiredKeys: ['type', 'messageId', 'status'] },
);

const notificationFields = {
  type: fc.constant('notification'),
  subscriptionId: id,
  endpoint: u8,
  feature: u8,
  changes: attributeValues,
} as const;

const notifications: fc.Arbitrary<Notification> = fc.record(
  { ...notificationFields, kind: fc.constantFrom('change', 'priming', 'heartbeat'), sequence: u32 },
  { requiredKeys: ['type', 'subscriptionId', 'endpoint', 'feature', 'changes', 'kind'] },
);

const controls = fc.record({
  type: fc.constant('control'),
  control: fc.constantFrom('ping', 'pong', 'close'),
  sequence: u32,
});

export const hawserMessages: fc.Arbitrary<Message> = fc
  .oneof(requests(0, values), responses, notifications, controls)
  .map(withPrototype);

/** Messages of which the MASH format loses nothing. */
export const mashMessages: fc.Arbitrary<Message> = fc
  .oneof(
    requests(1, namedParameters),
    responses.filter(({ messageId, payload }) => messageId > 3 || payload !== undefined),
    fc.record({ ...notificationFields, kind: fc.constant('change') }),
    controls,
  )
  .map(withPrototype);

/** What fast-check makes of a record has no prototype in some runs. */
function withPrototype(message: Message): Message {
  return { ...message };
}

/** Bytes with a few places changed, cut out or doubled. */
export function mutations(bytes: fc.Arbitrary<Uint8Array>): fc.Arbitrary<Uint8Array> {
  const change = fc.tuple(fc.constantFrom('set', 'cut', 'insert'), fc.nat(), fc.uint8Array({ maxLength: 4 }));
  return fc.tuple(bytes, fc.array(change, { minLength: 1, maxLength: 4 })).map(([whole, changes]) =>
    changes.reduce((current, [how, where, replacement]) => {
      const at = where % (current.length + 1);
      const removed = how === 'insert' ? 0 : replacement.length;
      const added = how === 'cut' ? [] : replacement;
      return Uint8Array.of(...current.slice(0, at), ...added, ...current.slice(at + removed));
    }, whole),
  );
}
