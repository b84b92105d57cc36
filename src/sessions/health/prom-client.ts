// The optional package prom-client, for what makes a registry of its own.

import { HawserError } from '../../base/errors.js';

/** @throws HawserError (rejects) ERR_HAWSER_PACKAGE_MISSING without the package. */
export async function loadPromClient(): Promise<typeof import('prom-client')> {
  try {
    return await import('prom-client');
  } catch (cause) {
    const message = 'metrics for Prometheus need the package prom-client: npm install prom-client';
    throw new HawserError('ERR_HAWSER_PACKAGE_MISSING', message, { cause });
  }
}
