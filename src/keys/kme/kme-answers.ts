// What a development KME answers.

import type { FaultKind, KmeFault } from './faults.js';
import { writeKeyContainer } from './key-container-writer.js';
import type { DeliveredKey } from './key-source.js';
import { RequestRefusal } from './kme-requests.js';
import type { KmeServerSettings } from './kme-server-options.js';

/** A body that no client should take. */
const tooLongBytes = 1_100_000;

/** An answer, whose bytes are overwritten once they are sent. */
export interface Answer {
  readonly status: number;
  readonly body: Buffer;
  /** How many keys are in it, or were to be. */
  readonly keys: number;
  readonly message: string;
  readonly allow?: string;
}

/** Clause 6.1 of ETSI GS QKD 014 V1.1.1. */
export function statusAnswer(
  { kmeId, targetKmeId, pool }: KmeServerSettings,
  { saeId, peerSaeId }: { readonly saeId: string; readonly peerSaeId: string },
): Answer {
  const status = {
    source_KME_ID: kmeId,
    target_KME_ID: targetKmeId,
    master_SAE_ID: saeId,
    slave_SAE_ID: peerSaeId,
    key_size: pool.limits.keySizeBits,
    stored_key_count: pool.stored,
    max_key_count: pool.limits.capacity,
    max_key_per_request: pool.limits.maxKeysPerRequest,
    max_key_size: pool.limits.maxKeySizeBits,
    min_key_size: pool.limits.minKeySizeBits,
    max_SAE_ID_count: pool.limits.maxSaeIdCount,
  };
  return { status: 200, body: Buffer.from(JSON.stringify(status)), keys: 0, message: '' };
}

/** The keys, in the shape of clause 6.3, with what the faults do to it. */
export function containerAnswer(
  keys: readonly DeliveredKey[],
  struck: ReadonlyMap<FaultKind, KmeFault>,
): Answer {
  const body = writeKeyContainer(keys, (kind) => struck.has(kind));
  return { status: 200, body, keys: keys.length, message: '' };
}

/** A refusal as itself; anything else is a failure of the KME. */
export function errorAnswer(error: unknown): Answer {
  const refusal = error instanceof RequestRefusal ? error : new RequestRefusal(503, 'the KME failed');
  const { status, message, allow } = refusal;
  const body = Buffer.from(JSON.stringify({ message }));
  return { status, body, keys: 0, message, ...(allow !== undefined && { allow }) };
}

/** The body as it is sent: another one where a fault has it so. */
export function spoil(body: Buffer, struck: ReadonlyMap<FaultKind, KmeFault>): Buffer {
  if (struck.has('garbage')) return Buffer.from('<p>not found</p>');
  if (struck.has('too-long')) return Buffer.alloc(tooLongBytes, ' ');
  return body;
}
