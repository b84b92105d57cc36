// A reliable, ordered data channel of node-datachannel.
import { channelDriver } from './data-channel.mjs';

export const driver = channelDriver(Number.POSITIVE_INFINITY);
