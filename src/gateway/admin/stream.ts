// Server-sent events: the snapshots of the feed for browsers and whoever else looks on.

import type { ServerResponse } from 'node:http';
import { begin, RequestError } from './answer.js';
import type { Shot, SnapshotFeed } from './snapshot-feed.js';

const maxViewers = 32;
/** Snapshots that a viewer may miss in a row since it has not taken what came before; then it is dropped. */
const maxMissed = 10;
/** When a browser that was cut off comes back. */
const retryMs = 2000;

/** Those who look on. */
export class Stream {
  readonly #feed: SnapshotFeed;
  readonly #responses = new Set<ServerResponse>();

  constructor(feed: SnapshotFeed) {
    this.#feed = feed;
  }

  get viewers(): number {
    return this.#responses.size;
  }

  /**
   * Answers with a stream that ends with the connection: for each snapshot an event `sample` and one without a name, both JSON.
   *
   * @param isAdmitted whether it may go on.
   * @throws RequestError 503 when there are 32 already.
   */
  begin(response: ServerResponse, isAdmitted: () => boolean): void {
    if (this.#responses.size >= maxViewers) {
      throw new RequestError(503, `${maxViewers} are looking on already`, { 'retry-after': '5' });
    }
    begin(response, 200, { 'content-type': 'text/event-stream; charset=utf-8', 'x-accel-buffering': 'no' });
    response.write(`retry: ${retryMs}\n\n`);
    this.#responses.add(response);
    let stop = (): void => undefined;
    // Before anything that can fail: what is not taken away again is a viewer for ever.
    response.once('close', () => {
      stop();
      this.#responses.delete(response);
    });
    let missed = 0;
    stop = this.#feed.watch((shot) => {
      if (!isAdmitted()) response.end();
      else if (!response.writableNeedDrain) {
        missed = 0;
        response.write(eventsOf(shot));
      } else if (++missed >= maxMissed) response.destroy();
    });
  }

  /** Ends all of them. */
  close(): void {
    for (const response of this.#responses) response.end();
  }
}

const texts = new WeakMap<Shot, Buffer>();

/** JSON has no line break outside its strings, and within them only escaped ones. */
function eventsOf(shot: Shot): Buffer {
  const made = texts.get(shot);
  if (made !== undefined) return made;
  const text = `event: sample\ndata: ${JSON.stringify(shot.sample)}\n\ndata: ${shot.text}\n\n`;
  const bytes = Buffer.from(text);
  texts.set(shot, bytes);
  return bytes;
}
