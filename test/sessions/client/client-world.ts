// A client with its gateways, in virtual time, and what is heard of it.

import { HawserError } from '../../../src/base/errors.js';
import type { SessionClientOptions } from '../../../src/sessions/client/options.js';
import { SessionClient } from '../../../src/sessions/client/session-client.js';
import { type ClusterOptions, ScriptedCluster, ScriptedGateway } from './scripted-gateways.js';

export type WorldOptions = Partial<SessionClientOptions> & { readonly cluster?: ClusterOptions };

export interface Outcome {
  /** Undefined while there is none. */
  state: 'resolved' | 'rejected' | undefined;
  value: unknown;
  atMs: number;
}

export function codeOf(error: unknown): string {
  return error instanceof HawserError ? error.code : String(error);
}

export function world({ cluster: clusterOptions, ...options }: WorldOptions = {}) {
  const cluster = new ScriptedCluster(clusterOptions);
  const { time } = cluster;
  const client = new SessionClient({
    connector: cluster.connector,
    wheel: time.wheel,
    random: () => 0,
    ...options,
  });
  const events: unknown[][] = [];
  const states: string[] = [];
  client.on('stateChange', (from, to) => {
    if (states.length === 0) states.push(from);
    states.push(to);
    events.push(['stateChange', from, to]);
  });
  client.on('connected', (id, continued) => events.push(['connected', id, continued]));
  client.on('disconnected', (reason) => events.push(['disconnected', reason && codeOf(reason)]));
  client.on('reconnecting', (attempt, delayMs) => events.push(['reconnecting', attempt, delayMs]));
  client.on('attemptFailed', (error, attempt) => events.push(['attemptFailed', codeOf(error), attempt]));
  client.on('redirected', (reason, elsewhere) => events.push(['redirected', reason, elsewhere]));
  client.on('expired', (error) => events.push(['expired', error.code]));

  /** Lets so much time pass. */
  const pass = (ms: number): Promise<void> => time.passTo(time.nowMs + ms);
  /** What comes of a promise, and when. */
  const watch = (promise: Promise<unknown>): Outcome => {
    const outcome: Outcome = { state: undefined, value: undefined, atMs: Number.NaN };
    const settle =
      (state: 'resolved' | 'rejected') =>
      (value: unknown): void => {
        Object.assign(outcome, { state, value, atMs: time.nowMs });
      };
    promise.then(settle('resolved'), settle('rejected'));
    return outcome;
  };
  const connect = async (): Promise<void> => {
    const connected = watch(client.connect());
    await pass(200);
    if (connected.state !== 'resolved') throw new Error(`it is not connected: ${connected.value}`);
  };
  /** Closes the client, which takes time. */
  const close = async (): Promise<void> => {
    const closed = watch(client.close());
    await pass(6000);
    if (closed.state !== 'resolved') throw new Error('it is not closed');
  };
  const [a, b, c] = cluster.gateways;
  if (a === undefined) throw new Error('a cluster has gateways');
  const none = new ScriptedGateway(cluster, 'none');
  return {
    cluster,
    time,
    client,
    events,
    states,
    pass,
    watch,
    connect,
    close,
    a,
    b: b ?? none,
    c: c ?? none,
  };
}
