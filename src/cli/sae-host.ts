// An SAE as `hawser sae` runs it: with the ways to its peers.

import type { SaeConfig } from '../gateway/sae/config.js';
import { openSae } from '../gateway/sae/host.js';
import type { PeerRole } from '../keys/agent/peer-options.js';
import type { Sae } from '../keys/agent/sae.js';
import { type LinkOptions, SaeLinks } from './sae-links.js';

/** How an SAE is run. */
export interface SaeHostOptions extends LinkOptions {
  /** What it is towards peers for which the configuration does not say. */
  readonly role: PeerRole;
  /** Called before anything is done with a peer: for the events of the SAE. */
  readonly opened?: (sae: Sae) => void;
}

/** An SAE that runs. */
export interface SaeHost {
  readonly sae: Sae;
  readonly links: SaeLinks;
  /** Where peers connect to; undefined where none do. */
  readonly address: string | undefined;
  /** Ends connections, closes the store, wipes keys. */
  close(): Promise<void>;
}

/**
 * Opens what the configuration names, then the SAE, then the ways to its peers.
 *
 * @throws CommandError, HawserError (rejects); what was opened is closed.
 */
export async function openSaeHost(config: SaeConfig, options: SaeHostOptions): Promise<SaeHost> {
  const { sae, devices, close: closeSae } = await openSae(config, options.role);
  options.opened?.(sae);
  const close = async (): Promise<void> => {
    await links?.close();
    await closeSae();
  };
  let links: SaeLinks | undefined;
  try {
    links = await SaeLinks.open(config, sae, devices, options);
  } catch (error) {
    await close();
    throw error;
  }
  return { sae, links, address: links.address, close };
}
