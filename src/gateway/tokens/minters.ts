// The tokens that a gateway gives to whoever asks.

import type { Wire } from '../../base/wire.js';
import { createTokenMinter } from '../../token/mint.js';
import { createNetcodeTokenMinter } from '../../token/netcode-mint.js';
import { encodeNetcodeToken } from '../../token/netcode-open.js';
import { encodeToken } from '../../token/open.js';
import type { ServerKey } from '../../token/server-key.js';
import type { GatewayListener } from '../listener.js';
import type { NetcodeTokens } from './netcode-tokens.js';
import type { Minters, MintText } from './token-endpoint.js';

const maxAddresses = 32;
/** Clients with a session notice within this time that their gateway is gone. */
const sessionTimeoutMs = 5000;

/** What tokens are made from. */
export interface MintingOptions {
  readonly listeners: readonly GatewayListener[];
  readonly key: ServerKey;
  readonly netcodeOf: (listener: GatewayListener) => NetcodeTokens | undefined;
  /** Where clients with sessions may go. */
  readonly sessionAddresses: (limit: number) => readonly string[];
}

/** What makes tokens for each listener, in their order. */
export async function makeMinters(options: MintingOptions): Promise<Minters> {
  const minters = new Map<string, ReadonlyMap<Wire, MintText>>();
  for (const listener of options.listeners) minters.set(listener.name, await mintersOf(listener, options));
  return minters;
}

async function mintersOf(
  listener: GatewayListener,
  { key, netcodeOf, sessionAddresses }: MintingOptions,
): Promise<ReadonlyMap<Wire, MintText>> {
  const { server, plan } = listener;
  const own = server.publicAddresses.slice(0, maxAddresses);
  const common = { protocolId: server.protocolId, key, addresses: own };
  const minters = new Map<Wire, MintText>();
  if (plan.wires.includes('hawser')) {
    const hasSessions = plan.layers.includes('sessions');
    const minter = await createTokenMinter({
      ...common,
      ...(hasSessions && { timeoutMs: sessionTimeoutMs }),
    });
    minters.set('hawser', (client) => {
      const addresses = hasSessions ? sessionAddresses(maxAddresses) : own;
      return encodeToken(minter.mint({ ...client, addresses }));
    });
  }
  const netcode = netcodeOf(listener);
  if (netcode !== undefined) {
    const minter = await createNetcodeTokenMinter({
      ...common,
      lifetimeMs: netcode.tokenLifetimeMs,
      // Its own tokens are new, whatever the time: they count within a second of the start.
      now: () => Math.max(Date.now(), netcode.tokensFromMs ?? 0),
    });
    minters.set('netcode', (client) => encodeNetcodeToken(minter.mint(client)));
  }
  return minters;
}
