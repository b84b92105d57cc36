// What is promised of the keys of a pair (docs/keys.md), as an outsider sees it: at the devices.

import { currentKey, liveKeys, type World } from './world.js';

/**
 * Watches a world from now on.
 *
 * @returns what was seen against the promise; empty when it was kept.
 */
export function watchPromise(world: World): string[] {
  const broken: string[] = [];
  /** In the order in which a device first sent under them. */
  const order: (string | null)[] = [null];
  world.time.onSettled = () => {
    const ofMaster = currentKey(world.master);
    const ofSlave = currentKey(world.slave);
    for (const keyId of [ofSlave, ofMaster]) if (!order.includes(keyId)) order.push(keyId);
    const where = `at ${world.time.nowMs} ms: master ${short(ofMaster)}, slave ${short(ofSlave)}`;
    if (order.indexOf(ofMaster) > order.indexOf(ofSlave)) broken.push(`${where}: the master is ahead`);
    if (ofMaster !== null && !liveKeys(world.slave).includes(ofMaster)) {
      broken.push(`${where}: the slave cannot receive`);
    }
    if (ofSlave !== null && !liveKeys(world.master).includes(ofSlave)) {
      broken.push(`${where}: the master cannot receive`);
    }
  };
  return broken;
}

function short(keyId: string | null): string {
  return keyId === null ? 'none' : keyId.slice(0, 8);
}
