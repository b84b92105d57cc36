// One UDP address of a gateway, with who is connected there and since when.

import type { Wire } from '../base/wire.js';
import type { ChannelMap } from '../transport/channels.js';
import { statusCell } from '../transport/native.js';
import type { Peer } from '../transport/peer.js';
import { figuresOf } from '../transport/peer-figures.js';
import type { Server } from '../transport/server.js';
import type { ListenerPlan } from './plan.js';
import type { Distribution, ListenerSnapshot } from './snapshot.js';
import { distributionOf } from './view/distribution.js';

/** In milliseconds. */
const rttBounds = [1, 2, 5, 10, 20, 50, 100, 200, 500, 1000, 2000];
const sampleMs = 1000;

export class GatewayListener {
  readonly plan: ListenerPlan;
  readonly server: Server<ChannelMap>;
  /** When each peer connected, in Unix milliseconds: the first came first. */
  readonly connectedAtMs: ReadonlyMap<Peer<ChannelMap>, number>;
  readonly #byWire: Record<Wire, number> = { hawser: 0, netcode: 0 };
  #rtt: Distribution | undefined;
  #rttSampledMs = Number.NEGATIVE_INFINITY;

  constructor(plan: ListenerPlan, server: Server<ChannelMap>) {
    this.plan = plan;
    this.server = server;
    const connectedAtMs = new Map<Peer<ChannelMap>, number>();
    this.connectedAtMs = connectedAtMs;
    server.on('connect', (peer) => {
      connectedAtMs.set(peer, Date.now());
      ++this.#byWire[peer.wire];
    });
    server.on('disconnect', (peer) => {
      if (connectedAtMs.delete(peer)) --this.#byWire[peer.wire];
    });
  }

  get name(): string {
    return this.plan.name;
  }

  /** @param maxPeers as it is now. */
  snapshot(maxPeers: number): ListenerSnapshot {
    const { server } = this;
    const { wires, layers, options } = this.plan;
    const { driver = 'loop', threads = 1 } = options;
    return {
      ...server.stats,
      name: this.name,
      address: server.address,
      publicAddresses: server.publicAddresses,
      wires,
      layers,
      driver,
      threads: driver === 'threads' ? threads : 0,
      peers: server.peers.size,
      peersByWire: { ...this.#byWire },
      maxPeers,
      memoryBytes: server.memoryBytes,
      rttMs: this.#rttMs(),
    };
  }

  /** At most one pass over all peers in a second, whoever asks how often. */
  #rttMs(): Distribution {
    const nowMs = performance.now();
    if (this.#rtt === undefined || nowMs - this.#rttSampledMs >= sampleMs) {
      const all = figuresOf([...this.connectedAtMs.keys()], statusCell.roundTrip);
      // Those of netcode, and those that are not measured yet, have none.
      this.#rtt = distributionOf(
        rttBounds,
        all.filter((rttMs) => rttMs > 0),
      );
      this.#rttSampledMs = nowMs;
    }
    return this.#rtt;
  }
}
