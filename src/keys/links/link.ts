// How sealed messages get to a peer.

/** A way to one peer. */
export interface SaeLink {
  /** Whether it delivers what it takes, in order, as long as it lasts: then nothing is sent again on it before it has been replaced. */
  readonly delivers: boolean;
  /**
   * Sends one sealed message, whose bytes are copied at once. What cannot be sent is lost, as on a network: it never throws.
   *
   * @returns whether it was taken.
   */
  send(bytes: Uint8Array): boolean;
}
