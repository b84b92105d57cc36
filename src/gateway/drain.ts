// How a gateway lets its peers go.

import { diagnostics } from './diagnostics.js';
import type { GatewayListener } from './listener.js';
import type { GatewayParts } from './parts.js';

/**
 * No listener lets anybody in from now on. Hands sessions over and lets syncs end, then asks the peers of each listener to go, until the
 * deadline; those of listeners of whose layers nothing has to end before, at once.
 *
 * @param name of the gateway.
 */
export async function drainGateway(name: string, parts: GatewayParts): Promise<void> {
  const beganMs = performance.now();
  const { deadlineMs, elsewhere, reconnectSpreadMs } = parts.drainPlan;
  const peers = (): number => parts.listeners.reduce((sum, { server }) => sum + server.peers.size, 0);
  const peersBefore = peers();
  for (const { server } of parts.listeners) server.refuseNewPeers();
  parts.announceEnd();
  let peersLeft = 0;
  const drain = async ({ server }: GatewayListener): Promise<void> => {
    const leftMs = Math.max(0, Math.round(deadlineMs - (performance.now() - beganMs)));
    await server.drain({
      deadlineMs: leftMs,
      reconnectSpreadMs,
      ...(elsewhere !== undefined && { elsewhere }),
    });
  };
  const deadline = timer(deadlineMs, () => {
    peersLeft = peers();
  });
  const [waiting, free] = partition(parts.listeners);
  const freed = Promise.all(free.map(drain));
  if (waiting.length > 0) {
    await Promise.race([Promise.all(parts.layers.map((layer) => layer.drain())), deadline.passed]);
    await Promise.all(waiting.map(drain));
  }
  await freed;
  deadline.clear();
  if (!diagnostics.drain.hasSubscribers) return;
  const durationMs = performance.now() - beganMs;
  diagnostics.drain.publish({ gateway: name, peersBefore, peersLeft, durationMs });
}

/** Those with a layer whose work ends before its peers are sent away, and the others. */
function partition(listeners: readonly GatewayListener[]): [GatewayListener[], GatewayListener[]] {
  const waits = ({ plan }: GatewayListener): boolean =>
    plan.layers.includes('sessions') || plan.layers.includes('sync');
  return [listeners.filter(waits), listeners.filter((listener) => !waits(listener))];
}

function timer(ms: number, onPass: () => void): { readonly passed: Promise<void>; clear(): void } {
  let handle: NodeJS.Timeout | undefined;
  const passed = new Promise<void>((resolve) => {
    handle = setTimeout(() => {
      onPass();
      resolve();
    }, ms);
  });
  return { passed, clear: () => clearTimeout(handle) };
}
