// The envelopes of one SAE: one for each wire that a peer of it has.

import type { KeyObject } from 'node:crypto';
import type { Envelope } from '../wire/envelope.js';
import { HawserEnvelope } from '../wire/envelope-hawser.js';
import { SaeJsonEnvelope } from '../wire/envelope-sae-json.js';
import { PinnedKeys } from '../wire/pinned-keys.js';
import { SigningKey } from '../wire/signatures.js';
import type { SaeWire } from '../wire/wire-name.js';

interface Wire {
  readonly envelope: Envelope;
  readonly pinned: PinnedKeys;
}

export class Envelopes {
  readonly #saeId: string;
  readonly #keys: Readonly<Record<SaeWire, SigningKey>>;
  readonly #wires = new Map<SaeWire, Wire>();

  /** @throws HawserError ERR_HAWSER_ARGUMENT. */
  constructor(saeId: string, keys: Readonly<Record<SaeWire, KeyObject>>) {
    this.#saeId = saeId;
    const hawser = new SigningKey(keys.hawser);
    const isOne = keys.hawser === keys['sae-json'];
    this.#keys = { hawser, 'sae-json': isOne ? hawser : new SigningKey(keys['sae-json']) };
  }

  /** @returns undefined when no peer has that wire. */
  get(wire: SaeWire): Envelope | undefined {
    return this.#wires.get(wire)?.envelope;
  }

  /**
   * From now on messages of a peer may come.
   *
   * @throws HawserError ERR_HAWSER_ARGUMENT: a key that the wire has no use for, or that is ours or another peer's.
   */
  pin(peerSaeId: string, wire: SaeWire, publicKey: KeyObject): Envelope {
    const { envelope, pinned } = this.#wires.get(wire) ?? this.#make(wire);
    pinned.pin(peerSaeId, publicKey);
    return envelope;
  }

  /** From now on nothing of the peer is taken. */
  unpin(peerSaeId: string): void {
    for (const { pinned } of this.#wires.values()) pinned.unpin(peerSaeId);
  }

  /** Wipes the keys that it signs with. */
  close(): void {
    for (const key of Object.values(this.#keys)) key.close();
  }

  #make(wire: SaeWire): Wire {
    const key = this.#keys[wire];
    const pinned = new PinnedKeys(wire);
    // So that no peer has the same: its messages could be ours.
    pinned.pin(this.#saeId, key.publicKey);
    const envelope =
      wire === 'hawser'
        ? new HawserEnvelope(this.#saeId, key, pinned)
        : new SaeJsonEnvelope(this.#saeId, key, pinned);
    const made = { envelope, pinned };
    this.#wires.set(wire, made);
    return made;
  }
}
