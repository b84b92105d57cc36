import { expect, it } from 'vitest';
import { dropMeanings } from '../../dashboard/views/drop-meanings.js';
import { dropReasons } from '../../src/transport/stats.js';

it('every reason for a drop has a meaning, and there is no meaning of another', () => {
  expect(Object.keys(dropMeanings).sort()).toEqual([...dropReasons].sort());
  expect(new Set(Object.values(dropMeanings)).size).toBe(dropReasons.length);
});
