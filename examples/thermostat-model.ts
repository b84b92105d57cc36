// What a thermostat consists of: the device and whoever controls it are typed and checked by the same model. Its schemas are those of zod;
// any other validator with the interface of standard-schema does as well.

import { defineModel } from 'hawser/interaction';
import { z } from 'zod';

export const model = defineModel({
  thermostat: {
    endpoint: 1,
    features: {
      temperature: {
        feature: 2,
        attributes: {
          measured: { attribute: 1, schema: z.number() },
          target: { attribute: 2, schema: z.number().min(5).max(30), writable: true },
        },
        commands: {
          boost: {
            command: 1,
            parameters: z.object({ minutes: z.number().min(1).max(60) }),
            result: z.object({ untilMs: z.number() }),
          },
        },
      },
    },
  },
});
