// The shape of docs/protocol-vectors.json, as far as the tests read it. Bytes are lower-case hex, u64 and varints decimal
// strings; native/tools/protocol_vectors.cpp prints the file.

import { readFileSync } from 'node:fs';

export interface Invalid {
  readonly name: string;
  readonly reason: string;
}

export interface AddressVector {
  readonly family: 4 | 6;
  readonly ip: string;
  readonly port: number;
}

export interface TokenVector {
  readonly name: string;
  readonly serverKey: string;
  readonly protocolId: string;
  readonly keyId: number;
  readonly singleUse: boolean;
  readonly createTime: string;
  readonly expireTime: string;
  readonly nonce: string;
  readonly clientId: string;
  readonly timeoutMs: number;
  readonly addresses: readonly AddressVector[];
  readonly clientToServerKey: string;
  readonly serverToClientKey: string;
  readonly userData: string;
  readonly privatePlaintext: string;
  readonly associatedData: string;
  readonly sealedPrivate: string;
  readonly token: string;
  readonly base64url: string;
  readonly tokenId: string;
  readonly handshakeKeys: Readonly<Record<'challenge' | 'denied' | 'accept' | 'response', string>>;
}

export interface InvalidPrivate extends Invalid {
  readonly serverKey: string;
  readonly associatedData: string;
  readonly nonce: string;
  readonly sealedPrivate: string;
}

export interface SealedVector {
  readonly nonce: string;
  readonly associatedData: string;
  readonly plaintext: string;
  readonly datagram: string;
}

interface BodyVector extends SealedVector {
  readonly features: number;
  readonly connectionId: string;
  readonly maxDatagram: number;
  readonly credit: number;
  readonly channelCredit: number;
}

export interface ChannelsVector {
  readonly name: string;
  readonly channels: readonly {
    readonly mode: number;
    readonly maxMessageBytes: number;
    readonly name: string;
    readonly codec: string;
  }[];
  readonly input: string;
  readonly digest: string;
}

export interface HandshakeVector {
  readonly name: string;
  readonly token: number;
  readonly clientSecret: string;
  readonly clientShare: string;
  readonly serverSecret: string;
  readonly serverShare: string;
  readonly request: string;
  readonly cookie: {
    readonly key: string;
    readonly time: number;
    readonly index: number;
    readonly source: AddressVector & { readonly scopeId: number };
    readonly mac: string;
    readonly cookie: string;
  };
  readonly challenge: SealedVector;
  readonly response: BodyVector & { readonly channels: string };
  readonly accept: BodyVector & {
    readonly responseHash: string;
    readonly random: string;
    readonly resetToken: string;
  };
  readonly denied: SealedVector & { readonly reason: number };
  readonly reset: {
    readonly resetKey: string;
    readonly connectionId: string;
    readonly resetToken: string;
    readonly datagram: string;
  };
  readonly keySchedule: {
    readonly clientToServerKey: string;
    readonly serverToClientKey: string;
    readonly x25519: string;
    readonly acceptRandom: string;
    readonly transcriptHash: string;
    readonly prk: string;
    readonly trafficKeys: readonly {
      readonly direction: 0 | 1;
      readonly epoch: number;
      readonly key: string;
      readonly salt: string;
    }[];
    readonly exporter: string;
    readonly exported: readonly { readonly label: string; readonly key: string }[];
  };
}

export interface InvalidDatagram extends Invalid {
  readonly kind: 'request' | 'challenge' | 'response' | 'accept' | 'denied' | 'reset';
  readonly handshake: number;
  readonly datagram: string;
}

interface PacketPlace {
  readonly handshake: number;
  readonly direction: 0 | 1;
  readonly epoch: number;
  readonly packetNumber: string;
  readonly datagram: string;
}

export interface PacketVector extends PacketPlace {
  readonly name: string;
  readonly connectionId: string;
  readonly key: string;
  readonly salt: string;
  readonly nonce: string;
  readonly header: string;
  readonly payload: string;
}

export interface InvalidPacket extends PacketPlace, Invalid {
  readonly connectionIdLength: number;
}

export interface FrameVector {
  readonly type: string;
  readonly fields: Readonly<Record<string, unknown>>;
}

export interface PayloadVector {
  readonly name: string;
  readonly payload: string;
  readonly frames: readonly FrameVector[];
}

export interface Vectors {
  readonly varints: {
    readonly valid: readonly { readonly value: string; readonly bytes: string; readonly shortest: boolean }[];
    readonly invalid: readonly (Invalid & { readonly bytes: string })[];
  };
  readonly addresses: {
    readonly valid: readonly (AddressVector & { readonly bytes: string })[];
    readonly invalid: readonly (Invalid & { readonly bytes: string })[];
  };
  readonly channels: readonly ChannelsVector[];
  readonly tokens: {
    readonly valid: readonly TokenVector[];
    readonly invalidPublic: readonly (Invalid & { readonly token: string })[];
    readonly invalidPrivate: readonly InvalidPrivate[];
  };
  readonly handshakes: {
    readonly valid: readonly HandshakeVector[];
    readonly invalid: readonly InvalidDatagram[];
  };
  readonly sessionPackets: {
    readonly valid: readonly PacketVector[];
    readonly invalid: readonly InvalidPacket[];
  };
  readonly packetNumbers: readonly {
    readonly expected: string;
    readonly truncated: number;
    readonly packetNumber: string;
  }[];
  readonly frames: {
    readonly valid: readonly PayloadVector[];
    readonly validNotShortest: readonly PayloadVector[];
    readonly invalid: readonly (Invalid & { readonly payload: string })[];
  };
}

const file = new URL('../../docs/protocol-vectors.json', import.meta.url);

export const vectors: Vectors = JSON.parse(readFileSync(file, 'utf8')) as Vectors;
