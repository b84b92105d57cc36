// What connections of the interaction protocol count, and the sums over those that there are and were.

/** What an {@link InteractionConnection} did since it was made. */
export interface InteractionCounts {
  /** Requests of the other side that were answered, and those of them whose answer was no SUCCESS. */
  readonly requests: number;
  /** Requests of the other side whose answer was no SUCCESS. */
  readonly errors: number;
  /** Notifications that were sent; each part of one that went in several. */
  readonly notifications: number;
}

/** What the connections of a device, or of a gateway, do and did. */
export interface InteractionStats extends InteractionCounts {
  /** Connections that there are, those that are being closed included. */
  readonly connections: number;
}

/** What is needed of a connection. */
export interface CountingConnection {
  readonly counts: InteractionCounts;
}

export const noCounts: InteractionCounts = { requests: 0, errors: 0, notifications: 0 };

/** Adds up what connections count: those that there are, and those that were. */
export class InteractionTotals {
  readonly #connections = new Set<CountingConnection>();
  #past: InteractionCounts = noCounts;

  /** How many connections there are. */
  get connections(): number {
    return this.#connections.size;
  }

  add(connection: CountingConnection): void {
    this.#connections.add(connection);
  }

  /** It is over; what it counted stays. Harmless when it is not there. */
  delete(connection: CountingConnection): void {
    if (this.#connections.delete(connection)) this.#past = sum(this.#past, connection.counts);
  }

  /** @returns the sums as they are now: one pass over the connections. */
  get stats(): InteractionStats {
    let total = this.#past;
    for (const { counts } of this.#connections) total = sum(total, counts);
    return { connections: this.#connections.size, ...total };
  }
}

function sum(a: InteractionCounts, b: InteractionCounts): InteractionCounts {
  return {
    requests: a.requests + b.requests,
    errors: a.errors + b.errors,
    notifications: a.notifications + b.notifications,
  };
}
