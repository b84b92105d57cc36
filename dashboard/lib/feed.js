// The stream of snapshots, and whether it flows.

import { get } from './api.js';

/** @import { GatewaySnapshot } from '../../src/gateway/snapshot.js' */
/** @import { Sample } from '../../src/gateway/admin/samples.js' */

/**
 * @typedef {object} FeedListener
 * @property {(snapshot: GatewaySnapshot) => void} snapshot
 * @property {(samples: readonly Sample[]) => void} samples the oldest first; some may have come before
 * @property {(isConnected: boolean) => void} connection
 */

/** After so long without a snapshot the connection counts as lost, whatever the browser thinks. */
const silenceMs = 5000;
const retryMs = 2000;

/**
 * Follows the gateway for as long as the page is there.
 *
 * @param {FeedListener} listener
 */
export function follow(listener) {
  /** @type {EventSource | undefined} */
  let source;
  let heardMs = Date.now();
  let isConnected = true;

  /** @param {boolean} is */
  const tell = (is) => {
    if (is !== isConnected) listener.connection(is);
    isConnected = is;
  };

  const open = () => {
    source?.close();
    heardMs = Date.now();
    source = new EventSource('/api/stream');
    source.addEventListener('message', ({ data }) => {
      heardMs = Date.now();
      tell(true);
      listener.snapshot(JSON.parse(data));
    });
    source.addEventListener('sample', ({ data }) => listener.samples([JSON.parse(data)]));
    source.addEventListener('open', () => void catchUp());
    source.addEventListener('error', () => tell(false));
  };

  const catchUp = async () => {
    try {
      listener.samples(await get('/api/history'));
    } catch {
      // The lines begin a little later then.
    }
  };

  const look = async () => {
    const isClosed = source?.readyState === EventSource.CLOSED;
    if (!isClosed && Date.now() - heardMs < silenceMs) return;
    tell(false);
    try {
      // Leaves for the login when that is what is missing; an EventSource cannot tell.
      await get('/api/access');
      open();
    } catch {
      // It is asked again in a moment.
    }
  };

  open();
  setInterval(() => void look(), retryMs);
}
