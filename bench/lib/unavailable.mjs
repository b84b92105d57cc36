/** A rival cannot run here: its package is not installed, or it is made for other systems. That is reported and fails nothing. */
export class RivalUnavailable extends Error {
  /** @override */
  name = 'RivalUnavailable';
}
