/** Bands to levels, levels to map classes. Pure. */

import type { BandName, Better, Indicator, Level } from './types';

const RANK: [BandName, Level][] = [['red', 1], ['orange', 2], ['yellow', 3], ['blue', 4]];
/** `of`: the edges are shares of something that differs from place to place, so a value alone says nothing of its band. */
type Banded = Pick<Indicator, 'bands' | 'better'> & { of?: string };

/** The worst band a value lies in: 0 = none, 1 = red (I) .. 4 = blue (IV). With `better` up the bad side is below an edge. */
export function levelOf(value: number, ind: Banded): Level {
  if (!Number.isFinite(value) || ind.of) return 0;
  for (const [name, level] of RANK) {
    const edge = ind.bands[name];
    if (edge === undefined) continue;
    if (ind.better === 'up' ? value < edge : value >= edge) return level;
  }
  return 0;
}

/** Band edges in units of the value, from the mildest to the worst, with their level; none where they are relative. */
export function edges(ind: Banded): { edge: number; level: Level }[] {
  return ind.of ? [] : listed(ind.bands);
}

/** Bands as declared, from the mildest to the worst: edges of the value, or shares where they are relative. */
export function listed(bands: Indicator['bands']): { edge: number; level: Level }[] {
  return RANK.flatMap(([name, level]) => {
    const edge = bands[name];
    return edge === undefined ? [] : [{ edge, level }];
  }).reverse();
}

/** The mildest edge: the threshold line of a sparkline. NaN without bands. */
export function threshold(ind: Banded): number {
  return edges(ind)[0]?.edge ?? NaN;
}

/** How far beyond its band a value is, for ranking: level first, then distance relative to the band's edge. `level`: as the engine says. */
export function severity(value: number, ind: Banded, level: Level = levelOf(value, ind)): number {
  const edge = edges(ind).find((e) => e.level === (level || e.level))?.edge;
  if (!Number.isFinite(value)) return 0;
  if (edge === undefined) return level ? (5 - level) * 1000 : 0;
  const beyond = (ind.better === 'up' ? edge - value : value - edge) / (Math.abs(edge) || 1);
  return (level ? (5 - level) * 1000 : 0) + Math.max(-500, Math.min(500, beyond * 100));
}

function nice(x: number): number {
  if (x === 0 || !Number.isFinite(x)) return 0;
  const unit = 10 ** (Math.floor(Math.log10(Math.abs(x))) - 1);
  return Math.round(x / unit) * unit;
}

/** Where the good end of the scale lies, as far as the bands tell. */
function bestEnd(ind: Banded & { unit?: string }, list: number[]): number {
  const [first = 0] = list;
  const gap = list.length > 1 ? Math.abs((list.at(-1) ?? 0) - first) : Math.abs(first) / 2 || 1;
  if (ind.better === 'up') return ind.unit === '%' ? Math.min(100, first + 3 * gap) : first + 1.5 * gap;
  return first > 0 && first <= 4 * gap ? 0 : first - 1.5 * gap;
}

/**
 * Five edges of six map classes, mildest first, band edges among them. Descending when a low value is the bad one,
 * so that class 5, the lightest on dark ground, is always the worst. Without bands: quantiles of the data.
 */
export function ramp(ind: Banded & { unit?: string }, data: ArrayLike<number> = []): number[] {
  const list = edges(ind).map((e) => e.edge);
  if (list.length === 0) return quantiles(data, ind.better === 'up');
  const best = bestEnd(ind, list);
  const [first = 0] = list;
  const last = list.at(-1) ?? first;
  if (list.length === 1) return [first + ((best - first) * 2) / 3, first + (best - first) / 3, first, first + (first - best) / 3, first + ((first - best) * 2) / 3].map(nice);
  const steps = 5 - list.length - (list.length === 2 ? 1 : 0);
  const before = Array.from({ length: steps }, (_, i) => nice(best + ((first - best) * (i + 1)) / (steps + 1)));
  return [...before, first, ...(list.length === 2 ? [(first + last) / 2] : list.slice(1, -1)), last].slice(-5);
}

/** Edges from the data, each beyond the one before, the first beyond the best value: where all are equal all are class 0. */
function quantiles(data: ArrayLike<number>, descending: boolean): number[] {
  const sign = descending ? -1 : 1;
  const known = Array.from(data).filter(Number.isFinite).map((v) => sign * v).sort((a, b) => a - b);
  const [least = 0] = known;
  const step = nice(((known.at(-1) ?? 0) - least) / 6) || 1;
  let before = least;
  const cut = [1, 2, 3, 4, 5].map((i) => {
    const at = known.length ? sign * nice(sign * (known[Math.floor((i * (known.length - 1)) / 6)] ?? 0)) : i;
    before = at > before ? at : before + step;
    return before;
  });
  return cut.map((v) => nice6(sign * v));
}

/** Without the noise of added fractions. */
function nice6(x: number): number {
  return Number(x.toPrecision(6));
}

/** Map class of a level, where a value alone says nothing of its band: normal is the lowest class, I the highest. */
export function classOfLevel(level: Level): number {
  return [0, 5, 4, 3, 2][level] ?? 0;
}

/** Map class of a value: 0..5, -1 for no data. `cut` as of ramp(). */
export function classOf(value: number, cut: readonly number[], better: Better): number {
  if (!Number.isFinite(value)) return -1;
  let cls = 0;
  for (const edge of cut) if (better === 'up' ? value < edge : value >= edge) cls += 1;
  return cls;
}
