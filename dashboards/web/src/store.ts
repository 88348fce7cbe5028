/** What the page knows, as signals. link.ts writes, components read; `frame` is bumped once per painted batch. */

import { batch, computed, signal } from '@preact/signals';
import { Board } from './board';
import { levelOf, severity } from './level';
import { LEVELS, Quality, type Case, type Cell, type City, type Entity, type Health, type Indicator, type Level, type LinkState, type Scopes, type TickerItem, type Trend } from './types';

export const board = new Board();
export const frame = signal(0);
export const indicators = signal<Indicator[]>([]);
export const scopes = signal<Scopes>(emptyScopes());
export const city = signal<City>({ name: '', title: {}, timezone: 'UTC', edition: '' });
export const link = signal<{ state: LinkState; lastData: number; lag: number; retryAt: number }>({
  state: 'connecting', lastData: 0, lag: 0, retryAt: 0,
});
/** Server time of the last message and the local time it came in: the clock runs on between messages. */
export const clock = signal<{ server: number; local: number }>({ server: 0, local: 0 });
export const now = signal(0);
/** The clock in steps of 10 s, for what need not be drawn anew each moment. */
export const slowNow = computed(() => Math.floor(now.value / 10_000) * 10_000);
export const cases = new Map<string, Case>();
export const casesRev = signal(0);
export const entities = new Map<number, Entity>();
export const entitiesRev = signal(0);
export const ticker = signal<TickerItem[]>([]);
export const health = signal<Health>({ deadTotal: 0, dead: [], sources: [], events: 0, rate: 0, at: 0, live: true, lacking: [], summary: false });
/** Events per bin, newest last. */
export const rates = signal<Trend & { whole: boolean }>({ end: 0, step: 600_000, values: [], whole: false });
export const trends = signal<Map<string, Trend>>(new Map());

export type Pick = { type: 'scope' | 'entity'; row: number } | { type: 'case'; id: string } | { type: 'indicator'; id: string };
export const chosen = signal('');
/** An id that was asked for and is none of this city's. */
export const unknown = signal('');
export const focus = signal(0);
export const picked = signal<Pick | null>(null);
export const panel = signal<'search' | 'help' | 'all' | null>(null);
export const theme = signal<'dark' | 'light'>('dark');
export const flags = signal({ three: false, devices: true, labels: true });

export function emptyScopes(): Scopes {
  return { code: [], name: [], nameEn: [], parent: new Int32Array(), level: new Int8Array(), synthetic: [], unlocated: [], children: new Map() };
}

/** Rows by scope code; of rows that are not told yet there is none. */
export const rowByCode = computed(() => {
  const out = new Map<string, number>();
  scopes.value.code.forEach((code, row) => out.set(code, row));
  return out;
});

/** Row of a scope that is told by row or by code; -1 where it is none. */
export const rowOf = (scope: number | string): number => (typeof scope === 'number' ? scope : (rowByCode.value.get(scope) ?? -1));

/** The one composite that stands for the whole city. */
export const INDEX = 'city_health_index';
export const byId = computed(() => new Map(indicators.value.map((i) => [i.id, i])));
export const chosenIndicator = computed(() => byId.value.get(chosen.value));

/** Name of a scope row in a language. */
export function scopeName(row: number, lang: string): string {
  const s = scopes.value;
  if (lang === 'en') return s.nameEn[row] || s.name[row] || s.code[row] || '';
  return s.name[row] || s.code[row] || '';
}

/** From the city down to the row. */
export function path(row: number): number[] {
  const out: number[] = [];
  for (let r = row; r >= 0 && out.length < 6; r = scopes.value.parent[r] ?? -1) out.unshift(r);
  return out;
}

/** Where a case or a device is, short: district and street (a grid's own name says nothing). */
export function placeName(row: number, lang: string): string {
  const line = path(row).filter((r) => !scopes.value.unlocated[r]);
  const [district, street] = [line[1], line[2]].map((r) => (r === undefined ? '' : shortName(scopeName(r, lang))));
  if (lang === 'en') return street || district || scopeName(0, lang);
  return [district, street].filter(Boolean).join('·') || scopeName(0, lang);
}

/** A name without what its level says anyway: 江岸, Jiang'an. */
export function shortName(name: string): string {
  return name.length > 2 ? name.replace(/(区|街道| District| Sub-?district| Street)$/i, '') : name;
}

/** Children of a row that are places (no `unlocated` ones). */
export function placesIn(row: number): number[] {
  return (scopes.value.children.get(row) ?? []).filter((r) => !scopes.value.unlocated[r]);
}

/** The value of an indicator for a scope, or of its nearest ancestor that has the level; `row` says whose it is. */
export function cellFor(ind: Indicator, row: number): Cell & { row: number } {
  const finest = Math.max(...ind.levels.map((l) => LEVELS.indexOf(l)));
  const line = path(row);
  const own = line[Math.min(line.length - 1, finest)] ?? 0;
  return { ...board.cell(ind.id, own), row: own };
}

export interface Vital {
  ind: Indicator;
  cell: Cell & { row: number };
  level: Level;
}

/** Level that counts: stale values keep theirs, values without data have none, provisional ones never raise I or II. */
export function effective(ind: Indicator, cell: Cell): Level {
  if (cell.quality >= Quality.NODATA) return 0;
  const level = cell.band || levelOf(cell.value, ind); // relative bands: the engine's word alone
  return cell.quality === Quality.PROVISIONAL && (level === 1 || level === 2) ? 3 : level;
}

/** How bad a value is, for ranking; the level is the one that is shown. */
export function harm(ind: Indicator, cell: Cell): number {
  return severity(cell.value, ind, effective(ind, cell));
}

function order(v: Vital): number {
  const weight = v.level ? harm(v.ind, v.cell) : 0;
  const doubt = v.cell.quality >= Quality.STALE ? 1 : 0;
  return -(weight + doubt);
}

/** Cards of the focus by theme, the worst theme first, the worst card first in each. */
export const groups = computed(() => {
  void frame.value;
  const found = new Map<string, Vital[]>();
  for (const ind of indicators.value) {
    if (ind.theme === 'composite') continue;
    const cell = cellFor(ind, focus.value);
    const list = found.get(ind.theme) ?? [];
    list.push({ ind, cell, level: effective(ind, cell) });
    found.set(ind.theme, list);
  }
  const out = [...found].map(([theme, vitals], i) => {
    vitals.sort((a, b) => order(a) - order(b));
    const bad = vitals.filter((v) => v.level);
    const worst = Math.max(0, ...bad.map((v) => harm(v.ind, v.cell)));
    return { theme, vitals, bad: bad.length, worst: worst + bad.length / 10, i };
  });
  return out.sort((a, b) => b.worst - a.worst || a.i - b.i);
});

/** Ids in the order in which the workshop lists them. */
export const listing = signal<string[]>([]);

export interface Notice {
  ind: Indicator;
  rows: { row: number; value: number; level: Level; at: number }[];
  level: Level;
  worst: number;
}

const since = new Map<string, number>();

/** When an exceedance was first seen here; 0 when it was there already. */
export function firstSeen(id: string, row: number): number {
  return since.get(`${id}/${row}`) ?? 0;
}

/** Indicators out of band in the city or a district now, worst first; districts of one indicator are one notice. */
export const notices = computed<Notice[]>(() => {
  void frame.value;
  const rows = [0, ...placesIn(0)];
  const out: Notice[] = [];
  for (const ind of indicators.value) {
    if (ind.theme === 'composite' && ind.id !== INDEX) continue; // the same trouble again, as a score
    const bad = rows.flatMap((row) => {
      if (row > 0 && !ind.levels.includes('district')) return [];
      const cell = board.cell(ind.id, row);
      const level = effective(ind, cell);
      return level ? [{ row, value: cell.value, level, at: cell.at }] : [];
    });
    if (bad.length === 0) continue;
    bad.sort((a, b) => severity(b.value, ind, b.level) - severity(a.value, ind, a.level) || a.row - b.row);
    const first = bad[0];
    if (first) out.push({ ind, rows: bad, level: first.level, worst: severity(first.value, ind, first.level) });
  }
  return out.sort((a, b) => b.worst - a.worst || a.ind.id.localeCompare(b.ind.id));
});

/** Time of the first frame with values: what was out of band then began before. */
let began = 0;

/** Note when each exceedance began; called once per frame. */
export function noteExceedances(at: number): void {
  if (!began && notices.value.length) began = at;
  const live = new Set<string>();
  for (const notice of notices.value) {
    for (const r of notice.rows) {
      const key = `${notice.ind.id}/${r.row}`;
      live.add(key);
      if (!since.has(key)) since.set(key, at > began + 5_000 ? at : 0);
    }
  }
  for (const key of since.keys()) if (!live.has(key)) since.delete(key);
}

/** Number of values out of band by level I..IV. */
export const counts = computed(() => {
  const out = [0, 0, 0, 0];
  for (const n of notices.value) for (const r of n.rows) out[r.level - 1] = (out[r.level - 1] ?? 0) + 1;
  return out;
});

const OPEN_ENDED = new Set(['closed', 'evaluated', 'merged', 'voided', 'rejected', 'answered', 'transferred', 'withdrawn']);

export function isOpen(c: Case): boolean {
  return !OPEN_ENDED.has(c.stage);
}

/** Whether a scope row is a place or lies in it. */
export function within(row: number, place: number): boolean {
  return place === 0 || path(row).includes(place);
}

export const openCases = computed(() => {
  void casesRev.value;
  const place = focus.value;
  return [...cases.values()].filter((c) => isOpen(c) && within(c.scope, place));
});

/** Choose an indicator for the map. */
export function choose(id: string, open = true): void {
  batch(() => {
    chosen.value = id;
    if (open) picked.value = { type: 'indicator', id };
  });
}

/** Go to a place: the cards, the strip and the map are its own. */
export function drill(row: number): void {
  batch(() => {
    focus.value = row;
    if (picked.value?.type === 'scope') picked.value = null;
  });
}
