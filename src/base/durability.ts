// How long a store on the disk waits before it acknowledges.

/**
 * - `durable`: what is acknowledged has been given to the disk, and so has the page that makes it the current state.
 * - `relaxed`: that page follows within a second, or with the next commit. The end of the process loses nothing; when the machine loses
 *   power, the last commit before may be undone. One sync of the disk instead of two.
 */
export type Durability = 'durable' | 'relaxed';
