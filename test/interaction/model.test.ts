import * as v from 'valibot';
import { describe, expect, expectTypeOf, test } from 'vitest';
import { z } from 'zod';
import { HawserError } from '../../src/base/errors.js';
import {
  type AttributeInputs,
  type AttributeName,
  type AttributeOutputs,
  type CommandName,
  type CommandTypes,
  defineModel,
  type EndpointName,
  type FeatureName,
  type ModelDefinition,
  type ReadableName,
  type WritableName,
} from '../../src/interaction/model.js';

const model = defineModel({
  thermostat: {
    endpoint: 1,
    features: {
      temperature: {
        feature: 2,
        attributes: {
          measured: { attribute: 1, schema: z.number() },
          target: { attribute: 2, schema: z.number().min(5).max(30), writable: true },
          name: { attribute: 3, schema: z.string().default('none'), writable: true },
          pin: { attribute: 4, schema: v.pipe(v.string(), v.length(4)), writeOnly: true },
        },
        commands: {
          boost: {
            command: 1,
            parameters: z.object({ minutes: z.number() }),
            result: z.object({ untilMs: z.number() }),
          },
          stop: { command: 2 },
        },
      },
      clock: { feature: 255, attributes: { now: { attribute: 65_535, schema: v.number() } } },
    },
  },
  root: { endpoint: 0, features: { identity: { feature: 0 } } },
});
type D = (typeof model)['definition'];
type T = 'thermostat';
type F = 'temperature';

test('names and values are inferred from a definition', () => {
  expectTypeOf<EndpointName<D>>().toEqualTypeOf<'thermostat' | 'root'>();
  expectTypeOf<FeatureName<D, T>>().toEqualTypeOf<'temperature' | 'clock'>();
  expectTypeOf<AttributeName<D, T, F>>().toEqualTypeOf<'measured' | 'target' | 'name' | 'pin'>();
  expectTypeOf<ReadableName<D, T, F>>().toEqualTypeOf<'measured' | 'target' | 'name'>();
  expectTypeOf<WritableName<D, T, F>>().toEqualTypeOf<'target' | 'name' | 'pin'>();
  expectTypeOf<CommandName<D, T, F>>().toEqualTypeOf<'boost' | 'stop'>();
  expectTypeOf<AttributeInputs<D, T, F>>().toEqualTypeOf<{
    readonly measured: number;
    readonly target: number;
    readonly name: string | undefined;
    readonly pin: string;
  }>();
  expectTypeOf<AttributeOutputs<D, T, F>['name']>().toEqualTypeOf<string>();
});

test('what a feature leaves out has no names', () => {
  expectTypeOf<CommandName<D, T, 'clock'>>().toEqualTypeOf<never>();
  expectTypeOf<AttributeName<D, 'root', 'identity'>>().toEqualTypeOf<never>();
  expectTypeOf<WritableName<D, T, 'clock'>>().toEqualTypeOf<never>();
});

test('what a command leaves out is undefined', () => {
  type Boost = CommandTypes<D, T, F, 'boost'>;
  expectTypeOf<Boost['parametersOutput']>().toEqualTypeOf<{ minutes: number }>();
  expectTypeOf<Boost['returned']>().toEqualTypeOf<{ untilMs: number } | Promise<{ untilMs: number }>>();
  type Stop = CommandTypes<D, T, F, 'stop'>;
  expectTypeOf<Stop['parametersInput']>().toEqualTypeOf<undefined>();
  expectTypeOf<Stop['returned']>().toEqualTypeOf<void | Promise<void>>();
  expectTypeOf<Stop['resultOutput']>().toEqualTypeOf<undefined>();
});

test('a model knows its parts by name and by id, the least and the greatest included', () => {
  const feature = model.feature('thermostat', 'temperature');
  expect(feature).toBe(model.find(1, 2));
  expect(feature.attributes.byId.get(2)).toMatchObject({
    name: 'target',
    path: 'thermostat.temperature.target',
  });
  expect([...feature.attributes.byName.values()].map(({ writable }) => writable)).toEqual([
    false,
    true,
    true,
    true,
  ]);
  expect(feature.readable.map(({ name }) => name)).toEqual(['measured', 'target', 'name']);
  expect(model.feature('thermostat', 'clock').attributes.byId.has(65_535)).toBe(true);
  expect(model.find(0, 0)).toMatchObject({ path: 'root.identity' });
  expect(model.find(2, 2)).toBe('INVALID_ENDPOINT');
  expect(model.find(1, 3)).toBe('INVALID_FEATURE');
});

test('a name that the model does not have is refused, with the one that was meant', () => {
  expect(() => model.feature('termostat', 'temperature')).toThrow(
    'got "termostat"; did you mean \'thermostat\'?',
  );
  for (const name of ['__proto__', 'constructor', 'toString', 'x', 7 as never]) {
    expect(() => model.feature('thermostat', name)).toThrow(/^feature must be a name of the model; got/);
  }
});

test('a definition that is changed afterwards changes nothing', () => {
  const definition = { a: { endpoint: 1, features: { b: { feature: 2 } } } };
  const made = defineModel(definition);
  definition.a.endpoint = 9;
  definition.a.features.b.feature = 9;
  expect(made.find(1, 2)).toMatchObject({ path: 'a.b' });
});

// ---- Wrong definitions ---------------------------------------------------------------------------------------------

const schema = z.number();

function attribute(definition: unknown): unknown {
  return { a: { endpoint: 1, features: { b: { feature: 1, attributes: { c: definition } } } } };
}

function command(definition: unknown): unknown {
  return { a: { endpoint: 1, features: { b: { feature: 1, commands: { c: definition } } } } };
}

function features(definition: unknown): unknown {
  return { a: { endpoint: 1, features: definition } };
}

describe('refused is', () => {
  test.each<[string, unknown, string]>([
    ['no object', 7, 'the model must be a plain object; got 7'],
    ['an array', [], 'the model must be a plain object; got an array of 0'],
    ['an inherited definition', Object.create({ a: 1 }), 'the model must be a plain object; got an object'],
    ['an empty name', { '': { endpoint: 1, features: {} } }, 'a name in the model must be'],
    [
      'the name __proto__',
      JSON.parse('{"a": {"endpoint": 1, "features": {"__proto__": {"feature": 1}}}}'),
      'a name in a.features must be a string that is not empty and not __proto__; got "__proto__"',
    ],
    [
      'a prototype in place of a name',
      { __proto__: { endpoint: 1, features: {} } },
      'the model must be a plain object',
    ],
    [
      'an endpoint above 255',
      { a: { endpoint: 256, features: {} } },
      'a.endpoint must be an integer from 0 to 255',
    ],
    ['an endpoint below 0', { a: { endpoint: -1, features: {} } }, 'a.endpoint must be'],
    [
      'an endpoint without features',
      { a: { endpoint: 1 } },
      'a.features must be a plain object; got undefined',
    ],
    [
      'a feature above 255',
      features({ b: { feature: 256 } }),
      'a.b.feature must be an integer from 0 to 255',
    ],
    ['no feature', features({ b: {} }), 'a.b.feature must be'],
    ['a misspelt part', features({ b: { feature: 1, atributes: {} } }), "did you mean 'attributes'?"],
    ['a feature that is null', features({ b: null }), 'a.b must be a plain object; got null'],
    ['an attribute above 65,535', attribute({ attribute: 65_536, schema }), 'a.b.c.attribute must be'],
    ['an attribute without schema', attribute({ attribute: 1 }), 'a.b.c.schema must be a schema'],
    [
      'no schema',
      attribute({ attribute: 1, schema: { validate: () => 1 } }),
      'a.b.c.schema must be a schema',
    ],
    [
      'a schema of another version',
      attribute({ attribute: 1, schema: { '~standard': { version: 2, validate: () => 1 } } }),
      'a.b.c.schema must be a schema that speaks the standard schema, version 1; got an object',
    ],
    [
      'a schema that does not validate',
      attribute({ attribute: 1, schema: { '~standard': { version: 1 } } }),
      'a.b.c.schema must be',
    ],
    [
      'writable that is no boolean',
      attribute({ attribute: 1, schema, writable: 1 }),
      'a.b.c.writable must be true or',
    ],
    [
      'what can neither be read nor written',
      attribute({ attribute: 1, schema, writable: false, writeOnly: true }),
      'a.b.c.writable must be true where writeOnly is; got false',
    ],
    ['a command above 255', command({ command: 256 }), 'a.b.c.command must be an integer from 0 to 255'],
    [
      'parameters that are no schema',
      command({ command: 1, parameters: {} }),
      'a.b.c.parameters must be a schema',
    ],
    ['a result that is no schema', command({ command: 1, result: 'x' }), 'a.b.c.result must be a schema'],
    [
      'an endpoint twice',
      { a: { endpoint: 1, features: {} }, b: { endpoint: 1, features: {} } },
      'the id of b must be another than that of a; got 1',
    ],
    [
      'a feature twice',
      features({ b: { feature: 3 }, 'other one': { feature: 3 } }),
      'the id of a["other one"] must be another than that of a.b; got 3',
    ],
    [
      'an attribute twice',
      features({
        b: { feature: 1, attributes: { c: { attribute: 4, schema }, d: { attribute: 4, schema } } },
      }),
      'the id of a.b.d must be another than that of a.b.c; got 4',
    ],
    [
      'a command twice',
      features({ b: { feature: 1, commands: { c: { command: 4 }, d: { command: 4 } } } }),
      'the id of a.b.d must be another than that of a.b.c; got 4',
    ],
  ])('%s', (_, definition, message) => {
    expect(() => defineModel(definition as ModelDefinition)).toThrow(HawserError);
    expect(() => defineModel(definition as ModelDefinition)).toThrow(message);
  });
});

test('a schema may be a function, and any object that speaks the standard', () => {
  const standard = { version: 1, vendor: 'test', validate: (value: unknown) => ({ value }) } as const;
  const callable = Object.assign(() => 1, { '~standard': standard });
  const definition = attribute({ attribute: 1, schema: callable }) as ModelDefinition;
  expect(defineModel(definition).feature('a', 'b').attributes.byName.get('c')?.schema).toBe(callable);
});
