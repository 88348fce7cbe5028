/** All indicator values by scope row: typed columns, merged from deltas. Pure, tested without a browser. */

import { Quality, type Cell, type Level, type Trend } from './types';

interface Column {
  value: Float64Array;
  quality: Uint8Array;
  fresh: Int32Array;
  expected: Int32Array;
  closed: Float64Array;
  restated: Uint8Array;
  band: Uint8Array;
  at: Float64Array;
}

/** One indicator's changed rows, parallel arrays; `value` null = no data, the optional ones may be absent. */
export interface Patch {
  rows: ArrayLike<number>;
  value: ArrayLike<number | null>;
  quality?: ArrayLike<number> | undefined;
  fresh?: ArrayLike<number> | undefined;
  expected?: ArrayLike<number> | undefined;
  closed?: ArrayLike<number | null> | undefined;
  restated?: ArrayLike<number | boolean> | undefined;
  band?: ArrayLike<number> | undefined;
  at: number;
  /** As-of of values that were stale when first seen; 0 = unknown. */
  staleAt?: number;
}

const EMPTY: Cell = {
  value: NaN, quality: Quality.NODATA, fresh: 0, expected: 0, restated: false, closed: NaN, at: 0, band: 0,
};

function grown<T extends Float64Array | Uint8Array | Int32Array>(old: T, made: T): T {
  made.set(old as never);
  return made;
}

export class Board {
  private columns = new Map<string, Column>();
  private size: number;
  /** Time of the newest frame: what is not stale holds until then, changed or not. */
  now = 0;

  constructor(size = 1024) {
    this.size = size;
  }

  /** Forget all: a new epoch or a new snapshot. */
  clear(): void {
    this.columns.clear();
  }

  ids(): string[] {
    return [...this.columns.keys()].sort();
  }

  has(id: string): boolean {
    return this.columns.has(id);
  }

  private column(id: string, rows: number): Column {
    if (rows > this.size) {
      this.size = Math.max(rows, this.size * 2);
      for (const [key, c] of this.columns) this.columns.set(key, this.make(c));
    }
    let c = this.columns.get(id);
    if (!c) this.columns.set(id, (c = this.make()));
    return c;
  }

  private make(old?: Column): Column {
    const n = this.size;
    const made: Column = {
      value: new Float64Array(n).fill(NaN), quality: new Uint8Array(n).fill(Quality.NODATA),
      fresh: new Int32Array(n), expected: new Int32Array(n), closed: new Float64Array(n).fill(NaN),
      restated: new Uint8Array(n), band: new Uint8Array(n), at: new Float64Array(n),
    };
    if (old) for (const key of Object.keys(made) as (keyof Column)[]) grown(old[key], made[key]);
    return made;
  }

  /** Merge a patch; the newest value per (indicator, row) wins. */
  apply(id: string, p: Patch): void {
    let top = 0;
    for (let i = 0; i < p.rows.length; i++) top = Math.max(top, (p.rows[i] ?? 0) + 1);
    const c = this.column(id, top);
    for (let i = 0; i < p.rows.length; i++) {
      const row = p.rows[i] ?? 0;
      const value = p.value[i];
      const known = value !== null && value !== undefined;
      c.value[row] = known ? value : NaN;
      c.quality[row] = p.quality?.[i] ?? (known ? Quality.GOOD : Quality.NODATA);
      c.fresh[row] = p.fresh?.[i] ?? 0;
      c.expected[row] = p.expected?.[i] ?? 0;
      c.closed[row] = p.closed?.[i] ?? NaN;
      c.restated[row] = p.restated?.[i] ? 1 : 0;
      c.band[row] = p.band?.[i] ?? 0;
      const old = c.quality[row] === Quality.STALE;
      c.at[row] = old ? c.at[row] || p.staleAt || 0 : p.at;
    }
  }

  /** The value of an indicator at a scope with all that stands beside it. */
  cell(id: string, row: number): Cell {
    const c = this.columns.get(id);
    if (!c || row < 0 || row >= this.size) return EMPTY;
    return {
      value: c.value[row] ?? NaN, quality: c.quality[row] ?? Quality.NODATA, fresh: c.fresh[row] ?? 0,
      expected: c.expected[row] ?? 0, restated: c.restated[row] === 1, closed: c.closed[row] ?? NaN, band: (c.band[row] ?? 0) as Level,
      at: (c.quality[row] ?? 4) < Quality.STALE ? Math.max(this.now, c.at[row] ?? 0) : (c.at[row] ?? 0),
    };
  }

  value(id: string, row: number): number {
    return this.columns.get(id)?.value[row] ?? NaN;
  }

  /** Hash of all values and qualities, equal for equal boards whatever the order of patches (FNV-1a, 32 bits). */
  hash(): string {
    let h = 0x811c9dc5;
    const eat = (text: string): void => {
      for (let i = 0; i < text.length; i++) h = Math.imul(h ^ text.charCodeAt(i), 0x01000193);
    };
    for (const id of this.ids()) {
      const c = this.columns.get(id);
      if (!c) continue;
      eat(id);
      for (let row = 0; row < c.value.length; row++) {
        const v = c.value[row] ?? NaN;
        const q = c.quality[row] ?? 4;
        if (q !== Quality.NODATA || !Number.isNaN(v)) eat(`${row}:${v}:${q};`);
      }
    }
    return (h >>> 0).toString(16).padStart(8, '0');
  }
}

/** A trend with a live value at its end: the last step is replaced or steps are added, the length stays. */
export function extend(trend: Trend, at: number, value: number): Trend {
  if (!(trend.step > 0) || at <= trend.end - trend.step) return trend;
  const values = trend.values.slice();
  const steps = Math.ceil((at - trend.end) / trend.step);
  if (steps <= 0) values[values.length - 1] = value;
  else {
    const add = Math.min(steps, values.length);
    values.splice(0, add);
    for (let i = 0; i < add; i++) values.push(i === add - 1 ? value : NaN);
  }
  return { step: trend.step, end: trend.end + Math.max(0, steps) * trend.step, values };
}
