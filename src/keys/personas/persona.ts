// A device persona: puts keys to use in one kind of device, as the personas of the original do.

import type { SecretBytes } from '../../base/secret-bytes.js';
import type { Role } from '../wire/messages.js';

/** For whom a persona acts. */
export interface PersonaContext {
  /** The SAE at the other end. */
  readonly peerSaeId: string;
  /** Of this SAE, in the session. */
  readonly role: Role;
  /** Undefined when the device is set up again after a restart. */
  readonly sessionId: string | undefined;
  /** Aborts when the time for the call is over: what is done afterwards counts as failed. */
  readonly signal: AbortSignal;
}

/** A key for a device. */
export interface DeviceKey {
  /** Its UUID. */
  readonly keyId: string;
  /** Valid until the promise of the call settles; a persona that keeps a copy wipes it with `deleteKey`. */
  readonly material: SecretBytes;
}

/** What a device says of itself. */
export interface DeviceStatus {
  /** Whether it can be reached. */
  readonly connected: boolean;
  /** For people, one line: the `service_status` of the cleanup. */
  readonly service: string;
  /** Where the device can tell: what it sends under, and what it can receive. */
  readonly currentKeyId?: string | null;
  /** What it can receive under, where it can tell. */
  readonly liveKeyIds?: readonly string[];
}

/**
 * The calls of one peer are made one at a time. Each may come again after it succeeded, failed, or was cut off by a crash, and then does
 * what is left to be done. A call fails by rejecting.
 */
export interface Persona {
  /** Which kind of device it is, in status and diagnostics. */
  readonly name: string;
  /**
   * Whether keys of this size suit the device, and whether what it was configured with does.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT.
   */
  validate(keySizeBits: number): void;
  /** From now on the device can receive under this key too. */
  preConfigure(key: DeviceKey, context: PersonaContext): Promise<void>;
  /** From now on the device sends under this key, which was preconfigured, and still receives under the others. Undefined: under none of ours, as before the first. */
  rotate(key: DeviceKey | undefined, context: PersonaContext): Promise<void>;
  /** The device forgets the key, which is not what it sends under. One that it does not have is deleted. */
  deleteKey(keyId: string, context: PersonaContext): Promise<void>;
  /** How the device stands. */
  status(context: PersonaContext): Promise<DeviceStatus>;
  /** Whether the device is within reach. */
  testConnection(context: PersonaContext): Promise<boolean>;
  /** Stops traffic with the peer until the next `rotate`: there is no key that may be used. Undefined where a device cannot. */
  failClosed?(context: PersonaContext): Promise<void>;
  /**
   * Has the persona tell of the first packet of a peer under a key, where the device can see that.
   *
   * @param seen called with the peer and the key.
   */
  onPeerUses?(seen: (peerSaeId: string, keyId: string) => void): void;
  /** Lets go of the device. Called once, when the SAE is closed. */
  close?(): Promise<void>;
}
