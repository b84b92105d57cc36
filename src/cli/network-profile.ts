// Bad networks in one line of text: `loss=5%,delay=80ms,jitter=20ms,duplicate=1%,reorder=1%,rate=5mbit,queue=64kb`. docs/cli.md
// has all keys.

import { nearest } from '../base/check.js';
import {
  type ImpairmentSettings,
  impairmentDefaults,
  maxDelayMs,
  maxLinkBytes,
  minHoldBackMs,
} from '../transport/impairment.js';
import { type Kind, type Option, optional } from './options.js';

/** A profile, as text and as the option `simulate`. What it leaves out impairs nothing. */
export interface NetworkProfile {
  /** Without the blanks that the user may have written. */
  readonly text: string;
  readonly options: Partial<ImpairmentSettings>;
}

/** Names of the settings whose values are of one type. */
type NameOf<T> = {
  [K in keyof ImpairmentSettings]: ImpairmentSettings[K] extends T ? K : never;
}[keyof ImpairmentSettings];

type Options = { -readonly [K in keyof ImpairmentSettings]?: ImpairmentSettings[K] };

/** A way to write a number. */
interface Quantity {
  /** What one of each unit is, before it is divided by `divisor`. */
  readonly units: Readonly<Record<string, number>>;
  readonly divisor: number;
  /** Completes "must be": with an example and both ends of the range. */
  readonly rule: string;
  readonly min: number;
  readonly max: number;
  /** Whole numbers only: what is between two is rounded. */
  readonly whole: boolean;
}

const share: Quantity = {
  units: { '%': 1 },
  divisor: 100,
  rule: 'a percentage such as 5%, from 0% to 100%',
  min: 0,
  max: 1,
  whole: false,
};

const time: Quantity = {
  units: { ms: 1, s: 1000 },
  divisor: 1,
  rule: 'a time such as 80ms or 1.5s, from 0ms to 60s',
  min: 0,
  max: maxDelayMs,
  whole: false,
};

const holdBack: Quantity = {
  ...time,
  rule: 'a time such as 80ms or 1.5s, from 0.001ms to 60s',
  min: minHoldBackMs,
};

/** In bytes per second; network rates are decimal. */
const rate: Quantity = {
  units: { kbit: 125, mbit: 125_000, gbit: 125_000_000 },
  divisor: 1,
  rule: 'bits per second such as 500kbit, 5mbit or 1gbit, from 1kbit to 1000gbit',
  min: 125,
  max: 125_000_000_000,
  whole: true,
};

/** In bytes; sizes of memory are binary. */
const size: Quantity = {
  units: { b: 1, kb: 1024, mb: 1024 * 1024 },
  divisor: 1,
  rule: 'a size such as 1500b, 64kb or 1mb, from 0b to 1048576mb',
  min: 0,
  max: maxLinkBytes,
  whole: true,
};

/** A number, or `true` or `false`. */
type Setting =
  | { readonly name: NameOf<number>; readonly quantity: Quantity }
  | { readonly name: NameOf<boolean>; readonly quantity?: undefined };

/** In the order in which they are shown. */
const settings: Readonly<Record<string, Setting>> = {
  loss: { name: 'lossRate', quantity: share },
  delay: { name: 'delayMs', quantity: time },
  jitter: { name: 'jitterMs', quantity: time },
  'jitter-reorders': { name: 'jitterReorders' },
  duplicate: { name: 'duplicateRate', quantity: share },
  reorder: { name: 'reorderRate', quantity: share },
  'least-hold-back': { name: 'leastHoldBackMs', quantity: holdBack },
  'most-hold-back': { name: 'mostHoldBackMs', quantity: holdBack },
  rate: { name: 'bytesPerSecond', quantity: rate },
  queue: { name: 'queueBytes', quantity: size },
};

const keys = Object.keys(settings);

/** @throws Error whose message names the part that is wrong and what is allowed there. */
export function parseNetworkProfile(text: string): NetworkProfile {
  const options: Options = {};
  const parts = text.split(',').map((part) => part.trim());
  for (const part of parts) {
    const [, key = '', value = ''] = /^([^=]+)=(.+)$/s.exec(part) ?? [];
    if (key === '') {
      throw new Error(`${quote(part)} must be KEY=VALUE such as loss=5%, with a key of ${keys.join(', ')}`);
    }
    const setting = Object.hasOwn(settings, key) ? settings[key] : undefined;
    if (setting === undefined) throw unknownKey(key);
    if (options[setting.name] !== undefined) throw new Error(`${key} is given twice`);
    if (setting.quantity === undefined) options[setting.name] = parseBoolean(key, value);
    else options[setting.name] = parseQuantity(key, value, setting.quantity);
  }
  const { leastHoldBackMs, mostHoldBackMs } = { ...impairmentDefaults, ...options };
  if (mostHoldBackMs < leastHoldBackMs) {
    throw new Error(
      `most-hold-back must be least-hold-back (${leastHoldBackMs}ms) or more; got ${mostHoldBackMs}ms`,
    );
  }
  return { text: parts.join(','), options };
}

function unknownKey(key: string): Error {
  const close = nearest(key, keys);
  const hint = close === undefined ? '' : `; did you mean ${close}?`;
  return new Error(`unknown key ${quote(key)}${hint} (keys: ${keys.join(', ')})`);
}

function parseBoolean(key: string, text: string): boolean {
  if (text === 'true' || text === 'false') return text === 'true';
  throw new Error(`${key} must be true or false; got ${quote(text)}`);
}

function parseQuantity(
  key: string,
  text: string,
  { units, divisor, rule, min, max, whole }: Quantity,
): number {
  const [, digits = '', unit = ''] = /^(\d{1,15}(?:\.\d{1,15})?)([a-z%]+)$/.exec(text) ?? [];
  const scale = Object.hasOwn(units, unit) ? units[unit] : undefined;
  const exact = scale === undefined ? Number.NaN : (Number(digits) * scale) / divisor;
  const value = whole ? Math.round(exact) : exact;
  if (value >= min && value <= max) return value;
  throw new Error(`${key} must be ${rule}; got ${quote(text)}`);
}

function quote(text: string): string {
  return JSON.stringify(text.length <= 40 ? text : `${text.slice(0, 40)}...`);
}

/** A profile as the value of an option. */
export const networkProfile: Kind<NetworkProfile> = { placeholder: 'PROFILE', parse: parseNetworkProfile };

/** What a command says when its traffic is impaired. */
export function impairmentNotice({ text }: NetworkProfile): string {
  return `network impaired on purpose: ${text}, in each direction`;
}

/** The option of commands with sockets of their own. */
export const simulateOption: Option<NetworkProfile | undefined> = optional(
  networkProfile,
  'impair all traffic on purpose, once in each direction: some of loss=5%, delay=80ms, jitter=20ms, jitter-reorders=true, duplicate=1%, reorder=1%, least-hold-back=1ms, most-hold-back=10ms, rate=5mbit and queue=64kb, with commas between',
);
