// What happens in a gateway, in its log: one subscriber of the channels of node:diagnostics_channel.

import { subscribe, unsubscribe } from 'node:diagnostics_channel';
import type { TypedChannel } from '../../base/diagnostics.js';
import { diagnostics as keys, channelNames as keysNames } from '../../keys/agent/diagnostics.js';
import { kmeChannel, kmeChannelName } from '../../keys/kme/diagnostics.js';
import { channelNames as sessionNames, diagnostics as sessions } from '../../sessions/server/diagnostics.js';
import { diagnostics as sync, channelNames as syncNames } from '../../sync/manager/diagnostics.js';
import { channels as transport, channelNames as transportNames } from '../../transport/diagnostics.js';
import { diagnostics as gateway, channelNames as gatewayNames } from '../diagnostics.js';
import { DropSummary } from './drop-summary.js';
import * as lines from './event-lines.js';
import { LimitedLog } from './limited-log.js';
import type { Logger } from './logger.js';

/** Anybody can send tokens without end: one line in ten seconds for each reason. */
const refusalRate = { burst: 1, perSecond: 0.1 };

/** Whose events are told. */
export interface LogEventsOptions {
  /** The name of the gateway. */
  readonly gateway: string;
  /** Where its listeners are bound: what its transport tells has no other name. */
  readonly addresses: () => readonly string[];
  /** Milliseconds of a monotonic clock. */
  readonly nowMs?: () => number;
}

/** Peers come and go by thousands when a gateway of many is restarted, and whoever asks for `debug` wants to see them. */
const debugRate = { burst: 2000, perSecond: 200 };

/**
 * Writes the events of a gateway to its log: peers and sessions at `debug`, states, reloads, drains, rotations and syncs at `info`, drops at
 * `info` in one line a second, what somebody should look at at `warn` and `error`. What others can bring about is told at a bounded rate, with
 * `untold`, how many lines were left out. No key and no payload is in any line.
 *
 * Of the layers other than the transport, whose channels do not name the gateway, all events of the process are told.
 *
 * @returns what ends it.
 */
export function logEvents(log: Logger, { gateway: name, addresses, nowMs }: LogEventsOptions): Disposable {
  const stack = new Subscriptions();
  const drops = new DropSummary(log);
  const usual = new LimitedLog(log, undefined, nowMs);
  const debug = new LimitedLog(log, debugRate, nowMs);
  const isOwn = ({ address }: { readonly address: string }): boolean => addresses().includes(address);
  /** Each event of a channel as a line. */
  const tell = <M>(
    channelName: string,
    channel: TypedChannel<M>,
    lineOf: (message: M) => lines.EventLine | undefined,
  ): void => {
    stack.add(channelName, channel, (message) => {
      const line = lineOf(message);
      if (line === undefined) return;
      const limited = line.level === 'debug' || line.level === 'trace' ? debug : usual;
      limited.tell(`${channelName} ${line.level}`, line.level, line.fields, line.message);
    });
  };

  let isDraining = false;
  stack.add(gatewayNames.state, gateway.state, (message) => {
    if (message.gateway !== name) return;
    isDraining = message.state === 'DRAINING' || message.state === 'STOPPED';
    const { fields, message: text } = lines.stateLine(message);
    log.info(fields, text);
  });
  tell(gatewayNames.reload, gateway.reload, (m) => (m.gateway === name ? lines.reloadLine(m) : undefined));
  tell(gatewayNames.drain, gateway.drain, (m) => (m.gateway === name ? lines.drainLine(m) : undefined));
  tell(transportNames.peerConnect, transport.peerConnect, (m) =>
    isOwn(m) ? lines.connectLine(m) : undefined,
  );
  tell(transportNames.peerDisconnect, transport.peerDisconnect, (m) =>
    isOwn(m) ? lines.disconnectLine(m) : undefined,
  );
  const refusals = new LimitedLog(log, refusalRate, nowMs);
  stack.add(transportNames.drop, transport.drop, (message) => {
    if (!isOwn(message)) return;
    drops.add(message);
    const refusal = lines.tokenRefusalLine(message);
    if (refusal !== undefined)
      refusals.tell(`${message.address} ${message.reason}`, refusal.level, refusal.fields, refusal.message);
  });
  tell(sessionNames.session, sessions.session, lines.sessionLine);
  tell(sessionNames.rejected, sessions.rejected, lines.sessionRejectedLine);
  tell(sessionNames.skew, sessions.skew, lines.skewLine);
  tell(sessionNames.serving, sessions.serving, (message) => lines.servingLine(message, isDraining));
  tell(sessionNames.leader, sessions.leader, lines.leaderLine);
  tell(sessionNames.request, sessions.request, (message) => lines.requestLine(message, 'request'));
  tell(sessionNames.query, sessions.query, (message) => lines.requestLine(message, 'query'));
  tell(syncNames.start, sync.start, lines.syncStartLine);
  tell(syncNames.end, sync.end, lines.syncEndLine);
  tell(keysNames.transition, keys.transition, lines.transitionLine);
  tell(keysNames.rejected, keys.rejected, lines.keysRejectedLine);
  tell(keysNames.device, keys.device, lines.deviceLine);
  tell(kmeChannelName, kmeChannel, lines.kmeLine);
  return {
    [Symbol.dispose]: () => {
      stack.end();
      drops[Symbol.dispose]();
    },
  };
}

class Subscriptions {
  readonly #ends: (() => void)[] = [];

  /** @param _channel says what the messages of that name are. */
  add<M>(name: string, _channel: TypedChannel<M>, listener: (message: M) => void): void {
    // Only this package publishes there, and through the typed channel.
    const onMessage = (message: unknown): void => listener(message as M);
    subscribe(name, onMessage);
    this.#ends.push(() => unsubscribe(name, onMessage));
  }

  end(): void {
    for (const end of this.#ends.splice(0)) end();
  }
}
