// A server's sockets: one on the event loop, or one for each of its I/O threads, all on the same address. Each is a shard of the
// protocol with peers of its own, whose slots mean nothing to the others.

import type { ChannelMap, DefaultChannels } from './channels.js';
import type { SocketPlan } from './options.js';
import { type Peer, RecordStore } from './peer.js';
import { SlotTable } from './slot-table.js';
import { Socket, type SocketSink } from './socket.js';

/** The peers of a server. */
export interface PeerSet<C extends ChannelMap = DefaultChannels> extends Iterable<Peer<C>> {
  /** How many there are. */
  readonly size: number;
  /**
   * The peer that a descriptor of `onBatch` names; undefined when it has ended.
   *
   * @param shard the last argument of the batch listener; 0 by default, which is right unless the server has several `threads`.
   */
  at(slot: number, generation: number, shard?: number): Peer<C> | undefined;
}

/** One socket with what the server knows of its peers. */
export class Shard<C extends ChannelMap> {
  readonly peers: SlotTable<Peer<C>> = new SlotTable();
  readonly records: RecordStore = new RecordStore();
  readonly socket: Socket;

  /** @param sinkOf who takes its events; called before `socket` is there. */
  constructor(
    { native, settings }: SocketPlan,
    shard: number,
    first: Socket | undefined,
    sinkOf: (shard: Shard<C>) => SocketSink,
  ) {
    this.socket = new Socket({ ...native, shard }, settings, sinkOf(this), first);
  }
}

/** At least one. */
export type Shards<C extends ChannelMap> = readonly [Shard<C>, ...Shard<C>[]];

/** Opens all sockets of a server, or none. @throws HawserError as the constructor of `Socket`. */
export function openShards<C extends ChannelMap>(
  plan: SocketPlan,
  sinkOf: (shard: Shard<C>) => SocketSink,
): Shards<C> {
  const first = new Shard<C>(plan, 0, undefined, sinkOf);
  const shards: [Shard<C>, ...Shard<C>[]] = [first];
  try {
    while (shards.length < plan.native.shards) {
      shards.push(new Shard<C>(plan, shards.length, first.socket, sinkOf));
    }
  } catch (error) {
    for (const { socket } of shards) socket.close();
    throw error;
  }
  return shards;
}

/** The peers of all shards together. */
export class ShardedPeers<C extends ChannelMap> implements PeerSet<C> {
  readonly #shards: Shards<C>;

  constructor(shards: Shards<C>) {
    this.#shards = shards;
  }

  get size(): number {
    let size = 0;
    for (const { peers } of this.#shards) size += peers.size;
    return size;
  }

  at(slot: number, generation: number, shard = 0): Peer<C> | undefined {
    return this.#shards[shard]?.peers.at(slot, generation);
  }

  *[Symbol.iterator](): Generator<Peer<C>, void, undefined> {
    for (const { peers } of this.#shards) yield* peers;
  }
}
