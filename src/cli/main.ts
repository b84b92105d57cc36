#!/usr/bin/env node
// The command `hawser`. The rest is loaded only once this version of Node is known to be new enough for it.

import { HawserError } from '../base/errors.js';
import { checkNodeVersion } from '../transport/native.js';

try {
  checkNodeVersion(process.versions.node);
  const { main } = await import('./run.js');
  process.exitCode = await main(process.argv.slice(2));
} catch (error) {
  if (!(error instanceof HawserError)) throw error;
  process.stderr.write(`${error.message}\n`);
  process.exitCode = 1;
}
