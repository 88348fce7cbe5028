import { describe, expect, test } from 'vitest';
import { digits } from '../src/dispatch/intake';
import { nudged, rounded } from '../src/dispatch/pin';
import { apart } from '../src/dispatch/queue';
import { within } from '../src/map/geometry';

const HERE = { lon: 114.31, lat: 30.62 };

describe('the pin', () => {
  test('goes by metres where its arrow key points, and back', () => {
    for (const [key, back] of [['ArrowUp', 'ArrowDown'], ['ArrowLeft', 'ArrowRight']] as const) {
      const there = nudged(HERE, key, 10) ?? HERE;
      expect(apart(HERE.lon, HERE.lat, there.lon, there.lat)).toBeCloseTo(10, 0);
      expect(rounded(nudged(there, back, 10) ?? there)).toEqual(HERE);
    }
    expect([(nudged(HERE, 'ArrowUp', 100)?.lat ?? 0) > HERE.lat, (nudged(HERE, 'ArrowRight', 100)?.lon ?? 0) > HERE.lon, nudged(HERE, 'Enter', 10)]).toEqual([true, true, null]);
  });
  test('lies in a place or not, holes are none of it', () => {
    const ring = (a: number, b: number): number[][] => [[a, a], [b, a], [b, b], [a, b], [a, a]];
    const area = { type: 'MultiPolygon' as const, coordinates: [[ring(0, 10), ring(4, 6)], [ring(20, 30)]] };
    expect([[1, 1], [5, 5], [25, 25], [15, 15]].map(([x = 0, y = 0]) => within(area, x, y))).toEqual([true, false, true, false]);
  });
});

test('a number is the same however it is typed', () => {
  expect(['138 0000-0000', '+86 13800000000', '0086 138 0000 0000', '(027) 8555-0101', '86'].map(digits)).toEqual(['13800000000', '13800000000', '13800000000', '02785550101', '86']);
});
