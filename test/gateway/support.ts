// Gateways of tests, on free ports, and clients of them.

import type { GatewayConfig } from '../../src/gateway/config.js';
import type { Gateway } from '../../src/gateway/gateway.js';
import type { Logger } from '../../src/gateway/log/logger.js';
import { type OpenGatewayOptions, openGateway } from '../../src/gateway/open-gateway.js';
import { encodeToken, mintToken } from '../../src/token/index.js';
import { generateKey, type ServerKey } from '../../src/token/server-key.js';

export const key: ServerKey = generateKey({ id: 1 });
export const otherKey: ServerKey = generateKey({ id: 2 });

/** What was logged at `warn` and above. */
export interface RecordedLog extends Logger {
  readonly lines: { readonly level: string; readonly message: string; readonly fields: object }[];
}

/** A log that keeps what is worth a look. */
export function silentLog(): RecordedLog {
  const lines: RecordedLog['lines'] = [];
  const at = (level: string) => (fields: object, message: string) =>
    void lines.push({ level, message, fields });
  const log: RecordedLog = {
    lines,
    trace: () => undefined,
    debug: () => undefined,
    info: () => undefined,
    warn: at('warn'),
    error: at('error'),
    fatal: at('fatal'),
    child: () => log,
  };
  return log;
}

/** On a free port and without what operators have, unless the configuration says so. */
export function openTest(config: GatewayConfig = {}, options: OpenGatewayOptions = {}): Promise<Gateway> {
  return openGateway(testConfig(config), options);
}

export function testConfig(config: GatewayConfig): GatewayConfig {
  const listeners = config.listeners ?? [{}];
  return {
    admin: false,
    control: false,
    log: { logger: silentLog() },
    drain: { deadlineMs: 200 },
    ...config,
    listeners: listeners.map((listener) => ({ address: '127.0.0.1:0', ...listener })),
  };
}

/** A token for a listener of a gateway, whose connection survives that this process, both of its ends, stands still for a while. */
export async function tokenFor(
  gateway: Gateway,
  listener = 'udp',
  options: { readonly clientId?: bigint; readonly key?: ServerKey } = {},
): Promise<string> {
  const found = gateway.servers.find(({ name }) => name === listener);
  if (found === undefined) throw new Error(`no listener ${listener}`);
  const { protocolId, publicAddresses: addresses } = found.server;
  const { clientId = 7n, key: sealed = key } = options;
  return encodeToken(await mintToken({ protocolId, key: sealed, clientId, addresses, timeoutMs: 60_000 }));
}
