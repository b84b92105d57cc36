// All rows, in the order in which they run and are shown: those whose ids are fixed first.
import { row as broadcast } from './broadcast.mjs';
import { rows as connections } from './connections.mjs';
import { row as demo } from './demo.mjs';
import { cpu64, netcodeEcho } from './echo.mjs';
import { row as flood } from './flood.mjs';
import { rows as gateway } from './gateway.mjs';
import { row as snapshot } from './gateway-snapshot.mjs';
import { row as growth } from './growth.mjs';
import { row as handshakes } from './handshakes.mjs';
import { row as idle } from './idle-10k.mjs';
import { rows as keys } from './keys.mjs';
import { row as memory } from './memory.mjs';
import { row as memoryChannels } from './memory-channels.mjs';
import { row as million } from './million.mjs';
import { rows as messages } from './msgs.mjs';
import { rows as pathShares } from './path-shares.mjs';
import { rows as paths } from './paths.mjs';
import { row as pps } from './pps-10k.mjs';
import { rows as reconnect } from './reconnect.mjs';
import { rows as reliable } from './reliable.mjs';
import { rows as requests } from './requests.mjs';
import { row as rtt } from './rtt.mjs';
import { rows as sessions } from './sessions.mjs';
import { rows as sessionsCluster } from './sessions-cluster.mjs';
import { rows as simulated } from './simulated.mjs';
import { row as stall } from './stall.mjs';
import { rows as subscriptions } from './subscriptions.mjs';
import { rows as sync } from './sync.mjs';
import { row as syncChecksum } from './sync-checksum.mjs';
import { rows as syncQueue } from './sync-queue.mjs';

/** @type {readonly import('./row.mjs').Row[]} */
export const rows = [
  ...messages,
  pps,
  cpu64,
  rtt,
  ...reliable,
  handshakes,
  memory,
  idle,
  broadcast,
  growth,
  stall,
  flood,
  million,
  netcodeEcho,
  memoryChannels,
  ...connections,
  demo,
  ...requests,
  ...subscriptions,
  ...sync,
  syncChecksum,
  ...syncQueue,
  ...sessions,
  ...sessionsCluster,
  ...keys,
  ...gateway,
  snapshot,
  ...reconnect,
  ...simulated,
  ...paths,
  ...pathShares,
];
