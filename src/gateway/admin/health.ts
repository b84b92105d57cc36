// Whether a gateway lives, and whether it should be given clients.

import type { ObservedGateway } from '../observed-gateway.js';
import type { Answer } from './answer.js';
import { json } from './answer.js';
import type { SnapshotFeed } from './snapshot-feed.js';

/** The process answers: that is all there is to it. */
export function liveness(): Answer {
  return json(200, { status: 'ok' });
}

/** 200 for a gateway that runs and whose store serves; 503 and why not for another. */
export function readiness(gateway: ObservedGateway, feed: SnapshotFeed): Answer {
  const status = readinessOf(gateway, feed);
  return json(status === 'ready' ? 200 : 503, { status });
}

function readinessOf({ state }: ObservedGateway, feed: SnapshotFeed): string {
  if (state !== 'RUNNING') return state.toLowerCase();
  const { sessions } = feed.current().snapshot.layers;
  if (sessions === undefined) return 'ready';
  if (!sessions.leaseValid) return 'no lease';
  // Of a cluster with a leader the others serve nobody, but tell everybody where it is.
  return sessions.serving || sessions.cluster === 'leader' ? 'ready' : 'not serving';
}
