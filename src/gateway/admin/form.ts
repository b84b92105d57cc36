// The one body that the admin server reads: the form of the login.

import type { IncomingMessage } from 'node:http';
import { RequestError } from './answer.js';

const maxBodyBytes = 2048;

/**
 * @returns the fields of a form in `application/x-www-form-urlencoded`.
 * @throws RequestError (rejects) 400, 413, 415.
 */
export async function readForm(request: IncomingMessage): Promise<URLSearchParams> {
  const type = request.headers['content-type']?.split(';')[0]?.trim().toLowerCase();
  if (type !== 'application/x-www-form-urlencoded') throw new RequestError(415, 'a form is needed');
  try {
    return new URLSearchParams((await readBody(request)).toString());
  } catch (error) {
    if (error instanceof RequestError) throw error;
    // Who sent it is gone: anybody can do that at any time, which is no failure of the gateway.
    throw new RequestError(400, 'the form has not come to its end');
  }
}

async function readBody(request: IncomingMessage): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let length = 0;
  for await (const chunk of request) {
    const part = Buffer.from(chunk);
    length += part.length;
    // What follows is not read: the connection ends with the answer.
    if (length > maxBodyBytes) {
      throw new RequestError(413, `the form is longer than ${maxBodyBytes} bytes`, { connection: 'close' });
    }
    chunks.push(part);
  }
  return Buffer.concat(chunks);
}
