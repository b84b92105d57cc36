// A store at a device: what it takes, what it tells, and what it answers to another side that sends anything.

import type { StandardSchemaV1 } from '@standard-schema/spec';
import * as v from 'valibot';
import { describe, expect, expectTypeOf, test, vi } from 'vitest';
import { z } from 'zod';
import { HawserError } from '../../src/base/errors.js';
import {
  AttributeStore,
  RefusedError,
  type StoreHandlersOptions,
} from '../../src/interaction/attribute-store.js';
import { Device } from '../../src/interaction/device.js';
import { InteractionConnection } from '../../src/interaction/interaction-connection.js';
import { defineModel } from '../../src/interaction/model.js';
import type { Value } from '../../src/interaction/values.js';
import { MemoryGateway } from './memory-gateway.js';
import { settled, VirtualTime } from './virtual-time.js';

/** A schema written by hand. */
function handWritten<T>(
  validate: (value: unknown) => StandardSchemaV1.Result<T> | Promise<StandardSchemaV1.Result<T>>,
): StandardSchemaV1<T> {
  return { '~standard': { version: 1, vendor: 'test', validate } };
}

const percent = handWritten<number>((value) =>
  typeof value === 'number' && value >= 0 && value <= 100
    ? { value }
    : { issues: [{ message: 'not a percentage' }] },
);

const model = defineModel({
  thermostat: {
    endpoint: 1,
    features: {
      temperature: {
        feature: 2,
        attributes: {
          measured: { attribute: 1, schema: z.number() },
          target: { attribute: 2, schema: z.number().min(5).max(30), writable: true },
          name: { attribute: 3, schema: v.pipe(v.string(), v.trim(), v.maxLength(20)), writable: true },
          valve: { attribute: 4, schema: percent, writable: true },
          schedule: {
            attribute: 5,
            schema: z.array(z.object({ at: z.string(), target: z.number().default(21) })),
            writable: true,
          },
          pin: { attribute: 6, schema: z.string().length(4), writeOnly: true },
        },
        commands: {
          boost: {
            command: 1,
            parameters: z.object({ minutes: z.number().max(60) }),
            result: z.object({ untilMs: z.number() }),
          },
          stop: { command: 2 },
        },
      },
      light: { feature: 3, attributes: { on: { attribute: 1, schema: z.boolean(), writable: true } } },
    },
  },
});
type D = (typeof model)['definition'];

const statuses: StoreHandlersOptions<D>['commands'] = {
  thermostat: {
    temperature: { boost: ({ minutes }) => ({ untilMs: minutes * 60_000 }), stop: () => undefined },
  },
};

function filled(): AttributeStore<D> {
  return new AttributeStore(model, {
    thermostat: { temperature: { measured: 20, target: 21, pin: '1234' }, light: { on: false } },
  });
}

/** Whoever sends what they like, and a device with a store. */
async function connected<S extends AttributeStore<D>>(store: S, more: Partial<StoreHandlersOptions<D>> = {}) {
  const time = new VirtualTime();
  const device = new Device({
    wheel: time.wheel,
    handlers: store.handlers({ commands: statuses, ...more }),
    subscriptions: { minIntervalMs: 0 },
  });
  const detach = store.attach(device);
  const accepted: InteractionConnection[] = [];
  const errors: [unknown, string][] = [];
  const gateway = new MemoryGateway(
    () => time.nowMs,
    (connection) => {
      const interaction = device.accept(connection);
      interaction.on('listenerError', (error, source) => errors.push([error, source]));
      accepted.push(interaction);
      return interaction;
    },
  );
  const controllers: InteractionConnection[] = [];
  const connect = async (): Promise<InteractionConnection> => {
    let made: InteractionConnection | undefined;
    await gateway.connector((connection) => {
      made = new InteractionConnection(connection, { wheel: time.wheel });
      return made;
    }, new AbortController().signal);
    if (made === undefined) throw new Error('not connected');
    controllers.push(made);
    return made;
  };
  const controller = await connect();
  return { time, device, detach, controller, connect, accepted, errors };
}

async function statusOf(request: Promise<unknown>): Promise<string> {
  try {
    await request;
    return 'SUCCESS';
  } catch (error) {
    const { status, detail } = error as { status?: string; detail?: string };
    if (status === undefined) throw error;
    return detail === undefined ? status : `${status}: ${detail}`;
  }
}

function messageOf(run: () => unknown): string {
  try {
    run();
  } catch (error) {
    if (error instanceof HawserError && error.code === 'ERR_HAWSER_ARGUMENT') return error.message;
    throw error;
  }
  throw new Error('it did not throw');
}

// ---- The program's side --------------------------------------------------------------------------------------------

test('values are typed by their schemas, and what is left out is not there yet', () => {
  const store = new AttributeStore(model, { thermostat: { temperature: { measured: 20 } } });
  const measured = store.get('thermostat', 'temperature', 'measured');
  expectTypeOf(measured).toEqualTypeOf<number | undefined>();
  const schedule = store.get('thermostat', 'temperature', 'schedule');
  expectTypeOf(schedule).toEqualTypeOf<{ at: string; target: number }[] | undefined>();
  expect([measured, schedule]).toEqual([20, undefined]);
  expect(new AttributeStore(model).get('thermostat', 'light', 'on')).toBeUndefined();
});

test('names and values of others do not compile, and are refused', () => {
  const store = filled();
  const wrong = [
    // @ts-expect-error: no such endpoint
    () => store.get('termostat', 'temperature', 'measured'),
    // @ts-expect-error: no such feature
    () => store.get('thermostat', 'temprature', 'measured'),
    // @ts-expect-error: no such attribute
    () => store.get('thermostat', 'light', 'measured'),
    // @ts-expect-error: no such attribute
    () => store.set('thermostat', 'temperature', { mesured: 1 }),
    // @ts-expect-error: no number
    () => store.set('thermostat', 'temperature', { measured: '1' }),
    // @ts-expect-error: no values
    () => store.set('thermostat', 'temperature', 7),
    // @ts-expect-error: no such attribute
    () => new AttributeStore(model, { thermostat: { light: { onn: true } } }),
    // @ts-expect-error: no boolean
    () => new AttributeStore(model, { thermostat: { light: { on: 1 } } }),
    // @ts-expect-error: no feature
    () => new AttributeStore(model, { thermostat: { lite: {} } }),
    () => new AttributeStore({} as typeof model),
  ];
  const messages = wrong.map(messageOf);
  expect(messages).toEqual([
    `endpoint must be a name of the model; got "termostat"; did you mean 'thermostat'?`,
    `feature must be a name of the model; got "temprature"; did you mean 'temperature'?`,
    `attribute must be a name of the model; got "measured"`,
    `an attribute of thermostat.temperature must be a name of the model; got "mesured"; did you mean 'measured'?`,
    'thermostat.temperature.measured: Invalid input: expected number, received string',
    'thermostat.temperature must be a plain object; got 7',
    `an attribute of thermostat.light must be a name of the model; got "onn"; did you mean 'on'?`,
    'thermostat.light.on: Invalid input: expected boolean, received number',
    'feature must be a name of the model; got "lite"',
    'model must be what defineModel makes; got an object',
  ]);
});

test('a value is what its schema makes of it: of zod, of valibot, or written by hand', () => {
  const store = filled();
  store.set('thermostat', 'temperature', { name: '  hall ', valve: 40, schedule: [{ at: '06:00' }] });
  expect(store.get('thermostat', 'temperature', 'name')).toBe('hall');
  expect(store.get('thermostat', 'temperature', 'valve')).toBe(40);
  expect(store.get('thermostat', 'temperature', 'schedule')).toEqual([{ at: '06:00', target: 21 }]);
});

test('values are set all or none, and the message says where and what, not the value', () => {
  const store = filled();
  const changes = vi.fn();
  store.on('change', changes);
  const set = (values: object) => messageOf(() => store.set('thermostat', 'temperature', values));
  expect(set({ measured: 1, target: 31 })).toBe(
    'thermostat.temperature.target: Too big: expected number to be <=30',
  );
  expect(set({ measured: 1, valve: 101 })).toBe('thermostat.temperature.valve: not a percentage');
  expect(set({ measured: 1, schedule: [{ at: '06:00' }, { at: 7 }] })).toBe(
    'thermostat.temperature.schedule[1].at: Invalid input: expected string, received number',
  );
  expect(set({ measured: 1, pin: 'secret' })).not.toContain('secret');
  expect(set({ measured: 1, name: undefined })).toMatch(/^thermostat\.temperature\.name: /);
  expect(store.get('thermostat', 'temperature', 'measured')).toBe(20);
  expect(changes).not.toHaveBeenCalled();
});

test('a change is told once, with what is another value now and who made it', () => {
  const store = filled();
  const changes: unknown[][] = [];
  store.on('change', ({ endpoint, feature, values, origin }) => {
    expectTypeOf(endpoint).toEqualTypeOf<'thermostat'>();
    if (feature === 'light') expectTypeOf(values.on).toEqualTypeOf<boolean | undefined>();
    else expectTypeOf(values.schedule).toEqualTypeOf<{ at: string; target: number }[] | undefined>();
    expectTypeOf(origin).toEqualTypeOf<'local' | InteractionConnection>();
    changes.push([endpoint, feature, values, origin]);
  });
  store.set('thermostat', 'temperature', { measured: 20, target: 22, name: 'hall' });
  store.set('thermostat', 'temperature', { measured: 20, target: 22, name: ' hall' });
  store.set('thermostat', 'light', { on: true });
  expect(changes).toEqual([
    ['thermostat', 'temperature', { target: 22, name: 'hall' }, 'local'],
    ['thermostat', 'light', { on: true }, 'local'],
  ]);
});

test('all listeners hear of changes in one order, also of those that one of them makes', () => {
  const store = filled();
  const heard: unknown[] = [];
  store.on('change', ({ feature, values }) => {
    heard.push(['first', values]);
    if (feature === 'temperature' && values.measured === 30) store.set('thermostat', 'light', { on: true });
  });
  store.on('change', ({ values }) => heard.push(['second', values]));
  store.set('thermostat', 'temperature', { measured: 30 });
  expect(heard).toEqual([
    ['first', { measured: 30 }],
    ['second', { measured: 30 }],
    ['first', { on: true }],
    ['second', { on: true }],
  ]);
});

test('a listener that throws keeps nothing from anybody', async () => {
  const store = filled();
  const errors: unknown[] = [];
  const later = vi.fn();
  store.on('listenerError', (error, source) => errors.push([(error as Error).message, source]));
  store.once('change', () => {
    throw new Error('thrown');
  });
  store.once('change', async () => {
    throw new Error('rejected');
  });
  store.set('thermostat', 'temperature', { measured: 1 });
  store.on('change', later);
  store.set('thermostat', 'temperature', { measured: 2 });
  await settled();
  expect(later).toHaveBeenCalledTimes(1);
  expect(errors).toEqual([
    ['thrown', 'change'],
    ['rejected', 'change'],
  ]);
});

test('what a value was made of may be modified afterwards', () => {
  const any = defineModel({
    a: { endpoint: 1, features: { b: { feature: 1, attributes: { c: { attribute: 1, schema: z.any() } } } } },
  });
  const store = new AttributeStore(any);
  const given = { list: [1], bytes: Uint8Array.of(1) };
  store.set('a', 'b', { c: given });
  given.list.push(2);
  given.bytes[0] = 9;
  expect(store.get('a', 'b', 'c')).toEqual({ list: [1], bytes: Uint8Array.of(1) });
});

describe('refused is a value', () => {
  function setting(schema: StandardSchemaV1, value: unknown): string {
    const one = defineModel({
      a: { endpoint: 1, features: { b: { feature: 1, attributes: { c: { attribute: 1, schema } } } } },
    });
    const store = new AttributeStore(one);
    const message = messageOf(() => store.set('a', 'b', { c: value }));
    expect(store.get('a', 'b', 'c')).toBeUndefined();
    return message;
  }

  test.each<[string, StandardSchemaV1, unknown, RegExp]>([
    ['that cannot be sent', z.any(), { at: new Date(0) }, /^a\.b\.c\.at must be .*; got a Date$/],
    ['of which nothing is made', z.any(), undefined, /^a\.b\.c must be .*; got undefined$/],
    [
      'whose output is another type',
      z.string().transform(Number),
      '7',
      /^a\.b\.c: its schema does not take its own/,
    ],
    ['whose output is changed again', z.number().transform((x) => x * 10), 1, /does not take its own output/],
    ['that arrives as something else', z.map(z.string(), z.number()), new Map([['x', 1]]), /its own output/],
    ['that is nested too deeply', z.any(), [[[[[[1]]]]]], /must be nested less deeply/],
  ])('%s', (_, schema, value, message) => {
    expect(setting(schema, value)).toMatch(message);
  });

  test('when its schema takes its time, whatever becomes of that', async () => {
    const asynchronous = z.number().refine(async () => true);
    expect(setting(asynchronous, 1)).toBe('the schema of a.b.c must validate synchronously');
    const rejecting = handWritten(() => Promise.reject(new Error('no')));
    expect(setting(rejecting, 1)).toBe('the schema of a.b.c must validate synchronously');
    await settled();
  });

  test('with the first three of many issues, each cut', () => {
    const path = Array(1000).fill({ key: 'k'.repeat(10_000) });
    const many = handWritten(() => ({
      issues: Array.from({ length: 1000 }, (_, index) => ({
        message: `${index}${'x'.repeat(10_000)}`,
        path,
      })),
    }));
    const message = setting(many, 1);
    expect(message).toMatch(/; and 997 more$/);
    expect(message.length).toBeLessThan(6000);
    const symbolic = handWritten(() => ({ issues: [{ message: 'no', path: ['a', 0, Symbol('s')] }] }));
    expect(setting(symbolic, 1)).toBe('a.b.c.a[0][a symbol]: no');
  });
});

// ---- The other side ------------------------------------------------------------------------------------------------

test('a device answers reads with what is there and can be read', async () => {
  const { controller } = await connected(filled());
  expect(await controller.read(1, 2)).toEqual(
    new Map([
      [1, 20],
      [2, 21],
    ]),
  );
  expect(await controller.read(1, 2, [2, 3, 2])).toEqual(new Map([[2, 21]]));
  expect(await controller.read(1, 3)).toEqual(new Map([[1, false]]));
});

test('what the model does not have is answered with the status that the document has for it', async () => {
  const { controller } = await connected(filled());
  const requests: [string, (endpoint: number, feature: number, id: number) => Promise<unknown>][] = [
    ['INVALID_ATTRIBUTE', (endpoint, feature, id) => controller.read(endpoint, feature, [1, id])],
    ['INVALID_ATTRIBUTE', (endpoint, feature, id) => controller.write(endpoint, feature, new Map([[id, 1]]))],
    ['INVALID_COMMAND', (endpoint, feature, id) => controller.invoke(endpoint, feature, id)],
    [
      'INVALID_ATTRIBUTE',
      (endpoint, feature, id) =>
        controller.subscribe({ endpoint, feature, attributes: [id] }, { notified: () => undefined }),
    ],
  ];
  for (const [status, request] of requests) {
    expect(await statusOf(request(9, 2, 1))).toBe('INVALID_ENDPOINT');
    expect(await statusOf(request(1, 9, 1))).toBe('INVALID_FEATURE');
    expect(await statusOf(request(1, 2, 99))).toBe(status);
  }
});

test('what may not be read or written is answered so, and nothing is changed', async () => {
  const store = filled();
  const { controller } = await connected(store);
  expect(await statusOf(controller.read(1, 2, [1, 6]))).toBe('WRITE_ONLY');
  const terms = { endpoint: 1, feature: 2, attributes: [6] };
  expect(await statusOf(controller.subscribe(terms, { notified: () => undefined }))).toBe('WRITE_ONLY');
  expect(
    await statusOf(
      controller.write(
        1,
        2,
        new Map([
          [2, 25],
          [1, 1],
        ]),
      ),
    ),
  ).toBe('READ_ONLY');
  expect(store.get('thermostat', 'temperature', 'target')).toBe(21);
});

test('a write takes all values or none, and says why', async () => {
  const store = filled();
  const { controller, accepted } = await connected(store);
  const changes: unknown[] = [];
  store.on('change', ({ values, origin }) => changes.push([values, origin]));
  expect(
    await statusOf(
      controller.write(
        1,
        2,
        new Map<number, Value>([
          [2, 25],
          [4, 101],
        ]),
      ),
    ),
  ).toBe('CONSTRAINT_ERROR: thermostat.temperature.valve: not a percentage');
  expect(changes).toEqual([]);
  const schedule = [
    new Map<string, Value>([
      ['at', '06:00'],
      ['junk', 'x'.repeat(1000)],
    ]),
  ];
  await controller.write(
    1,
    2,
    new Map<number, Value>([
      [2, 25],
      [3, ' hall '],
      [5, schedule],
      [6, '9876'],
    ]),
  );
  expect(changes).toEqual([
    [{ target: 25, name: 'hall', schedule: [{ at: '06:00', target: 21 }], pin: '9876' }, accepted[0]],
  ]);
  expect(await controller.read(1, 2, [3, 5])).toEqual(
    new Map<number, Value>([
      [3, 'hall'],
      [
        5,
        [
          new Map<string, Value>([
            ['at', '06:00'],
            ['target', 21],
          ]),
        ],
      ],
    ]),
  );
});

test('a subscriber hears together of what was set together, and never of what can only be written', async () => {
  const store = filled();
  const { controller, connect } = await connected(store);
  const heard: unknown[] = [];
  await controller.subscribe(
    { endpoint: 1, feature: 2, attributes: [] },
    { notified: ({ kind, changes }) => heard.push([kind, Object.fromEntries(changes)]) },
  );
  store.set('thermostat', 'temperature', { measured: 19, name: 'hall', pin: '0000' });
  store.set('thermostat', 'temperature', { measured: 19, pin: '1111' });
  store.set('thermostat', 'light', { on: true });
  const other = await connect();
  await other.write(
    1,
    2,
    new Map<number, Value>([
      [2, 23],
      [6, '2222'],
    ]),
  );
  await settled();
  expect(heard).toEqual([
    ['priming', { 1: 20, 2: 21 }],
    ['change', { 1: 19, 3: 'hall' }],
    ['change', { 2: 23 }],
  ]);
});

test('subscribers hear of changes in the order in which a listener makes them', async () => {
  const store = filled();
  const { controller } = await connected(store);
  const heard: unknown[] = [];
  await controller.subscribe(
    { endpoint: 1, feature: 2, attributes: [] },
    { notified: ({ changes }) => heard.push(Object.fromEntries(changes)) },
  );
  store.on('change', ({ feature, values }) => {
    if (feature !== 'temperature' || values.target === undefined || values.target >= 24) return;
    store.set('thermostat', 'temperature', { target: values.target + 1 });
  });
  await controller.write(1, 2, new Map([[2, 22]]));
  expect(heard.slice(1)).toEqual([{ 2: 22 }, { 2: 23 }, { 2: 24 }]);
});

test('a device that is not attached takes no subscriptions: they would never hear of a change', async () => {
  const store = filled();
  const { controller, detach, errors, device } = await connected(store);
  const terms = { endpoint: 1, feature: 2, attributes: [1] };
  const heard = vi.fn();
  await controller.subscribe(terms, { notified: heard });
  detach();
  store.set('thermostat', 'temperature', { measured: 1 });
  await settled();
  expect(heard).toHaveBeenCalledTimes(1);
  expect(await statusOf(controller.subscribe(terms, { notified: heard }))).toBe('BUSY');
  expect(errors.map(([error]) => (error as Error).message)).toEqual([
    'the device has a store that it is not attached to: call store.attach(device)',
  ]);
  expect(await controller.read(1, 2, [1])).toEqual(new Map([[1, 1]]));
  store.attach(device);
  await controller.subscribe(terms, { notified: heard });
});

// ---- Commands ------------------------------------------------------------------------------------------------------

test('handlers of commands are typed by their schemas, and get what these make of the parameters', async () => {
  const store = filled();
  const calls: unknown[] = [];
  const { controller, accepted } = await connected(store, {
    commands: {
      thermostat: {
        temperature: {
          boost: async (parameters, connection) => {
            expectTypeOf(parameters).toEqualTypeOf<{ minutes: number }>();
            calls.push([parameters, connection]);
            return { untilMs: 7, more: 1 };
          },
          stop: (parameters) => {
            expectTypeOf(parameters).toEqualTypeOf<undefined>();
            calls.push([parameters]);
          },
        },
      },
    },
  });
  const parameters = new Map<string, Value>([
    ['minutes', 5],
    ['junk', 1],
  ]);
  expect(await controller.invoke(1, 2, 1, parameters)).toEqual(new Map([['untilMs', 7]]));
  expect(await controller.invoke(1, 2, 2)).toBeUndefined();
  expect(await controller.invoke(1, 2, 2, new Map())).toBeUndefined();
  expect(calls).toEqual([[{ minutes: 5 }, accepted[0]], [undefined], [undefined]]);
});

test('wrong parameters are answered with why, and nothing is run', async () => {
  const run = vi.fn(() => ({ untilMs: 1 }));
  const { controller } = await connected(filled(), {
    commands: { thermostat: { temperature: { boost: run, stop: () => void run() } } },
  });
  const path = 'INVALID_PARAMETER: thermostat.temperature.boost';
  expect(await statusOf(controller.invoke(1, 2, 1, new Map([['minutes', 61]])))).toBe(
    `${path}.minutes: Too big: expected number to be <=60`,
  );
  expect(await statusOf(controller.invoke(1, 2, 1))).toBe(
    `${path}: Invalid input: expected object, received undefined`,
  );
  expect(await statusOf(controller.invoke(1, 2, 1, [5]))).toMatch(/^INVALID_PARAMETER: .*expected object/);
  expect(await statusOf(controller.invoke(1, 2, 2, 0))).toBe(
    'INVALID_PARAMETER: thermostat.temperature.stop: it takes no parameters',
  );
  expect(await statusOf(controller.invoke(1, 2, 2, null))).toMatch(/^INVALID_PARAMETER/);
  expect(run).not.toHaveBeenCalled();
});

test('what goes wrong in a handler is answered BUSY and told; a refusal is answered as it says', async () => {
  const answers: (() => unknown)[] = [
    () => {
      throw new RefusedError('UNSUPPORTED', 'no heating in summer');
    },
    () => Promise.reject(new RefusedError('BUSY')),
    () => {
      throw new Error('thrown');
    },
    () => ({ untilMs: 'x' }),
    () => ({ untilMs: Promise.resolve(1) }),
    () => undefined,
  ];
  const { controller, errors } = await connected(filled(), {
    commands: {
      thermostat: { temperature: { boost: () => answers.shift()?.() as never, stop: () => undefined } },
    },
  });
  const outcomes: string[] = [];
  while (answers.length > 0) {
    outcomes.push(await statusOf(controller.invoke(1, 2, 1, new Map([['minutes', 5]]))));
  }
  expect(outcomes).toEqual(['UNSUPPORTED: no heating in summer', 'BUSY', 'BUSY', 'BUSY', 'BUSY', 'BUSY']);
  expect(errors.map(([error, source]) => [(error as Error).message, source])).toEqual([
    ['thrown', 'serve'],
    [
      'the result of thermostat.temperature.boost.untilMs: Invalid input: expected number, received string',
      'serve',
    ],
    [
      'the result of thermostat.temperature.boost.untilMs: Invalid input: expected number, received Promise',
      'serve',
    ],
    [
      'the result of thermostat.temperature.boost: Invalid input: expected object, received undefined',
      'serve',
    ],
  ]);
});

test('a refusal has a status that is none of success, and not too long a text', () => {
  expect(messageOf(() => new RefusedError('SUCCESS' as never))).toMatch(
    /^status must be one of 'INVALID_ENDPOINT'/,
  );
  expect(messageOf(() => new RefusedError('BUSY', 'x'.repeat(1001)))).toMatch(/^detail must be/);
  expect(new RefusedError('BUSY', 'later')).toMatchObject({ name: 'RefusedError', message: 'BUSY: later' });
});

test('schemas of commands may take their time, and transform', async () => {
  const clock = defineModel({
    clock: {
      endpoint: 1,
      features: {
        alarm: {
          feature: 1,
          commands: {
            at: {
              command: 1,
              parameters: z
                .number()
                .refine(async (ms) => ms > 0)
                .transform((ms) => new Date(ms)),
              result: z
                .string()
                .refine(async () => true)
                .optional(),
            },
          },
        },
      },
    },
  });
  const store = new AttributeStore(clock);
  const { invoke } = store.handlers({
    commands: {
      clock: {
        alarm: {
          at: (date) => {
            expectTypeOf(date).toEqualTypeOf<Date>();
            return date.getTime() === 5 ? 'five' : undefined;
          },
        },
      },
    },
  });
  const run = (parameters: Value) =>
    invoke(
      { type: 'request', messageId: 1, operation: 'invoke', endpoint: 1, feature: 1, command: 1, parameters },
      undefined as never,
    );
  expect(await run(5)).toEqual({ payload: 'five' });
  expect(await run(6)).toEqual({ payload: undefined });
  expect(await run(0)).toMatchObject({ error: 'INVALID_PARAMETER' });
});

test('there is a handler for every command and for nothing else', () => {
  const store = filled();
  const boost = () => ({ untilMs: 1 });
  const stop = () => undefined;
  const wrong: [() => unknown, string][] = [
    // @ts-expect-error: nothing
    [() => store.handlers(), 'commands.thermostat.temperature.boost must be a function; got undefined'],
    [
      // @ts-expect-error: not all
      () => store.handlers({ commands: { thermostat: { temperature: { boost } } } }),
      'commands.thermostat.temperature.stop must be a function; got undefined',
    ],
    [
      // @ts-expect-error: one that there is not
      () => store.handlers({ commands: { thermostat: { temperature: { boost, stop, strop: stop } } } }),
      `a command of thermostat.temperature must be a name of the model; got "strop"; did you mean 'stop'?`,
    ],
    [
      () =>
        store.handlers({
          commands: {
            thermostat: {
              temperature: { boost, stop },
              // @ts-expect-error: a feature without commands
              light: { on: stop },
            },
          },
        }),
      'a command of thermostat.light must be a name of the model; got "on"',
    ],
    [
      // @ts-expect-error: another result
      () => store.handlers({ commands: { thermostat: { temperature: { boost: () => 7, stop: 7 } } } }),
      'commands.thermostat.temperature.stop must be a function; got 7',
    ],
    [
      // @ts-expect-error: misspelt
      () => store.handlers({ comands: {} }),
      `unknown option 'comands' in options; did you mean 'commands'?`,
    ],
    [
      // @ts-expect-error: no function
      () => store.handlers({ commands: statuses, authorize: true }),
      'authorize must be a function; got true',
    ],
  ];
  for (const [run, message] of wrong) expect(messageOf(run)).toBe(message);
});

test('a model without commands needs no options', async () => {
  const quiet = defineModel({
    a: {
      endpoint: 1,
      features: { b: { feature: 1, attributes: { c: { attribute: 1, schema: z.number() } } } },
    },
  });
  const store = new AttributeStore(quiet, { a: { b: { c: 1 } } });
  const { read } = store.handlers();
  const request = {
    type: 'request',
    messageId: 1,
    operation: 'read',
    endpoint: 1,
    feature: 1,
    attributes: [],
  } as const;
  expect(read(request, undefined as never)).toEqual(new Map([[1, 1]]));
});

// ---- Who may -------------------------------------------------------------------------------------------------------

test('who may not gets NOT_AUTHORIZED, before anything is looked at', async () => {
  const store = filled();
  const asked: unknown[] = [];
  const run = vi.fn(() => ({ untilMs: 1 }));
  const { controller, accepted } = await connected(store, {
    commands: { thermostat: { temperature: { boost: run, stop: () => undefined } } },
    authorize: (access, connection) => {
      expectTypeOf(access.feature).toEqualTypeOf<'temperature' | 'light'>();
      asked.push([access, connection]);
      return access.feature === 'light';
    },
  });
  const no = 'NOT_AUTHORIZED';
  const terms = { endpoint: 1, feature: 2, attributes: [] };
  expect(await statusOf(controller.read(1, 2))).toBe(no);
  expect(await statusOf(controller.read(1, 2, [6]))).toBe(no);
  expect(await statusOf(controller.subscribe(terms, { notified: () => undefined }))).toBe(no);
  expect(
    await statusOf(
      controller.write(
        1,
        2,
        new Map([
          [2, 99],
          [1, 1],
        ]),
      ),
    ),
  ).toBe(no);
  expect(await statusOf(controller.invoke(1, 2, 1))).toBe(no);
  expect(await statusOf(controller.read(1, 3))).toBe('SUCCESS');
  const temperature = { endpoint: 'thermostat', feature: 'temperature' };
  const readable = ['measured', 'target', 'name', 'valve', 'schedule'];
  expect(asked).toEqual(
    [
      { ...temperature, operation: 'read', attributes: readable },
      { ...temperature, operation: 'read', attributes: ['pin'] },
      { ...temperature, operation: 'subscribe', attributes: readable },
      { ...temperature, operation: 'write', attributes: ['measured', 'target'] },
      { ...temperature, operation: 'invoke', command: 'boost' },
      { endpoint: 'thermostat', feature: 'light', operation: 'read', attributes: ['on'] },
    ].map((access) => [access, accepted[0]]),
  );
  expect(run).not.toHaveBeenCalled();
  expect(store.get('thermostat', 'temperature', 'target')).toBe(21);
});

test.each([undefined, 1, 'yes', Promise.resolve(true)])(
  'an answer of authorize that is no boolean (%s) allows nothing',
  async (answer) => {
    const { controller, errors } = await connected(filled(), { authorize: () => answer as never });
    expect(await statusOf(controller.read(1, 2))).toBe('BUSY');
    expect(await statusOf(controller.write(1, 2, new Map([[2, 25]])))).toBe('BUSY');
    expect(await statusOf(controller.invoke(1, 2, 2))).toBe('BUSY');
    expect(errors).toHaveLength(3);
  },
);

// ---- Hostile writes ------------------------------------------------------------------------------------------------

describe('whatever is written', () => {
  const open = defineModel({
    a: {
      endpoint: 1,
      features: {
        b: {
          feature: 1,
          attributes: {
            any: { attribute: 1, schema: z.any(), writable: true },
            slow: { attribute: 2, schema: z.any().refine(async () => true), writable: true },
            record: { attribute: 3, schema: z.record(z.string(), z.number()), writable: true },
            once: { attribute: 4, schema: z.string().transform((text) => `${text}!`), writable: true },
          },
        },
      },
    },
  });

  function writing(id: number, value: Value) {
    const store = new AttributeStore(open);
    const { write } = store.handlers();
    const request = { type: 'request', messageId: 1, operation: 'write', endpoint: 1, feature: 1 } as const;
    return {
      store,
      outcome: () => write({ ...request, values: new Map([[id, value]]) }, undefined as never),
    };
  }

  test('a Map with a key __proto__ or constructor pollutes nothing', () => {
    const hostile = new Map<string, Value>([
      ['__proto__', new Map([['polluted', 1]])],
      ['constructor', new Map([['prototype', new Map([['polluted', 1]])]])],
    ]);
    const { store, outcome } = writing(1, hostile);
    expect(outcome()).toBeUndefined();
    expect(store.get('a', 'b', 'any')).toBeInstanceOf(Map);
    expect('polluted' in {}).toBe(false);
    expect(writing(3, hostile).outcome()).toMatchObject({ error: 'CONSTRAINT_ERROR' });
  });

  test('what is too deep to be notified is refused, not thrown', () => {
    expect(writing(1, [[[[[[1]]]]]]).outcome()).toMatchObject({
      error: 'CONSTRAINT_ERROR',
      detail: expect.stringContaining('nested less deeply'),
    });
  });

  test('what its schema does not take again is refused, not thrown', () => {
    expect(writing(4, 'x').outcome()).toMatchObject({ error: 'CONSTRAINT_ERROR' });
  });

  test('an asynchronous schema is an error of the program', () => {
    expect(() => writing(2, 1).outcome()).toThrow('the schema of a.b.slow must validate synchronously');
  });
});
