// The address that answers GET /metrics and nothing else.

import type { IncomingMessage, ServerResponse } from 'node:http';
import { type HttpEndpoint, openEndpoint } from './endpoint.js';

/** A registry of prom-client, or what is like one. */
export interface MetricsRegistry {
  readonly contentType: string;
  metrics(): Promise<string>;
}

/** @throws HawserError (rejects) as `openEndpoint`. */
export function openMetricsEndpoint(
  address: string,
  registry: MetricsRegistry,
  advice: string,
): Promise<HttpEndpoint> {
  return openEndpoint(address, advice, (request, response) => {
    answer(request, response, registry).catch(() =>
      end(response, 500, 'text/plain', 'the metrics cannot be read\n'),
    );
  });
}

async function answer(
  { method, url }: IncomingMessage,
  response: ServerResponse,
  registry: MetricsRegistry,
): Promise<void> {
  if (method !== 'GET' || (url ?? '/').replace(/\?.*$/, '') !== '/metrics') {
    end(response, 404, 'text/plain', 'there is GET /metrics\n');
    return;
  }
  end(response, 200, registry.contentType, await registry.metrics());
}

function end(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, { 'content-type': type, 'cache-control': 'no-store' }).end(body);
}
