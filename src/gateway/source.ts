// Where the configuration of a gateway comes from, and what reading it again changes.

import { isDeepStrictEqual } from 'node:util';
import { ChannelTable } from '../transport/channels.js';
import type { JsonLogger } from './log/json-logger.js';
import type { Logger } from './log/logger.js';
import type { ReloadReport } from './observed-gateway.js';
import { adminTokenOf } from './operator-side.js';
import type { GatewayParts } from './parts.js';
import type { GatewayPlan, LimitsPlan, ListenerPlan } from './plan.js';
import { readServerKeys } from './server-keys.js';

export interface SourceOptions {
  readonly plan: GatewayPlan;
  /** Its absolute path; undefined for an object. */
  readonly file: string | undefined;
  /** Reads and checks the configuration again. */
  readonly read: () => Promise<GatewayPlan>;
  readonly log: Logger;
  /** The logger, where it was made for this gateway: its level can be changed. */
  readonly ownLog: JsonLogger | undefined;
}

export class GatewaySource {
  readonly plan: GatewayPlan;
  readonly file: string | undefined;
  readonly log: Logger;
  readonly #read: () => Promise<GatewayPlan>;
  readonly #ownLog: JsonLogger | undefined;

  constructor({ plan, file, read, log, ownLog }: SourceOptions) {
    this.plan = plan;
    this.file = file;
    this.log = log;
    this.#read = read;
    this.#ownLog = ownLog;
  }

  /**
   * Reads the configuration and its secrets again, and then changes what can be changed.
   *
   * @throws HawserError (rejects) ERR_HAWSER_CONFIG: nothing has changed then.
   */
  async reload(parts: GatewayParts): Promise<ReloadReport> {
    const plan = await this.#read();
    const changed: string[] = [];
    const warn = (message: string): void => this.log.warn({}, message);
    // All that can fail comes first.
    const before = parts.keysInUse;
    const keys = readServerKeys(plan, before.made ? before.keys[0] : undefined, warn);
    const token =
      plan.admin?.token === undefined ? undefined : adminTokenOf(plan, plan.admin.token, this.log);
    const limits = limitsWithin(plan.limits, this.plan.limits);
    if (plan.admin !== undefined && this.plan.admin !== undefined && parts.operators.token !== token) {
      parts.operators.setToken(token);
      changed.push('admin.token');
    }
    if (!isDeepStrictEqual(keys, before)) {
      await parts.makeMinters(keys.keys[0]);
      parts.setKeys(keys);
      changed.push('keys');
    }
    changed.push(...applyLimits(parts, limits));
    if (this.#ownLog !== undefined && this.#ownLog.level !== plan.log.level) {
      this.#ownLog.level = plan.log.level;
      changed.push('log.level');
    }
    if (!isDeepStrictEqual(parts.captures.plan, plan.capture)) {
      parts.captures.allow(plan.capture);
      changed.push('capture');
    }
    if (!isDeepStrictEqual(parts.drainPlan, plan.drain)) {
      parts.drainPlan = plan.drain;
      changed.push('drain');
    }
    return { keyIds: keys.keys.map(({ id }) => id), changed, needRestart: needRestart(this.plan, plan) };
  }
}

const limitNames = ['maxPeers', 'maxPacketsPerSecondPerPeer', 'maxBytesPerSecondPerPeer'] as const;

/** There is room for as many peers as at the start. */
function limitsWithin(wanted: LimitsPlan, started: LimitsPlan): LimitsPlan {
  return { ...wanted, maxPeers: Math.min(wanted.maxPeers, started.maxPeers) };
}

function applyLimits(parts: GatewayParts, limits: LimitsPlan): string[] {
  const changed = limitNames.filter((name) => parts.limits[name] !== limits[name]);
  if (changed.length === 0) return [];
  for (const { server } of parts.listeners) server.setLimits(limits);
  parts.limits = limits;
  return changed.map((name) => `limits.${name}`);
}

/** What differs from the plan that the gateway was opened with, and stays as that has it. */
function needRestart(started: GatewayPlan, now: GatewayPlan): string[] {
  const differs: string[] = [];
  const compare = (name: string, a: unknown, b: unknown): void => {
    if (!isDeepStrictEqual(a, b)) differs.push(name);
  };
  for (const name of [
    'name',
    'protocolId',
    'sync',
    'sessions',
    'sae',
    'tokens',
    'metrics',
    'control',
    'openTelemetry',
  ] as const) {
    compare(name, started[name], now[name]);
  }
  // Functions that are read anew are others, whatever they do.
  if (typeof started.handlers === 'string' || typeof now.handlers === 'string')
    compare('handlers', started.handlers, now.handlers);
  const { token: _a, ...adminBefore } = started.admin ?? { token: undefined };
  const { token: _b, ...adminNow } = now.admin ?? { token: undefined };
  compare('admin', adminBefore, adminNow);
  if (now.log.events !== started.log.events) differs.push('log.events');
  if (now.limits.maxPeers > started.limits.maxPeers) differs.push('limits.maxPeers');
  if (started.listeners.length !== now.listeners.length) differs.push('listeners');
  else {
    started.listeners.forEach((listener, index) => {
      const other = now.listeners[index];
      if (other !== undefined) differs.push(...differencesOf(`listeners[${index}]`, listener, other));
    });
  }
  return differs;
}

function differencesOf(path: string, a: ListenerPlan, b: ListenerPlan): string[] {
  const names = ['name', 'address', 'publicAddresses', 'wires', 'layers', 'resetKey', 'options'] as const;
  const differs = names
    .filter((name) => !isDeepStrictEqual(a[name], b[name]))
    .map((name) => `${path}.${name}`);
  const channelsOf = ({ channels }: ListenerPlan): string => new ChannelTable(channels).describe();
  return channelsOf(a) === channelsOf(b) ? differs : [...differs, `${path}.channels`];
}
