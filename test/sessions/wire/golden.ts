// Frames of the original implementations (test/vectors/sessions/golden.json).

import { readFileSync } from 'node:fs';
import type { ClientMessage, ServerMessage } from '../../../src/sessions/wire/messages.js';
import { fromHex } from '../../reference/bytes.js';

interface Frame<Message> {
  readonly name: string;
  readonly bytes: Uint8Array;
  readonly message: Message;
}

interface Vector {
  readonly name: string;
  readonly from: 'client' | 'server';
  readonly hex: string;
  readonly message: Readonly<Record<string, unknown>>;
}

const url = new URL('../../vectors/sessions/golden.json', import.meta.url);
const vectors: readonly Vector[] = JSON.parse(readFileSync(url, 'utf8')).vectors;

const payloads = new Set(['payload', 'result', 'error']);

function partOf(name: string, value: unknown): unknown {
  if (name === 'nonce') return BigInt(String(value));
  if (name === 'capabilities') return new Map(Object.entries(value as object));
  return payloads.has(name) ? new Uint8Array(Buffer.from(String(value))) : value;
}

function framesOf<Message>(side: Vector['from']): readonly Frame<Message>[] {
  return vectors
    .filter(({ from }) => from === side)
    .map(({ name, hex, message }) => {
      const entries = Object.entries(message).map(([key, value]) => [key, partOf(key, value)] as const);
      // The one part that JSON cannot say is absent.
      const leader = message.type === 'SessionRejected' ? { leaderId: undefined } : {};
      return { name, bytes: fromHex(hex), message: { ...leader, ...Object.fromEntries(entries) } as Message };
    });
}

export const clientFrames: readonly Frame<ClientMessage>[] = framesOf('client');
export const serverFrames: readonly Frame<ServerMessage>[] = framesOf('server');
