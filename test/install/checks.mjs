// The install test: what a user has after `npm install` of the tarball. Run by the stage "install" of npm test.
import { addonChecks } from './check-addon.mjs';
import { bundleChecks } from './check-bundle.mjs';
import { npmChecks } from './check-npm.mjs';
import { runtimeChecks } from './check-runtime.mjs';
import { typeChecks } from './check-types.mjs';

/**
 * A check throws, or rejects, when something is wrong. Those marked `deep` take minutes.
 *
 * @typedef {object} InstallCheck
 * @property {string} title
 * @property {boolean} [deep]
 * @property {(context: import('./context.mjs').Context) => unknown} run
 */

/** @type {readonly InstallCheck[]} */
export const installChecks = [...npmChecks, ...runtimeChecks, ...bundleChecks, ...addonChecks, ...typeChecks];
