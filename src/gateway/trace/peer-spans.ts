// A span for each connection of a peer, made when it has ended: nothing is kept for those that last but when they began.

import type { PeerConnectMessage, PeerDisconnectMessage } from '../../transport/diagnostics.js';
import type { SpanMaker } from './span-maker.js';

/** Ends that nobody has to look into. */
const usual: ReadonlySet<string> = new Set(['disconnected', 'closed']);

export class PeerSpans {
  readonly #maker: SpanMaker;
  /** Unix milliseconds. */
  readonly #began = new WeakMap<PeerConnectMessage['peer'], number>();

  constructor(maker: SpanMaker) {
    this.#maker = maker;
  }

  connected(peer: PeerConnectMessage['peer']): void {
    this.#began.set(peer, Date.now());
  }

  /** Of one that was connected before anybody listened there is no span. */
  disconnected({ address, peer, info }: PeerDisconnectMessage): void {
    const beganMs = this.#began.get(peer);
    if (beganMs === undefined) return;
    const { result, code } = info;
    this.#maker.over({
      name: 'hawser.transport.connection',
      kind: 'server',
      attributes: {
        'server.address': address,
        'client.address': peer.address,
        'hawser.client.id': String(peer.clientId),
        'hawser.result': result,
        'hawser.disconnect.code': code,
      },
      durationMs: Date.now() - beganMs,
      error: usual.has(result) ? undefined : result,
    });
  }
}
