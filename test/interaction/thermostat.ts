// A device for tests: two values, one of which may be written, and commands that return what they were given.

import type { DeviceHandlers } from '../../src/interaction/device.js';
import type { Value } from '../../src/interaction/values.js';

export const endpoint = 1;
export const feature = 2;
/** Cannot be written. */
export const powerId = 1;
export const limitId = 2;

export function thermostat(values: Map<number, Value>): DeviceHandlers {
  return {
    read: (request) => {
      // The vectors of MASH ask endpoint 0, too.
      if (request.endpoint > endpoint) return 'INVALID_ENDPOINT';
      const { attributes } = request;
      return new Map([...values].filter(([id]) => attributes.length === 0 || attributes.includes(id)));
    },
    write: (request) => {
      if (request.values.has(powerId)) return 'READ_ONLY';
      for (const [id, value] of request.values) values.set(id, value);
      return undefined;
    },
    invoke: async (request) => ({ payload: request.parameters ?? new Map() }),
  };
}
