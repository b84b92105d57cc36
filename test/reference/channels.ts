// Section 12 of docs/protocol.md for the reference implementation: what a session keeps of its channels. The user of this one
// takes every message at once, and nothing is paced.

import { type Bytes, require } from './bytes.js';
import type { Frame, Part } from './frames.js';
import { type ChannelDeclaration, channelMode, type Limits } from './hawser1.js';

/** What fits into a packet of 1,200 bytes beside the longest header of its frame. */
const longestPart = 1100;
const longestUnreliable = 1158;
const messageCost = 64n;

interface Unfinished {
  readonly data: Uint8Array;
  readonly present: Uint8Array;
  missing: number;
}

interface Complete {
  /** Nothing when it expired. */
  readonly data: Bytes | undefined;
  readonly length: number;
}

interface Credit {
  readonly first: bigint;
  limit: bigint;
  used: bigint;
  /** What the user took, and of it what a raised limit has given back. */
  taken: bigint;
  returned: bigint;
}

interface Channel {
  readonly mode: number;
  readonly maxMessageBytes: number;
  /** The number of the next message that is sent. */
  nextSent: bigint;
  readonly sent: Credit;
  readonly received: Credit;
  /** Sequenced: one above the newest that was delivered; else the oldest that is missing. */
  oldest: bigint;
  readonly unfinished: Map<bigint, Unfinished>;
  /** At or above `oldest`: complete or expired, perhaps delivered. */
  readonly complete: Map<bigint, Complete>;
}

function credit(first: number): Credit {
  return { first: BigInt(first), limit: BigInt(first), used: 0n, taken: 0n, returned: 0n };
}

export interface ChannelsOptions {
  readonly declared: readonly ChannelDeclaration[];
  /** The first limits that this side sets, and those that the other has set. */
  readonly own: Limits;
  readonly peer: Limits;
  readonly queue: (frame: Frame) => void;
}

export interface Delivered {
  readonly channel: number;
  readonly data: Bytes;
}

export class ReferenceChannels {
  readonly delivered: Delivered[] = [];
  outdated = 0;
  repeated = 0;
  readonly #channels: readonly Channel[];
  readonly #queue: (frame: Frame) => void;
  readonly #sent: Credit;
  readonly #received: Credit;

  constructor({ declared, own, peer, queue }: ChannelsOptions) {
    this.#queue = queue;
    this.#sent = credit(peer.credit);
    this.#received = credit(own.credit);
    this.#channels = declared.map(({ mode, maxMessageBytes }) => ({
      mode,
      maxMessageBytes,
      nextSent: 0n,
      sent: credit(peer.channelCredit),
      received: credit(own.channelCredit),
      oldest: 0n,
      unfinished: new Map(),
      complete: new Map(),
    }));
  }

  // ---- Sending -----------------------------------------------------------------------------------------------------

  /** Queues the frames of one message. */
  send(channel: number, data: Bytes): void {
    const state = this.#channels[channel];
    if (state === undefined) throw new Error(`channel ${channel} is not declared`);
    const longest = state.mode === channelMode.unreliable ? longestUnreliable : state.maxMessageBytes;
    if (data.length > longest) throw new Error(`a message of ${data.length} bytes`);
    if (state.mode === channelMode.unreliable) {
      this.#queue({ type: 'MESSAGE', channel, acknowledged: false, data, withLength: true });
      return;
    }
    const number = state.nextSent++;
    if (state.mode !== channelMode.sequenced) this.#spend(state, data.length);
    if (data.length > longestPart) {
      for (let offset = 0; offset < data.length; offset += longestPart)
        this.#sendPart(state, channel, number, data, offset);
    } else if (state.mode === channelMode.sequenced) {
      this.#queue({ type: 'SEQUENCED', channel, number, data, withLength: true });
    } else {
      this.#queue({ type: 'RELIABLE', channel, first: number, messages: [data], withLength: true });
    }
  }

  /** Whether the credit that the other side gave is enough for one more message of this length. */
  mayCarry(channel: number, length: number): boolean {
    const state = this.#channels[channel];
    if (state?.mode !== channelMode.reliable && state?.mode !== channelMode.reliableUnordered) return true;
    return [state.sent, this.#sent].every(({ used, limit }) => used + BigInt(length) + messageCost <= limit);
  }

  #spend(state: Channel, length: number): void {
    for (const each of [state.sent, this.#sent]) {
      each.used += BigInt(length) + messageCost;
      if (each.used > each.limit) throw new Error('a message beyond the credit');
    }
  }

  #sendPart(state: Channel, channel: number, number: bigint, data: Bytes, offset: number): void {
    const type = state.mode === channelMode.sequenced ? 'SEQUENCED' : 'FRAGMENT';
    const part = { total: data.length, offset };
    this.#queue({
      type,
      channel,
      number,
      part,
      data: data.slice(offset, offset + longestPart),
      withLength: true,
    });
  }

  // ---- Receiving ---------------------------------------------------------------------------------------------------

  /** @throws Refused when the frame breaks a rule. Frames that are not of channels are passed over. */
  take(frame: Frame): void {
    switch (frame.type) {
      case 'MESSAGE':
        this.#declared(frame.channel, channelMode.unreliable);
        this.delivered.push({ channel: frame.channel, data: frame.data });
        return;
      case 'SEQUENCED':
        this.#takeSequenced(frame.channel, frame.number, frame.data, frame.part);
        return;
      case 'RELIABLE':
        for (const [index, data] of frame.messages.entries()) {
          const part = { total: data.length, offset: 0 };
          this.#takeReliable(frame.channel, frame.first + BigInt(index), part, data);
        }
        return;
      case 'FRAGMENT':
        this.#takeReliable(frame.channel, frame.number, frame.part, frame.data);
        return;
      case 'EXPIRED':
        this.#takeReliable(frame.channel, frame.number, { total: frame.length, offset: 0 }, undefined);
        return;
      case 'CREDIT':
        if (frame.limit > this.#sent.limit) this.#sent.limit = frame.limit;
        return;
      case 'CHANNEL_CREDIT': {
        const { sent } = this.#declared(frame.channel, channelMode.reliable, channelMode.reliableUnordered);
        if (frame.limit > sent.limit) sent.limit = frame.limit;
        return;
      }
      default:
        return;
    }
  }

  #declared(channel: number, ...modes: readonly number[]): Channel {
    const state = this.#channels[channel];
    require(state !== undefined, 'a channel that is not declared');
    require(modes.includes(state.mode), 'a frame that does not belong to the mode of its channel');
    return state;
  }

  #takeSequenced(channel: number, number: bigint, data: Bytes, part: Part | undefined): void {
    const state = this.#declared(channel, channelMode.sequenced);
    const place = part ?? { total: data.length, offset: 0 };
    require(place.total <= state.maxMessageBytes, 'a message longer than the maximum of its channel');
    const [kept] = state.unfinished.keys();
    // A whole message needs no place beside the parts that are kept.
    if (number < state.oldest || (part !== undefined && kept !== undefined && number < kept)) {
      this.outdated++;
      return;
    }
    if (kept !== undefined && kept < number) {
      state.unfinished.delete(kept);
      this.outdated++;
    }
    const whole = this.#assemble(state, number, place, data);
    if (whole === undefined) return;
    state.oldest = number + 1n;
    this.delivered.push({ channel, data: whole });
  }

  #takeReliable(channel: number, number: bigint, part: Part, data: Bytes | undefined): void {
    const state = this.#declared(channel, channelMode.reliable, channelMode.reliableUnordered);
    const { total } = part;
    if (number < state.oldest || state.complete.has(number)) {
      this.repeated++;
      return;
    }
    require(total <= state.maxMessageBytes, 'a message longer than the maximum of its channel');
    const ahead = (number - state.oldest) * 64n;
    require(ahead <= state.received.first, 'a number further ahead than credit allows');
    if (!state.unfinished.has(number)) this.#charge(state, total);
    const whole =
      data === undefined ? this.#expire(state, number, total) : this.#assemble(state, number, part, data);
    if (data !== undefined && whole === undefined) return;
    state.complete.set(number, { data: whole, length: total });
    if (state.mode === channelMode.reliableUnordered) this.#deliver(state, channel, number);
    for (; state.complete.has(state.oldest); ++state.oldest) {
      if (state.mode === channelMode.reliable) this.#deliver(state, channel, state.oldest);
      state.complete.delete(state.oldest);
    }
  }

  #charge(state: Channel, length: number): void {
    for (const each of [state.received, this.#received]) {
      each.used += BigInt(length) + messageCost;
      require(each.used <= each.limit, 'more than the credit allows');
    }
  }

  /** The message, once it is whole. */
  #assemble(state: Channel, number: bigint, { total, offset }: Part, data: Bytes): Bytes | undefined {
    const known = state.unfinished.get(number) ?? {
      data: new Uint8Array(total),
      present: new Uint8Array(total),
      missing: total,
    };
    require(known.data.length === total, 'parts of one message with different totals');
    state.unfinished.set(number, known);
    for (const [index, byte] of data.entries()) {
      // The first bytes count.
      if (known.present[offset + index] === 1) continue;
      known.present[offset + index] = 1;
      known.data[offset + index] = byte;
      --known.missing;
    }
    if (known.missing > 0) return undefined;
    state.unfinished.delete(number);
    return known.data;
  }

  #expire(state: Channel, number: bigint, total: number): undefined {
    const known = state.unfinished.get(number);
    require(known === undefined || known.data.length === total, 'EXPIRED with another length');
    state.unfinished.delete(number);
  }

  #deliver(state: Channel, channel: number, number: bigint): void {
    const { data, length } = state.complete.get(number) ?? { data: undefined, length: 0 };
    if (data !== undefined) this.delivered.push({ channel, data });
    for (const each of [state.received, this.#received]) {
      each.taken += BigInt(length) + messageCost;
      if ((each.taken - each.returned) * 4n < each.first) continue;
      each.returned = each.taken;
      each.limit = each.first + each.taken;
      if (each === this.#received) this.#queue({ type: 'CREDIT', limit: each.limit });
      else this.#queue({ type: 'CHANNEL_CREDIT', channel, limit: each.limit, ahead: each.first / 64n });
    }
  }
}
