// Who may have the plaintext of what a gateway says and hears.

import { mkdtempSync, rmSync } from 'node:fs';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { afterAll, expect, test } from 'vitest';
import type { Capture } from '../../../src/gateway/capture/capture.js';
import type { GatewayConfig } from '../../../src/gateway/config.js';
import { checkGatewayConfig } from '../../../src/gateway/config-check.js';
import { streamFromGateway } from '../../../src/gateway/control/ask-gateway.js';
import { openTest, silentLog } from '../support.js';

const folder = mkdtempSync(join(tmpdir(), 'hawser-captures-'));
afterAll(() => rmSync(folder, { recursive: true }));

const refused = expect.objectContaining({
  code: 'ERR_HAWSER_CAPTURE_REFUSED',
  message: expect.stringContaining('capture: { plaintext: true }'),
});

async function toItsEnd(capture: Capture): Promise<number> {
  let bytes = 0;
  for await (const piece of capture) bytes += piece.length;
  return bytes;
}

test('without a word in the configuration a capture has no plaintext, and may have everything else', async () => {
  await using gateway = await openTest();
  expect(() => gateway.capture({ plaintext: true })).toThrow(refused);
  using capture = gateway.capture({ plaintext: false });
  expect(capture.dropped).toBe(0);
});

test.each<GatewayConfig>([{ capture: {} }, { capture: { plaintext: false } }])(
  'with %j it has none either, and a refused one leaves no tap behind',
  async (config) => {
    await using gateway = await openTest(config);
    for (let time = 0; time < 3; ++time) {
      expect(() => gateway.capture({ plaintext: true })).toThrow(refused);
    }
    using capture = gateway.capture({});
    expect(capture.dropped).toBe(0);
  },
);

test('where the configuration allows it, it has plaintext', async () => {
  await using gateway = await openTest({ capture: { plaintext: true } });
  using capture = gateway.capture({ plaintext: true });
  expect(capture.dropped).toBe(0);
});

test('a reload takes the permission up, and taking it back ends what goes on', async () => {
  const log = silentLog();
  const config: { capture: { plaintext: boolean } } & GatewayConfig = {
    capture: { plaintext: false },
    log: { logger: log },
    admin: false,
    control: false,
    listeners: [{ address: '127.0.0.1:0' }],
  };
  const { openGateway } = await import('../../../src/gateway/open-gateway.js');
  await using gateway = await openGateway(config);
  config.capture.plaintext = true;
  expect((await gateway.reload()).changed).toEqual(['capture']);
  const revealing = gateway.capture({ plaintext: true });
  const ended = toItsEnd(revealing);
  config.capture.plaintext = false;
  expect((await gateway.reload()).changed).toEqual(['capture']);
  expect(await ended).toBeGreaterThan(0);
  expect(() => gateway.capture({ plaintext: true })).toThrow(refused);
  // One without plaintext is nobody's secret: it goes on.
  using plain = gateway.capture({});
  config.capture.plaintext = true;
  await gateway.reload();
  config.capture.plaintext = false;
  await gateway.reload();
  expect(() => gateway.capture({})).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_CAPTURE_BUSY' }));
  expect(plain.dropped).toBe(0);
});

test('over the control socket it is refused with the same words', async () => {
  const control = join(folder, 'a.sock');
  await using _ = await openTest({ control });
  const options = { plaintext: true };
  await expect(
    streamFromGateway(control, { command: 'capture', options }, new AbortController().signal),
  ).rejects.toEqual(refused);
});

test('the tap of a client that is gone is off: others may capture', async () => {
  const control = join(folder, 'b.sock');
  await using gateway = await openTest({ control });
  for (let time = 0; time < 3; ++time) {
    const socket = connect(control);
    socket.write('{"command":"capture"}\n');
    // The first line says that it has begun.
    await new Promise((resolve) => socket.once('data', resolve));
    expect(() => gateway.capture({})).toThrow(expect.objectContaining({ code: 'ERR_HAWSER_CAPTURE_BUSY' }));
    socket.destroy();
    for (;;) {
      try {
        gateway.capture({})[Symbol.dispose]();
        break;
      } catch {
        await wait(5);
      }
    }
  }
});

test.each([
  [{ capture: true }, 'capture must be an object; got true'],
  [{ capture: { plaintext: 'yes' } }, 'capture.plaintext must be true or false; got "yes"'],
  [{ capture: { plain: true } }, /^unknown option 'plain' in capture/],
])('%j is no configuration', (config, message) => {
  expect(() => checkGatewayConfig(config, '/')).toThrow(message);
});
