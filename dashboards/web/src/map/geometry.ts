/** Geometry without a map: boxes, label points, shared borders. Pure. */

import type { Feature, FeatureCollection, Geometry, MultiPolygon, Polygon, Position } from 'geojson';

export type Area = Feature<Polygon | MultiPolygon, { row: number; name?: string; name_en?: string }>;
export type Areas = FeatureCollection<Polygon | MultiPolygon, { row: number; name?: string; name_en?: string }>;
export type Box = [number, number, number, number];

export function polygons(g: Geometry): Position[][][] {
  if (g.type === 'Polygon') return [g.coordinates];
  return g.type === 'MultiPolygon' ? g.coordinates : [];
}

export function boxOf(g: Geometry): Box {
  const box: Box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const rings of polygons(g)) {
    for (const p of rings[0] ?? []) {
      const [x = 0, y = 0] = p;
      if (x < box[0]) box[0] = x;
      if (y < box[1]) box[1] = y;
      if (x > box[2]) box[2] = x;
      if (y > box[3]) box[3] = y;
    }
  }
  return box;
}

export function union(boxes: Iterable<Box>): Box {
  const out: Box = [Infinity, Infinity, -Infinity, -Infinity];
  for (const b of boxes) {
    out[0] = Math.min(out[0], b[0]); out[1] = Math.min(out[1], b[1]);
    out[2] = Math.max(out[2], b[2]); out[3] = Math.max(out[3], b[3]);
  }
  return out;
}

function area(ring: Position[]): number {
  let sum = 0;
  for (let i = 0; i + 1 < ring.length; i++) {
    const [x0 = 0, y0 = 0] = ring[i] ?? [];
    const [x1 = 0, y1 = 0] = ring[i + 1] ?? [];
    sum += x0 * y1 - x1 * y0;
  }
  return Math.abs(sum / 2);
}

function inside(x: number, y: number, rings: Position[][]): boolean {
  let odd = false;
  for (const ring of rings) {
    for (let i = 0, j = ring.length - 1; i < ring.length; j = i++) {
      const [xi = 0, yi = 0] = ring[i] ?? [];
      const [xj = 0, yj = 0] = ring[j] ?? [];
      if (yi > y !== yj > y && x < ((xj - xi) * (y - yi)) / (yj - yi) + xi) odd = !odd;
    }
  }
  return odd;
}

function gap(x: number, y: number, rings: Position[][]): number {
  let best = Infinity;
  for (const ring of rings) for (const [px = 0, py = 0] of ring) best = Math.min(best, (px - x) ** 2 + (py - y) ** 2);
  return best;
}

/** Whether a place lies in an area. */
export function within(g: Geometry, lon: number, lat: number): boolean {
  return polygons(g).some((rings) => inside(lon, lat, rings));
}

/** A point well inside the largest polygon: the best of a coarse lattice. */
export function labelPoint(g: Geometry): Position {
  const list = polygons(g);
  const big = list.reduce<Position[][]>((a, b) => (area(b[0] ?? []) > area(a[0] ?? []) ? b : a), list[0] ?? [[]]);
  const [x0, y0, x1, y1] = boxOf({ type: 'Polygon', coordinates: big });
  let best: Position = [(x0 + x1) / 2, (y0 + y1) / 2];
  let far = -1;
  for (let i = 1; i < 12; i++) {
    for (let j = 1; j < 12; j++) {
      const x = x0 + ((x1 - x0) * i) / 12;
      const y = y0 + ((y1 - y0) * j) / 12;
      if (!inside(x, y, big)) continue;
      const d = gap(x, y, big);
      if (d > far) { far = d; best = [x, y]; }
    }
  }
  return best;
}

/** Borders shared by two areas, chained by pair: the lines along which a class may change. */
export interface Border { a: number; b: number; line: Position[] }

const GRAIN = 1e6;

/** Segments that occur in exactly two areas. Areas must share vertices, as a partition's do. */
export function borders(areas: Area[]): Border[] {
  const first = new Map<string, { row: number; p: Position; q: Position }>();
  const found = new Map<string, Border[]>();
  const key = (p: Position): string => `${Math.round((p[0] ?? 0) * GRAIN)},${Math.round((p[1] ?? 0) * GRAIN)}`;
  for (const f of areas) {
    const row = f.properties.row;
    for (const rings of polygons(f.geometry)) for (const ring of rings) for (let i = 0; i + 1 < ring.length; i++) {
      const p = ring[i];
      const q = ring[i + 1];
      if (!p || !q) continue;
      const kp = key(p);
      const kq = key(q);
      const id = kp < kq ? `${kp};${kq}` : `${kq};${kp}`;
      const other = first.get(id);
      if (!other) { first.set(id, { row, p, q }); continue; }
      if (other.row === row) continue;
      const pair = other.row < row ? `${other.row}/${row}` : `${row}/${other.row}`;
      const lines = found.get(pair) ?? [];
      const last = lines.at(-1);
      if (last && key(last.line.at(-1) ?? []) === kp) last.line.push(q);
      else if (last && key(last.line[0] ?? []) === kq) last.line.unshift(p);
      else lines.push({ a: Math.min(other.row, row), b: Math.max(other.row, row), line: [p, q] });
      found.set(pair, lines);
    }
  }
  return [...found.values()].flat();
}
