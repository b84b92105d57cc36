// What connections of netcode 1.02 cannot do, and the errors that say so.

import { argumentError } from '../base/check.js';
import { HawserError } from '../base/errors.js';
import type { ChannelEntry, ChannelTable } from './channels.js';

/** The longest payload of the format. */
export const netcodeMessageBytes = 1200;

/** The error of something that is not in the format. @param what completes "netcode ...". */
export function netcodeLacks(what: string): HawserError {
  return new HawserError('ERR_HAWSER_WIRE', `netcode ${what}`);
}

/** @throws HawserError ERR_HAWSER_WIRE unless it is the channel that the payloads of netcode go to. */
export function checkNetcodeChannel({ firstUnreliable }: ChannelTable, channel: ChannelEntry): void {
  if (channel === firstUnreliable) return;
  const advice =
    firstUnreliable === undefined
      ? 'declare an unreliable channel for it'
      : `use '${firstUnreliable.name}', the first unreliable one`;
  throw netcodeLacks(`cannot carry the channel '${channel.name}': it has one kind of message; ${advice}`);
}

/** @throws HawserError ERR_HAWSER_ARGUMENT when it is empty. How long it is, is checked with all other messages. */
export function checkNetcodeMessage(data: Uint8Array): void {
  if (data instanceof Uint8Array && data.length === 0)
    throw argumentError('a message to a netcode connection', '1 to 1,200 bytes', '0');
}
