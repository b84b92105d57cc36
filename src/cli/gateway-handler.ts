// The module of `--handler`: what the gateway does with messages, and with the requests of sessions.

import { resolve } from 'node:path';
import { pathToFileURL } from 'node:url';
import type { SessionServerOptions } from '../sessions/server/options.js';
import { CommandError } from './errors.js';

/** The functions of an application for sessions; those that are there. */
export type SessionHandlers = Pick<SessionServerOptions, 'onRequest' | 'onQuery' | 'onExpire'>;

export interface HandlerModule {
  /** Its default export; called before anybody connects. */
  readonly prepare: ((server: unknown, sessions?: unknown) => unknown) | undefined;
  readonly sessions: SessionHandlers;
}

/**
 * @param withSessions whether the gateway serves sessions: then the default export may be left out.
 * @throws CommandError (rejects) when it cannot be loaded, or exports nothing to call.
 */
export async function loadHandler(path: string, withSessions: boolean): Promise<HandlerModule> {
  const exported = await importModule(path);
  const prepare = functionOf(exported, 'default');
  const onRequest = functionOf(exported, 'onRequest');
  const onQuery = functionOf(exported, 'onQuery');
  const onExpire = functionOf(exported, 'onExpire');
  const sessions: SessionHandlers = {
    ...(onRequest !== undefined && { onRequest }),
    ...(onQuery !== undefined && { onQuery }),
    ...(onExpire !== undefined && { onExpire }),
  };
  const hasSessions = Object.keys(sessions).length > 0;
  if (prepare !== undefined || (withSessions && hasSessions)) return { prepare, sessions };
  const also = withSessions ? ', or onRequest, onQuery or onExpire' : '';
  const hint = hasSessions ? '; its functions for sessions need --sessions or --store' : '';
  throw new CommandError(
    `the handler ${path} must export a function (server) => void as its default${also}${hint}`,
  );
}

async function importModule(path: string): Promise<Readonly<Record<string, unknown>>> {
  try {
    return await import(pathToFileURL(resolve(path)).href);
  } catch (error) {
    // A module that is not there is a slip; one that throws needs its stack to be mended.
    const missing = error instanceof Error && 'code' in error && error.code === 'ERR_MODULE_NOT_FOUND';
    const reason = error instanceof Error ? (missing ? error.message : error.stack) : String(error);
    throw new CommandError(`cannot load the handler ${path}: ${reason}`);
  }
}

/** What it returns is checked by who calls it. */
function functionOf(exported: Readonly<Record<string, unknown>>, name: string) {
  const value = exported[name];
  return typeof value === 'function' ? (...args: readonly unknown[]) => value(...args) : undefined;
}
