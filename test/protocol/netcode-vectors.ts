// The shape of test/vectors/netcode.json. Bytes are lower-case hex, 64-bit integers decimal strings.

import { readFileSync } from 'node:fs';

export interface NetcodeTokenVector {
  readonly kind: 'connect_token';
  readonly name: string;
  readonly client_id: string;
  readonly timeout: number;
  readonly create_timestamp: string;
  readonly expire_timestamp: string;
  readonly addresses: readonly string[];
  readonly private_offset: number;
  readonly associated_data: string;
  readonly private_plain: string;
  readonly private_encrypted: string;
  readonly token: string;
}

export interface NetcodePacketVector {
  readonly kind: 'packet';
  readonly name: string;
  readonly direction: 'c2s' | 's2c';
  readonly type: number;
  readonly sequence: string;
  readonly size: number;
  readonly plain: string;
  readonly wire: string;
  /** Of a REQUEST. */
  readonly uses_token?: string;
  /** Of a CHALLENGE and a RESPONSE. */
  readonly token_sequence?: string;
  readonly client_id?: string;
  /** Of a KEEP_ALIVE. */
  readonly client_index?: number;
  readonly max_clients?: number;
  /** Of a PAYLOAD. */
  readonly payload_pattern?: string;
}

interface Vectors {
  readonly inputs: {
    readonly protocol_id: string;
    readonly private_key: string;
    readonly client_to_server_key: string;
    readonly server_to_client_key: string;
    readonly challenge_key: string;
    readonly connect_token_nonce: string;
    readonly user_data: string;
    readonly version_info: string;
  };
  readonly vectors: readonly (NetcodeTokenVector | NetcodePacketVector)[];
}

const file = new URL('../vectors/netcode.json', import.meta.url);
const content: Vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors;

export const inputs: Vectors['inputs'] = content.inputs;
export const tokenVectors: readonly NetcodeTokenVector[] = content.vectors.filter(
  (vector) => vector.kind === 'connect_token',
);
export const packetVectors: readonly NetcodePacketVector[] = content.vectors.filter(
  (vector) => vector.kind === 'packet',
);

/** So that a kind that nobody reads does not go unnoticed. */
export const vectorCount: number = content.vectors.length;
