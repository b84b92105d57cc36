// The channels of the layer `messages`, as JSON or as JavaScript says them.

import { argumentError, checkOneOf, checkOptions, describe } from '../base/check.js';
import {
  type Channel,
  type ChannelMap,
  ChannelTable,
  channelModes,
  reliable,
  reliableUnordered,
  sequenced,
  unreliable,
} from '../transport/channels.js';
import { bytes, type Codec, json, text } from '../transport/codecs.js';

const codecs: Readonly<Record<'bytes' | 'text' | 'json', () => Codec<unknown>>> = {
  // What each takes is its own affair: a codec of bytes refuses nothing that the transport does not.
  bytes: bytes as () => Codec<unknown>,
  text: text as () => Codec<unknown>,
  json: () => json(),
};
const codecNames = ['bytes', 'text', 'json'] as const;
const unreliableOptions = ['priority', 'congestionControlled'];
const otherOptions = ['priority', 'maxMessageBytes', 'redundancy'];

/**
 * Reads channels by name: those that the transport made stay as they are.
 *
 * @param name of the setting: `listeners[0].channels`.
 * @throws HawserError ERR_HAWSER_ARGUMENT.
 */
export function readChannels(name: string, value: unknown): ChannelMap {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) {
    throw argumentError(name, 'an object with channels by name', describe(value));
  }
  const channels = Object.entries(value).map(([each, channel]): [string, Channel<unknown>] => [
    each,
    readChannel(`${name}.${each}`, channel),
  ]);
  const map = Object.fromEntries(channels);
  new ChannelTable(map);
  return map;
}

function readChannel(name: string, value: unknown): Channel<unknown> {
  if (isMade(value)) return value;
  const given = checkOptions(name, value, ['mode', 'codec', ...otherOptions, 'congestionControlled']);
  const mode = checkOneOf(`${name}.mode`, given.mode, channelModes);
  const own = mode === 'unreliable' ? unreliableOptions : otherOptions;
  const {
    mode: _mode,
    codec: codecName = 'bytes',
    ...options
  } = checkOptions(name, value, ['mode', 'codec', ...own]);
  const codec = codecs[checkOneOf(`${name}.codec`, codecName, codecNames)]();
  switch (mode) {
    case 'unreliable':
      return unreliable(codec, options);
    case 'sequenced':
      return sequenced(codec, options);
    case 'reliable':
      return reliable(codec, options);
    case 'reliableUnordered':
      return reliableUnordered(codec, options);
  }
}

/** The table of channels finds out whether it is one that the transport made. */
function isMade(value: unknown): value is Channel<unknown> {
  return typeof value === 'object' && value !== null && 'codec' in value && typeof value.codec === 'object';
}
