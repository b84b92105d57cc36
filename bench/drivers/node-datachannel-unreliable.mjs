// A data channel of node-datachannel that neither repeats nor orders.
import { channelDriver } from './data-channel.mjs';

export const driver = channelDriver(1024, { unordered: true, maxRetransmits: 0 });
