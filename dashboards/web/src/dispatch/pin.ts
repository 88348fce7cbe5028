/** The pin of the form for reports: where it happened. The map shows it and moves it; here are its place and its moves. */

import { signal } from '@preact/signals';

export interface Place { lon: number; lat: number }

export const pin = signal<Place | null>(null);
/** Whether the form is open, so that a click on the map sets the pin. */
export const pinning = signal(false);
/** The middle of what the map shows; null while there is no map. */
export const middle = { of: (): Place | null => null };
/** Row of the place in which the pin lies; -1 for none that is known. */
export const under = signal(-1);
/** Asked of the map: to look at the pin. */
export const sought = signal(0);

const METRE = 1 / 111_320;
const WAYS: Record<string, [number, number]> = { ArrowUp: [0, 1], ArrowDown: [0, -1], ArrowLeft: [-1, 0], ArrowRight: [1, 0] };

/** Where a pin is after an arrow key moved it by so many metres; null for another key. */
export function nudged(at: Place, key: string, metres: number): Place | null {
  const way = WAYS[key];
  if (!way) return null;
  const north = metres * METRE;
  return { lon: at.lon + (way[0] * north) / Math.cos((at.lat * Math.PI) / 180), lat: at.lat + way[1] * north };
}

/** A pin as it is said: about a metre is enough. */
export const rounded = (at: Place): Place => ({ lon: Math.round(at.lon * 1e5) / 1e5, lat: Math.round(at.lat * 1e5) / 1e5 });
