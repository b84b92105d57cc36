// Spans of OpenTelemetry, made from the channels of node:diagnostics_channel and nothing else: without a tracer nothing is instrumented.

import { checkBoolean, checkOptions } from '../../base/check.js';
import { listenTo } from '../../base/diagnostics.js';
import { loadOpenTelemetry } from '../../base/open-telemetry.js';
import { diagnostics as interaction } from '../../interaction/diagnostics.js';
import { diagnostics as keys } from '../../keys/agent/diagnostics.js';
import { kmeChannel } from '../../keys/kme/diagnostics.js';
import { diagnostics as sessions } from '../../sessions/server/diagnostics.js';
import { diagnostics as sync } from '../../sync/manager/diagnostics.js';
import { channels as transport } from '../../transport/diagnostics.js';
import { diagnostics as gateway } from '../diagnostics.js';
import { PeerSpans } from './peer-spans.js';
import { RotationSpans } from './rotation-spans.js';
import { SpanMaker } from './span-maker.js';
import * as spans from './spans.js';

/** Options of {@link traceHawser}. */
export interface TraceOptions {
  /** Whether each connection of a peer is a span, made when it has ended. Such spans last for hours; false by default. */
  readonly connections?: boolean;
  /** Whether each request of the interaction layer is a span. True by default. */
  readonly interaction?: boolean;
}

/**
 * Traces what this process does with the package: requests of sessions, interactions, sync sessions, key rotations with their device calls, requests
 * to KMEs, reloads and drains, by the global tracer provider, whose sampler decides which of them are kept.
 *
 * The protocols have no place for the context of a trace: a span is the first of its trace, but for the device calls of a rotation.
 *
 * @returns a promise of what ends it.
 * @throws HawserError (rejects) ERR_HAWSER_PACKAGE_MISSING without the package `@opentelemetry/api`; ERR_HAWSER_ARGUMENT.
 */
export async function traceHawser(options: TraceOptions = {}): Promise<Disposable> {
  checkOptions('options', options, ['connections', 'interaction']);
  const hasConnections = checkBoolean('connections', options.connections ?? false);
  const hasInteraction = checkBoolean('interaction', options.interaction ?? true);
  const maker = new SpanMaker(await loadOpenTelemetry());
  const rotations = new RotationSpans(maker);
  const peers = new PeerSpans(maker);
  const ends = [
    listenTo(sessions.request, (message) => maker.over(spans.ofSessionRequest(message))),
    listenTo(sessions.query, (message) => maker.over(spans.ofSessionQuery(message))),
    listenTo(sync.end, (message) => maker.over(spans.ofSync(message))),
    listenTo(keys.transition, (message) => rotations.transition(message)),
    listenTo(keys.device, (message) => rotations.device(message)),
    listenTo(kmeChannel, (message) => maker.over(spans.ofKme(message))),
    listenTo(gateway.reload, (message) => maker.over(spans.ofReload(message))),
    listenTo(gateway.drain, (message) => maker.over(spans.ofDrain(message))),
  ];
  if (hasInteraction) {
    ends.push(listenTo(interaction.request, (message) => maker.over(spans.ofInteraction(message))));
  }
  if (hasConnections) {
    ends.push(
      listenTo(transport.peerConnect, ({ peer }) => peers.connected(peer)),
      listenTo(transport.peerDisconnect, (message) => peers.disconnected(message)),
    );
  }
  return {
    [Symbol.dispose]: () => {
      for (const end of ends.splice(0)) end();
      rotations.end();
    },
  };
}
