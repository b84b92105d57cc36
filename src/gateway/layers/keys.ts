// The layer `keys`: the SAE of the gateway, whose peers connect to its listeners. Its devices may be their very connections.

import type { Sae } from '../../keys/agent/sae.js';
import { type KeysChannels, serveKeys } from '../../keys/links/over-hawser.js';
import type { ChannelMap } from '../../transport/channels.js';
import type { PeerSecretUser, SecretSource } from '../../transport/key-update.js';
import type { Peer } from '../../transport/peer.js';
import type { Server } from '../../transport/server.js';
import type { SaeConfig } from '../sae/config.js';
import { type OpenSae, openSae } from '../sae/host.js';
import type { LayerSnapshots, RotationSnapshot } from '../snapshot.js';
import { EndedList } from '../view/ended-list.js';
import type { Layer, LayerContext } from './layer.js';

const mostShown = 100;

export class KeysLayer implements Layer {
  readonly #open: OpenSae;
  /** The ids of peers by the client ids of their tokens. */
  readonly #ids: ReadonlyMap<bigint, string>;
  readonly #saeOf: LayerContext['handlers']['saeOf'];
  readonly #ended = new EndedList<RotationSnapshot>(mostShown);

  /** @throws HawserError (rejects) as `openSae`. */
  static async open(config: SaeConfig, context: LayerContext): Promise<KeysLayer> {
    return new KeysLayer(config, await openSae(config, 'both'), context);
  }

  private constructor({ peers }: SaeConfig, open: OpenSae, { handlers, log }: LayerContext) {
    this.#open = open;
    this.#saeOf = handlers.saeOf;
    this.#ids = new Map(
      peers.flatMap(({ clientId, saeId }) => (clientId === undefined ? [] : [[clientId, saeId]])),
    );
    const { sae } = open;
    sae.on('rotation', ({ peerSaeId, sessionId, role, outcome }) => {
      this.#ended.add({ peerSaeId, sessionId, role, outcome, code: null, endedAtMs: Date.now() });
    });
    sae.on('rotationFailed', ({ peerSaeId, sessionId = null, role, outcome, code }) => {
      this.#ended.add({ peerSaeId, sessionId, role, outcome, code, endedAtMs: Date.now() });
    });
    sae.on('listenerError', (error, source) => {
      log.error({ err: error, layer: 'keys', source }, `${source} of the layer keys failed`);
    });
    sae.on('failure', ({ peerSaeId, source, error }) => {
      log.warn(
        { err: error, layer: 'keys', peer: peerSaeId, source },
        `the ${source} of the layer keys failed`,
      );
    });
  }

  get sae(): Sae {
    return this.#open.sae;
  }

  /** For the listeners with this layer: the secrets of key updates that peers begin. */
  readonly secretOf: SecretSource<PeerSecretUser> = (secretId, peer) => {
    const saeId = this.#ids.get(peer.clientId);
    const persona = saeId === undefined ? undefined : this.#open.devices.transportOf(saeId);
    return persona?.secretOf(secretId, peer);
  };

  serve(server: Server<ChannelMap>): void {
    const { sae, devices } = this.#open;
    for (const persona of devices.transports) {
      persona.serve(server, (peer) => {
        const saeId = this.#ids.get(peer.clientId);
        return saeId !== undefined && devices.transportOf(saeId) === persona ? saeId : undefined;
      });
    }
    // A listener with this layer declares its channel.
    const own = server as unknown as Server<ChannelMap & KeysChannels>;
    const saeOf = this.#saeOf ?? ((peer: Peer<ChannelMap>) => this.#knownOf(peer));
    serveKeys(own, sae, { saeOf: (peer) => saeOf(peer as never) });
  }

  snapshot(): NonNullable<LayerSnapshots['keys']> {
    return { ...this.sae.status(), ended: this.#ended.all() };
  }

  /** What is under way survives: it goes on after the next start. */
  drain(): Promise<void> {
    return Promise.resolve();
  }

  close(): Promise<void> {
    return this.#open.close();
  }

  #knownOf({ clientId }: Pick<Peer<ChannelMap>, 'clientId'>): string {
    const saeId = this.#ids.get(clientId);
    if (saeId !== undefined) return saeId;
    throw new Error(
      `a client with the id ${clientId}, which no peer of the configuration sae has, connected`,
    );
  }
}
