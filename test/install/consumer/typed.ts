// What the compiler of a user sees: each entry point, and types that come out as they should.

import { type ChannelMap, type Connection, connect, type HawserError, Server } from 'hawser';
import type * as gateway from 'hawser/gateway';
import type * as interaction from 'hawser/interaction';
import type * as keys from 'hawser/keys';
import type * as sessions from 'hawser/sessions';
import type * as sync from 'hawser/sync';
import type * as testing from 'hawser/testing';
import { encodeToken, generateKey, mintToken } from 'hawser/token';

export type All = [
  typeof gateway,
  typeof interaction,
  typeof keys,
  typeof sessions,
  typeof sync,
  typeof testing,
];

export async function use(): Promise<string> {
  const key = generateKey();
  await using server = await Server.listen({ address: '127.0.0.1:0', protocolId: 1n, keys: [key] });
  server.on('message', (peer, data) => {
    const bytes: Uint8Array = data;
    const id: bigint = peer.clientId;
    peer.send(bytes.subarray(Number(id)));
  });
  // @ts-expect-error a protocol id is a bigint
  await Server.listen({ address: '127.0.0.1:0', protocolId: 1, keys: [key] });
  const token = await mintToken({ protocolId: 1n, key, clientId: 42n, addresses: server.publicAddresses });
  const connection: Connection = await connect(encodeToken(token));
  await connection.close();
  return encodeToken(token);
}

export function codeOf(error: HawserError): string {
  // @ts-expect-error not one of the codes
  if (error.code === 'ERR_HAWSER_NOTHING') return '';
  return error.code;
}

export type { ChannelMap };
