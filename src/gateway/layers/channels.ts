// The channels of layers: what a listener declares, and what its clients have to.

import { argumentError, checkArray, checkOneOf, describe } from '../../base/check.js';
import { interactionChannels } from '../../interaction/over-hawser.js';
import { keysChannels } from '../../keys/links/over-hawser.js';
import { sessionChannels } from '../../sessions/over-hawser.js';
import { syncChannels } from '../../sync/over-hawser.js';
import { type ChannelMap, defaultChannels } from '../../transport/channels.js';
import type { LayerName } from '../config.js';

/** Every layer, in the order of its channels where a configuration does not say. */
export const layerNames: readonly LayerName[] = ['messages', 'interaction', 'sync', 'sessions', 'keys'];

const channelsOf: Readonly<Record<Exclude<LayerName, 'messages'>, ChannelMap>> = {
  interaction: interactionChannels,
  sync: syncChannels,
  sessions: sessionChannels,
  keys: keysChannels,
};

/**
 * The channels of a listener with these layers: what its clients give as the option `channels` of `connect` and `Client.open`.
 *
 * @param layers in the order of the listener's.
 * @param channels those of its layer `messages`; one unreliable channel `default` of bytes by default, as there.
 * @throws HawserError ERR_HAWSER_ARGUMENT for a layer that is none or comes twice, and for a channel of the same name as one of a layer.
 */
export function gatewayChannels(
  layers: readonly LayerName[],
  channels: ChannelMap = defaultChannels,
): ChannelMap {
  const all = new Map<string, ChannelMap[string]>();
  const names = checkArray('layers', layers, 1, layerNames.length).map((layer, index) =>
    checkOneOf(`layers[${index}]`, layer, layerNames),
  );
  const twice = names.find((name, index) => names.indexOf(name) !== index);
  if (twice !== undefined) throw argumentError('layers', 'different layers', `'${twice}' twice`);
  for (const layer of names) {
    for (const [name, channel] of Object.entries(layer === 'messages' ? channels : channelsOf[layer])) {
      if (all.has(name))
        throw argumentError('channels', `of other names than those of the layers`, describe(name));
      all.set(name, channel);
    }
  }
  return Object.fromEntries(all);
}
