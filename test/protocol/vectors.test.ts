// Every example of docs/protocol-vectors.json, opened and rebuilt byte for byte by the reference implementation, which shares
// no code with what printed them; the tokens also by hawser/token.

import { beforeAll, describe, expect, test } from 'vitest';
import { addressFromWire, addressToWire } from '../../src/base/address.js';
import {
  decodeToken,
  encodeToken,
  type MintTokenOptions,
  mintToken,
  openToken,
  tokenId,
} from '../../src/token/index.js';
import { concat, fromHex, Reader, Refused, toHex, varint } from '../reference/bytes.js';
import { toEndpoint } from '../reference/endpoints.js';
import { decodeFrames, encodeFrame, type Frame } from '../reference/frames.js';
import * as reference from '../reference/hawser1.js';
import {
  type AddressVector,
  type FrameVector,
  type HandshakeVector,
  type InvalidDatagram,
  type TokenVector,
  vectors,
} from './vectors.js';

beforeAll(() => reference.ready);

/** The element of a list of the file that an index in the file names. */
function at<T>(list: readonly T[], index: number): T {
  const found = list[index];
  if (found === undefined) throw new Error(`no vector ${index}`);
  return found;
}

function address({ ip, port }: AddressVector): reference.ReferenceAddress {
  return { ip: fromHex(ip), port };
}

test('no group is empty', () => {
  const groups = [
    vectors.varints,
    vectors.addresses,
    vectors.tokens,
    vectors.handshakes,
    vectors.sessionPackets,
    vectors.frames,
  ];
  for (const group of groups) for (const list of Object.values(group)) expect(list).not.toHaveLength(0);
  expect(vectors.packetNumbers).not.toHaveLength(0);
  expect(vectors.channels).not.toHaveLength(0);
});

describe('varints', () => {
  test.each(vectors.varints.valid)('$bytes', ({ value, bytes, shortest }) => {
    const reader = new Reader(fromHex(bytes));
    expect(String(reader.varint())).toBe(value);
    expect(reader.remaining).toBe(0);
    expect(toHex(varint(BigInt(value))) === bytes).toBe(shortest);
  });

  test.each(vectors.varints.invalid)('refused: $bytes', ({ bytes }) => {
    expect(() => new Reader(fromHex(bytes)).varint()).toThrow(Refused);
  });
});

describe('addresses', () => {
  test.each(vectors.addresses.valid)('$bytes', (vector) => {
    expect(toHex(reference.encodeAddress(address(vector)))).toBe(vector.bytes);
    expect(reference.readAddress(new Reader(fromHex(vector.bytes)))).toEqual(address(vector));
    const read = addressFromWire(fromHex(vector.bytes), 0);
    expect(read?.end).toBe(vector.bytes.length / 2);
    if (read !== undefined) expect(toHex(addressToWire(read.address))).toBe(vector.bytes);
  });

  test.each(vectors.addresses.invalid)('refused: $name, $bytes', ({ bytes }) => {
    expect(() => reference.readAddress(new Reader(fromHex(bytes)))).toThrow(Refused);
    expect(addressFromWire(fromHex(bytes), 0)).toBeUndefined();
  });
});

// ---- Tokens --------------------------------------------------------------------------------------------------------

function clearPart(vector: TokenVector): reference.ClearPart {
  return {
    protocolId: BigInt(vector.protocolId),
    keyId: vector.keyId,
    flags: vector.singleUse ? 1 : 0,
    createTime: BigInt(vector.createTime),
    expireTime: BigInt(vector.expireTime),
    nonce: fromHex(vector.nonce),
  };
}

function sessionKeys(vector: TokenVector): { c2s: Uint8Array; s2c: Uint8Array } {
  return { c2s: fromHex(vector.clientToServerKey), s2c: fromHex(vector.serverToClientKey) };
}

function privatePart(vector: TokenVector): reference.PrivatePart {
  return {
    clientId: BigInt(vector.clientId),
    timeout: vector.timeoutMs,
    addresses: vector.addresses.map(address),
    userData: fromHex(vector.userData),
    ...sessionKeys(vector),
  };
}

describe('tokens, by the reference implementation', () => {
  test.each(vectors.tokens.valid)('$name', (vector) => {
    const [clear, part, key] = [clearPart(vector), privatePart(vector), fromHex(vector.serverKey)];
    expect(toHex(reference.associatedData(clear))).toBe(vector.associatedData);
    expect(toHex(reference.encodePrivate(part))).toBe(vector.privatePlaintext);
    expect(toHex(reference.sealPrivate(key, clear, part))).toBe(vector.sealedPrivate);
    expect(toHex(reference.mintToken(key, clear, part))).toBe(vector.token);

    const decoded = reference.decodeToken(fromHex(vector.token));
    const { userData: _, clientId: __, ...shared } = part;
    expect(decoded).toEqual({ ...clear, ...shared, sealed: fromHex(vector.sealedPrivate) });
    expect(reference.openPrivate(key, decoded, decoded.sealed)).toEqual(part);

    expect(toHex(reference.tokenId(decoded.sealed))).toBe(vector.tokenId);
    const keys = reference.handshakeKeys(part);
    expect({
      challenge: toHex(keys.challenge),
      denied: toHex(keys.denied),
      accept: toHex(keys.accept),
      response: toHex(keys.response),
    }).toEqual(vector.handshakeKeys);
  });

  test.each(vectors.tokens.invalidPublic)('refused: $name ($reason)', ({ token }) => {
    expect(() => reference.decodeToken(fromHex(token))).toThrow(Refused);
  });

  test.each(vectors.tokens.invalidPrivate)('private part refused: $name ($reason)', (vector) => {
    const nonce = fromHex(vector.nonce);
    expect(() => {
      const sealed = fromHex(vector.sealedPrivate);
      reference.decodePrivate(
        reference.open(fromHex(vector.serverKey), nonce, fromHex(vector.associatedData), sealed),
      );
    }).toThrow(Refused);
  });
});

/** What mintToken() is asked for to make the token of a vector, drawing its nonce and keys. */
function mintOptions(vector: TokenVector): MintTokenOptions {
  const drawn = fromHex(vector.nonce + vector.clientToServerKey + vector.serverToClientKey);
  let used = 0;
  return {
    protocolId: BigInt(vector.protocolId),
    key: { id: vector.keyId, key: fromHex(vector.serverKey) },
    addresses: vector.addresses.map((each) => toEndpoint(address(each))),
    lifetimeMs: Number(vector.expireTime) - Number(vector.createTime),
    timeoutMs: vector.timeoutMs,
    clientId: BigInt(vector.clientId),
    userData: fromHex(vector.userData),
    singleUse: vector.singleUse,
    now: () => Number(vector.createTime),
    random: (target) => {
      target.set(drawn.subarray(used, used + target.length));
      used += target.length;
    },
  };
}

/** A minter makes lifetimes of 1 ms to 24 h only; a reader takes all that the page allows. */
function isMintable({ createTime, expireTime }: TokenVector): boolean {
  const lifetimeMs = Number(expireTime) - Number(createTime);
  return lifetimeMs >= 1 && lifetimeMs <= 86_400_000;
}

describe('tokens, by hawser/token', () => {
  const mintable = vectors.tokens.valid.filter(isMintable);

  test('some examples can be minted', () => {
    expect(mintable.length).toBeGreaterThanOrEqual(2);
  });

  test.each(mintable)('minted: $name', async (vector) => {
    expect(toHex(await mintToken(mintOptions(vector)))).toBe(vector.token);
  });

  test.each(vectors.tokens.valid.filter((vector) => !isMintable(vector)))(
    'not minted: $name',
    async (vector) => {
      await expect(mintToken(mintOptions(vector))).rejects.toThrow('lifetimeMs must be');
    },
  );

  test.each(vectors.tokens.valid)('read: $name', async (vector) => {
    const token = fromHex(vector.token);
    expect(encodeToken(token)).toBe(vector.base64url);
    expect(toHex(await tokenId(vector.base64url))).toBe(vector.tokenId);
    const opened = await openToken(vector.base64url, [{ id: vector.keyId, key: fromHex(vector.serverKey) }]);
    expect(opened).toEqual({
      ...decodeToken(token),
      clientId: BigInt(vector.clientId),
      userData: fromHex(vector.userData),
      tokenId: fromHex(vector.tokenId),
    });
    expect(opened).toMatchObject({
      protocolId: BigInt(vector.protocolId),
      keyId: vector.keyId,
      singleUse: vector.singleUse,
      createTimeMs: Number(vector.createTime),
      expireTimeMs: Number(vector.expireTime),
      timeoutMs: vector.timeoutMs,
      clientToServerKey: fromHex(vector.clientToServerKey),
      serverToClientKey: fromHex(vector.serverToClientKey),
      nonce: fromHex(vector.nonce),
      sealedPrivate: fromHex(vector.sealedPrivate),
    });
    expect(opened.addresses.map((each) => toHex(addressToWire(each)))).toEqual(
      vector.addresses.map((each) => toHex(reference.encodeAddress(address(each)))),
    );
  });

  test.each(vectors.tokens.invalidPublic)('refused: $name ($reason)', ({ token }) => {
    expect(() => decodeToken(fromHex(token))).toThrow(
      expect.objectContaining({ code: 'ERR_HAWSER_TOKEN_INVALID' }),
    );
  });

  test.each(vectors.tokens.invalidPrivate)('private part refused: $name ($reason)', async (vector) => {
    const host = fromHex(at(vectors.tokens.valid, 0).token);
    host.set(fromHex(vector.associatedData), 0);
    host.set(fromHex(vector.nonce), 40);
    host.set(fromHex(vector.sealedPrivate), 64);
    const id = new DataView(host.buffer).getUint32(16, true);
    await expect(openToken(host, [{ id, key: fromHex(vector.serverKey) }])).rejects.toMatchObject({
      code: vector.reason === 'the tag does not verify' ? 'ERR_HAWSER_TOKEN_KEY' : 'ERR_HAWSER_TOKEN_INVALID',
    });
  });
});

// ---- Handshakes ----------------------------------------------------------------------------------------------------

interface Context {
  readonly token: TokenVector;
  readonly keys: reference.HandshakeKeys;
  readonly attempt: reference.Attempt;
}

function context(vector: HandshakeVector): Context {
  const token = at(vectors.tokens.valid, vector.token);
  return {
    token,
    keys: reference.handshakeKeys(sessionKeys(token)),
    attempt: { tokenId: fromHex(token.tokenId), clientShare: fromHex(vector.clientShare) },
  };
}

describe.each(vectors.handshakes.valid)('handshake: $name', (vector) => {
  test('shares', () => {
    expect(toHex(reference.keyPair(fromHex(vector.clientSecret)).share)).toBe(vector.clientShare);
    expect(toHex(reference.keyPair(fromHex(vector.serverSecret)).share)).toBe(vector.serverShare);
  });

  test('REQUEST', () => {
    const { token, attempt } = context(vector);
    expect(toHex(reference.encodeRequest(fromHex(token.token), attempt.clientShare))).toBe(vector.request);
    expect(reference.decodeRequest(fromHex(vector.request))).toEqual({
      ...clearPart(token),
      sealed: fromHex(token.sealedPrivate),
      clientShare: attempt.clientShare,
    });
  });

  test('CHALLENGE and its cookie', () => {
    const { token, keys, attempt } = context(vector);
    const { key, time, index, source, mac, cookie } = vector.cookie;
    const serverShare = fromHex(vector.serverShare);
    const from = { ...address(source), scopeId: source.scopeId };
    const sealed = fromHex(token.sealedPrivate);
    const inputs = {
      sealed,
      clientShare: attempt.clientShare,
      time,
      keyIndex: index,
      address: from,
      serverShare,
    };
    expect(toHex(reference.cookieMac(fromHex(key), inputs))).toBe(mac);
    expect(toHex(reference.makeCookie(fromHex(key), inputs))).toBe(cookie);

    const challenge = { cookie: fromHex(cookie), serverShare };
    const { nonce, plaintext, datagram } = vector.challenge;
    expect(toHex(reference.challengePlaintext(challenge))).toBe(plaintext);
    expect(toHex(reference.sealChallenge(keys.challenge, attempt, challenge, fromHex(nonce)))).toBe(datagram);
    expect(reference.openChallenge(keys.challenge, attempt, fromHex(datagram))).toEqual(challenge);
  });

  test('RESPONSE', () => {
    const { token, keys, attempt } = context(vector);
    const { nonce, datagram, features, connectionId } = vector.response;
    const { maxDatagram, credit, channelCredit, channels } = vector.response;
    const body = {
      features,
      connectionId: fromHex(connectionId),
      maxDatagram,
      credit,
      channelCredit,
      channels: fromHex(channels),
    };
    const cookie = fromHex(vector.cookie.cookie);
    const rebuilt = reference.sealResponse(
      keys.response,
      fromHex(vector.request),
      cookie,
      body,
      fromHex(nonce),
    );
    expect(toHex(rebuilt)).toBe(datagram);
    expect(reference.openResponse(keys.response, fromHex(datagram))).toEqual(body);
    expect(reference.decodeResponse(fromHex(datagram))).toEqual({
      ...clearPart(token),
      sealed: fromHex(token.sealedPrivate),
      clientShare: attempt.clientShare,
      cookie,
      nonce2: fromHex(nonce),
    });
  });

  test('ACCEPT', () => {
    const { keys } = context(vector);
    const response = fromHex(vector.response.datagram);
    const { nonce, datagram, features, connectionId, random, resetToken } = vector.accept;
    const { maxDatagram, credit, channelCredit } = vector.accept;
    const body = {
      features,
      connectionId: fromHex(connectionId),
      random: fromHex(random),
      resetToken: fromHex(resetToken),
      maxDatagram,
      credit,
      channelCredit,
    };
    expect(toHex(reference.sealAccept(keys.accept, response, body, fromHex(nonce)))).toBe(datagram);
    expect(reference.openAccept(keys.accept, response, fromHex(datagram))).toEqual(body);
  });

  test('DENIED', () => {
    const { keys, attempt } = context(vector);
    const { nonce, datagram, reason } = vector.denied;
    expect(toHex(reference.sealDenied(keys.denied, attempt, reason, fromHex(nonce)))).toBe(datagram);
    expect(reference.openDenied(keys.denied, attempt, fromHex(datagram))).toBe(reason);
  });

  test('RESET', () => {
    const { resetKey, connectionId, resetToken, datagram } = vector.reset;
    const token = reference.resetToken(fromHex(resetKey), fromHex(connectionId));
    expect(toHex(token)).toBe(resetToken);
    expect(toHex(reference.encodeReset(fromHex(connectionId), token))).toBe(datagram);
    expect(reference.decodeReset(fromHex(datagram))).toEqual({ connectionId: fromHex(connectionId), token });
  });

  test('key schedule, from both sides', () => {
    const { token } = context(vector);
    const schedule = vector.keySchedule;
    const fromClient = reference.x25519(fromHex(vector.clientSecret), fromHex(vector.serverShare));
    const fromServer = reference.x25519(fromHex(vector.serverSecret), fromHex(vector.clientShare));
    expect([toHex(fromClient), toHex(fromServer)]).toEqual([schedule.x25519, schedule.x25519]);
    const th = reference.transcript(
      fromHex(vector.response.datagram),
      fromHex(vector.challenge.plaintext),
      fromHex(vector.accept.datagram),
    );
    expect(toHex(th)).toBe(schedule.transcriptHash);
    const acceptRandom = fromHex(vector.accept.random);
    const prk = reference.sessionPrk({ ...sessionKeys(token), shared: fromClient, acceptRandom, th });
    expect(toHex(prk)).toBe(schedule.prk);
    for (const { direction, epoch, key, salt } of schedule.trafficKeys) {
      const derived = reference.packetKey(prk, direction, epoch);
      expect([toHex(derived.key), toHex(derived.salt)]).toEqual([key, salt]);
    }
    const exporter = reference.exporterSecret(prk);
    expect(toHex(exporter)).toBe(schedule.exporter);
    for (const { label, key } of schedule.exported)
      expect(toHex(reference.exportKey(exporter, label))).toBe(key);
  });
});

function openInvalid(vector: InvalidDatagram): unknown {
  const handshake = at(vectors.handshakes.valid, vector.handshake);
  const { token, keys, attempt } = context(handshake);
  const datagram = fromHex(vector.datagram);
  switch (vector.kind) {
    case 'request': {
      const request = reference.decodeRequest(datagram);
      return reference.openPrivate(fromHex(token.serverKey), request, request.sealed);
    }
    case 'challenge':
      return reference.openChallenge(keys.challenge, attempt, datagram);
    case 'response':
      reference.decodeResponse(datagram);
      return reference.openResponse(keys.response, datagram);
    case 'accept':
      return reference.openAccept(keys.accept, fromHex(handshake.response.datagram), datagram);
    case 'denied':
      return reference.openDenied(keys.denied, attempt, datagram);
    case 'reset':
      return reference.decodeReset(datagram);
  }
}

test.each(vectors.handshakes.invalid)('$kind refused: $name ($reason)', (vector) => {
  expect(() => openInvalid(vector)).toThrow(Refused);
});

// ---- Channels ------------------------------------------------------------------------------------------------------

describe('declarations of channels', () => {
  test.each(vectors.channels)('$name', ({ channels, input, digest }) => {
    expect(toHex(reference.channelsInput(channels))).toBe(input);
    expect(toHex(reference.channelsDigest(channels))).toBe(digest);
  });

  test('the default channels are those of the reference implementation', () => {
    expect(vectors.channels[0]?.channels).toEqual(reference.defaultChannels);
  });
});

// ---- Session packets -----------------------------------------------------------------------------------------------

function trafficKey(handshake: number, direction: reference.Direction, epoch: number): reference.PacketKey {
  const prk = fromHex(at(vectors.handshakes.valid, handshake).keySchedule.prk);
  return reference.packetKey(prk, direction, epoch);
}

describe('session packets', () => {
  test.each(vectors.sessionPackets.valid)('$name', (vector) => {
    const { handshake, direction, epoch } = vector;
    const key = trafficKey(handshake, direction, epoch);
    const [number, datagram] = [BigInt(vector.packetNumber), fromHex(vector.datagram)];
    const connectionId = fromHex(vector.connectionId);
    expect([toHex(key.key), toHex(key.salt)]).toEqual([vector.key, vector.salt]);
    expect(toHex(reference.packetNonce(key.salt, number))).toBe(vector.nonce);
    expect(toHex(reference.sealPacket(key, epoch, connectionId, number, fromHex(vector.payload)))).toBe(
      vector.datagram,
    );
    expect(datagram.length).toBeLessThanOrEqual(1200);

    const header = reference.decodePacketHeader(datagram, connectionId.length);
    expect(header).toEqual({ epochBits: epoch & 3, connectionId, truncated: Number(number & 0xffff_ffffn) });
    expect(reference.expandPacketNumber(number, header.truncated)).toBe(number);
    expect(toHex(reference.openPacket(key, connectionId.length, number, datagram))).toBe(vector.payload);
    expect(() => decodeFrames(fromHex(vector.payload))).not.toThrow();
  });

  test.each(vectors.sessionPackets.invalid)('refused: $name ($reason)', (vector) => {
    const { handshake, direction, epoch, connectionIdLength } = vector;
    const datagram = fromHex(vector.datagram);
    expect(() => {
      reference.decodePacketHeader(datagram, connectionIdLength);
      const key = trafficKey(handshake, direction, epoch);
      reference.openPacket(key, connectionIdLength, BigInt(vector.packetNumber), datagram);
    }).toThrow(Refused);
  });

  test.each(vectors.packetNumbers)(
    'expected $expected, truncated $truncated',
    ({ expected, truncated, packetNumber }) => {
      expect(String(reference.expandPacketNumber(BigInt(expected), truncated))).toBe(packetNumber);
    },
  );
});

// ---- Frames --------------------------------------------------------------------------------------------------------

/** A frame of the reference implementation in the notation of the file. */
function notation(frame: Exclude<Frame, { type: 'PADDING' }>): FrameVector {
  switch (frame.type) {
    case 'PING':
      return { type: 'ping', fields: { sequence: frame.sequence } };
    case 'PONG': {
      const { sequence, receiveTime, delay } = frame;
      return { type: 'pong', fields: { sequence, receiveTime: String(receiveTime), delay } };
    }
    case 'ACK': {
      const ranges = frame.ranges.map(({ smallest, largest }) => ({
        smallest: `${smallest}`,
        largest: `${largest}`,
      }));
      const { ecn } = frame;
      const counts =
        ecn === undefined ? {} : { ecn: { ect0: `${ecn.ect0}`, ect1: `${ecn.ect1}`, ce: `${ecn.ce}` } };
      return { type: 'ack', fields: { delay: String(frame.delay), ranges, ...counts } };
    }
    case 'DISCONNECT':
      return {
        type: 'disconnect',
        fields: {
          code: frame.code,
          reconnectSpreadMs: frame.reconnectSpread,
          reason: new TextDecoder().decode(frame.reason),
        },
      };
    case 'GOAWAY': {
      const { reason, deadline, reconnectSpread, address: to } = frame;
      const written =
        to === undefined ? null : { family: to.ip.length === 4 ? 4 : 6, ip: toHex(to.ip), port: to.port };
      const fields = { reason, deadlineMs: deadline, reconnectSpreadMs: reconnectSpread, address: written };
      return { type: 'goaway', fields };
    }
    case 'NEW_ID': {
      const { sequence, id, resetToken } = frame;
      const fields = { sequence: String(sequence), connectionId: toHex(id), resetToken: toHex(resetToken) };
      return { type: 'newId', fields };
    }
    case 'RETIRE_ID':
      return { type: 'retireId', fields: { sequence: String(frame.sequence) } };
    case 'MESSAGE': {
      const { channel, acknowledged, withLength, data } = frame;
      return { type: 'message', fields: { channel, acknowledged, withLength, data: toHex(data) } };
    }
    case 'KEY_UPDATE': {
      const { epoch, sequence, share, secretId, mac } = frame;
      const fields = { epoch, sequence, share: toHex(share), secretId: toHex(secretId), mac: toHex(mac) };
      return { type: 'keyUpdate', fields };
    }
    case 'KEY_UPDATE_REPLY': {
      const { epoch, share, mac } = frame;
      return { type: 'keyUpdateReply', fields: { epoch, share: toHex(share), mac: toHex(mac) } };
    }
    case 'KEY_UPDATE_REFUSED':
      return { type: 'keyUpdateRefused', fields: { sequence: frame.sequence, reason: frame.reason } };
    case 'PATH_CHALLENGE':
      return { type: 'pathChallenge', fields: { data: toHex(frame.data) } };
    case 'PATH_RESPONSE':
      return { type: 'pathResponse', fields: { data: toHex(frame.data) } };
    case 'CREDIT':
      return { type: 'credit', fields: { limit: String(frame.limit) } };
    case 'CHANNEL_CREDIT':
      return {
        type: 'channelCredit',
        fields: { channel: frame.channel, limit: String(frame.limit), ahead: String(frame.ahead) },
      };
    case 'SEQUENCED':
    case 'FRAGMENT': {
      const { channel, number, withLength, data, part = {} } = frame;
      const fields = { channel, number: String(number), withLength, data: toHex(data), ...part };
      return { type: frame.type.toLowerCase(), fields };
    }
    case 'RELIABLE': {
      const { channel, first, withLength, messages } = frame;
      const fields = { channel, first: String(first), withLength, messages: messages.map(toHex) };
      return { type: 'reliable', fields };
    }
    case 'EXPIRED': {
      const { channel, number, length } = frame;
      return { type: 'expired', fields: { channel, number: String(number), length } };
    }
    case 'MTU_PROBE':
      return { type: 'mtuProbe', fields: {} };
  }
}

/** The file counts a run of PADDING where the reference implementation has one frame for each byte. */
function notations(frames: readonly Frame[]): FrameVector[] {
  const result: FrameVector[] = [];
  let padding = 0;
  for (const frame of frames) {
    if (frame.type === 'PADDING') {
      ++padding;
      if (padding > 1) result.pop();
      result.push({ type: 'padding', fields: { count: padding } });
    } else {
      padding = 0;
      result.push(notation(frame));
    }
  }
  return result;
}

describe('frames', () => {
  test.each(vectors.frames.valid)('$name', ({ payload, frames }) => {
    const decoded = decodeFrames(fromHex(payload));
    expect(notations(decoded)).toEqual(frames);
    expect(toHex(concat(...decoded.map(encodeFrame)))).toBe(payload);
  });

  test.each(vectors.frames.validNotShortest)('$name', ({ payload, frames }) => {
    const decoded = decodeFrames(fromHex(payload));
    expect(notations(decoded)).toEqual(frames);
    expect(concat(...decoded.map(encodeFrame)).length).toBeLessThan(payload.length / 2);
  });

  test.each(vectors.frames.invalid)('refused: $name ($reason)', ({ payload }) => {
    expect(() => decodeFrames(fromHex(payload))).toThrow(Refused);
  });
});

test('every kind of frame has an example', () => {
  const kinds = new Set(vectors.frames.valid.flatMap(({ frames }) => frames.map(({ type }) => type)));
  const expected = [
    'ack',
    'channelCredit',
    'credit',
    'disconnect',
    'expired',
    'fragment',
    'goaway',
    'keyUpdate',
    'keyUpdateRefused',
    'keyUpdateReply',
    'message',
    'mtuProbe',
    'newId',
    'padding',
    'pathChallenge',
    'pathResponse',
    'ping',
    'pong',
    'reliable',
    'retireId',
    'sequenced',
  ];
  expect([...kinds].toSorted()).toEqual(expected);
  // Each form of each kind, by its type byte where it comes first.
  const firsts = new Set(vectors.frames.valid.map(({ payload }) => Number.parseInt(payload.slice(0, 2), 16)));
  for (let type = 0; type <= 0x1c; ++type) expect(firsts).toContain(type);
  expect(firsts).toContain(0x20);
});
