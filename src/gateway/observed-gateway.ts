// What the parts that show or steer a running gateway know of it: control socket, admin server, metrics. `Gateway` is one.

import type { Capture, CaptureOptions } from './capture/capture.js';
import type {
  GatewaySnapshot,
  GatewayState,
  PeerDetail,
  PeersPage,
  PeersQuery,
  SessionsPage,
} from './snapshot.js';

/** What a reload changed. */
export interface ReloadReport {
  /** Ids of the server keys that are in use now, the first of them for new tokens. */
  readonly keyIds: readonly number[];
  /** What was changed, as the configuration names it: `limits.maxPeers`. */
  readonly changed: readonly string[];
  /** What differs in the file, too, but takes a restart. */
  readonly needRestart: readonly string[];
}

/** A gateway, seen from its operators' side. */
export interface ObservedGateway {
  /** Its name, as the configuration says. */
  readonly name: string;
  /** Where it stands now. */
  readonly state: GatewayState;
  /** What it says of itself now. */
  snapshot(): GatewaySnapshot;
  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  peers(query?: PeersQuery): PeersPage;
  /** @returns undefined for one that is not connected. */
  peer(id: string): PeerDetail | undefined;
  /** @returns undefined without the layer `sessions`. @throws HawserError ERR_HAWSER_ARGUMENT. */
  sessions(query?: Pick<PeersQuery, 'search' | 'limit' | 'offset'>): SessionsPage | undefined;
  /** Reads the configuration again and applies what can be applied. @throws HawserError (rejects) ERR_HAWSER_CONFIG: nothing has changed then. */
  reload(): Promise<ReloadReport>;
  /** Begins to drain; resolves when the gateway has stopped. */
  drain(): Promise<void>;
  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  capture(options: CaptureOptions): Capture;
}
