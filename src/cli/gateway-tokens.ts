// The tokens that `hawser gateway` gives to whoever asks.

import type { Wire } from '../base/wire.js';
import { createTokenMinter } from '../token/mint.js';
import { createNetcodeTokenMinter } from '../token/netcode-mint.js';
import { encodeNetcodeToken } from '../token/netcode-open.js';
import { encodeToken } from '../token/open.js';
import type { Announced } from './gateway-announcement.js';
import type { MintText } from './http.js';

const maxAddresses = 32;
/** Clients with a session notice within this time that their gateway is gone. */
const sessionTimeoutMs = 5000;

/** What makes tokens, for each wire format that is spoken. */
export async function mintersOf(
  { server, wires, key, netcode, sessions }: Announced,
  tokensFrom: number | undefined,
): Promise<ReadonlyMap<Wire, MintText>> {
  const own = server.publicAddresses.slice(0, maxAddresses);
  const common = { protocolId: server.protocolId, key, addresses: own };
  const minters = new Map<Wire, MintText>();
  if (wires.includes('hawser')) {
    const minter = await createTokenMinter({
      ...common,
      ...(sessions === undefined ? {} : { timeoutMs: sessionTimeoutMs }),
    });
    minters.set('hawser', (client) => {
      const addresses = sessions?.addresses(maxAddresses) ?? own;
      return encodeToken(minter.mint({ ...client, addresses }));
    });
  }
  if (netcode !== undefined) {
    const minter = await createNetcodeTokenMinter({
      ...common,
      lifetimeMs: netcode.tokenLifetimeMs,
      // Its own tokens are new, whatever the time: they count within a second of the start.
      now: () => Math.max(Date.now(), tokensFrom ?? 0),
    });
    minters.set('netcode', (client) => encodeNetcodeToken(minter.mint(client)));
  }
  return minters;
}
