// The page: each part shows its share of every snapshot.

import { byId } from './lib/dom.js';
import { follow } from './lib/feed.js';
import { Series } from './lib/series.js';
import { makeActions } from './views/actions.js';
import { makeDrops } from './views/drops.js';
import { makeHeader } from './views/header.js';
import { makeHeatMap } from './views/heat-map.js';
import { makeInteraction } from './views/interaction.js';
import { makeKeys } from './views/keys.js';
import { makeListeners } from './views/listeners.js';
import { makePeerDialog } from './views/peer-dialog.js';
import { makePeers } from './views/peers.js';
import { makeSessions } from './views/sessions.js';
import { makeSync } from './views/sync.js';
import { makeTiles } from './views/tiles.js';

const series = new Series();
const header = makeHeader();
const tiles = makeTiles(byId('tiles', HTMLElement));
const heatMap = makeHeatMap(byId('rtt', HTMLElement), byId('rtt-now', HTMLElement));
const drops = makeDrops(byId('drops', HTMLElement), byId('drops-total', HTMLElement));
const layers = [makeSessions(), makeInteraction(), makeSync(), makeKeys()];
const parts = [header, drops, ...layers, makeListeners()];
let startedAtMs = 0;

makePeers(makePeerDialog());
makeActions().catch(() => {
  // Without an answer nothing is shown that a log-out could end; the banner says the rest.
});
follow({
  snapshot(snapshot) {
    if (startedAtMs !== 0 && startedAtMs !== snapshot.startedAtMs) {
      series.clear();
      drops.clear();
    }
    startedAtMs = snapshot.startedAtMs;
    for (const part of parts) part.show(snapshot);
  },
  samples(samples) {
    series.add(samples);
    tiles.show(series);
    heatMap.show(series);
  },
  connection: (isConnected) => header.connection(isConnected),
});
