// What a simulated network offers to sockets instead of the operating system. `hawser/testing` implements it.

import type { Address } from '../base/address.js';
import type { Clock } from '../base/clock.js';
import type { NativeEndpoint, NativeSimulation } from './native.js';

/** A network that `Server.listen` and `connect` take through their option `network`; see `SimulatedNetwork`. */
export interface Network {
  /** Time in this network. */
  readonly clock: Clock;
  /** The addon's side of it. */
  readonly native: NativeSimulation;
  /** A free address for a socket that asked for `address`, whose host may be a wildcard and whose port may be 0. */
  assignAddress(address: Address): Address;
  /** Bytes that are random to others and the same in each run with the same seed. */
  randomBytes(length: number): Uint8Array;
  /** A socket was opened at an address, `host:port`. */
  attach(endpoint: NativeEndpoint, address: string): void;
  /** A socket went over from one address to another. */
  moved(endpoint: NativeEndpoint, from: string, to: string): void;
}
