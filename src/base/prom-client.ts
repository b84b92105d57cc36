// The optional package prom-client, for what makes a registry of its own.

import { createRequire } from 'node:module';
import { HawserError } from './errors.js';

/** @throws HawserError (rejects) ERR_HAWSER_PACKAGE_MISSING without the package. */
export async function loadPromClient(): Promise<typeof import('prom-client')> {
  try {
    return await import('prom-client');
  } catch (cause) {
    const message = 'metrics for Prometheus need the package prom-client: npm install prom-client';
    throw new HawserError('ERR_HAWSER_PACKAGE_MISSING', message, { cause });
  }
}

/** Whether the package is installed: it is looked for, not loaded. */
export function hasPromClient(): boolean {
  try {
    createRequire(import.meta.url).resolve('prom-client');
    return true;
  } catch {
    return false;
  }
}
