// The layer interaction: what controllers ask the devices for.

import { byId, setPairs } from '../lib/dom.js';
import { count } from '../lib/format.js';

/** @import { GatewaySnapshot } from '../../src/gateway/snapshot.js' */

export function makeInteraction() {
  const section = byId('interaction', HTMLElement);
  const facts = byId('interaction-facts', HTMLDListElement);
  return {
    /** @param {GatewaySnapshot} snapshot */
    show({ layers: { interaction } }) {
      section.hidden = interaction === undefined;
      if (interaction === undefined) return;
      const { connections, requests, errors, notifications } = interaction;
      setPairs(facts, [
        ['Connections', count(connections)],
        ['Requests answered', count(requests)],
        ['With another status than success', count(errors)],
        ['Notifications sent', count(notifications)],
      ]);
    },
  };
}
