/** Messages of the server as they come (dashboards/protocol.py) and their turn into the page's own nouns. Pure. */

import type { Patch } from './board';
import { BAND, Quality, type BandName, type Case, type Entity, type Health, type Level, type Scopes, type SourceState, type Text, type TickerItem, type Trend } from './types';

export type Flags = number[] | boolean;

export interface Dictionary {
  k: number[];
  code: string[];
  name: string[];
  name_en: string[];
  parent: number[];
  level: number[];
  synthetic?: Flags;
  unlocated?: Flags;
}

export interface Columns {
  k: number[];
  v: (number | null)[];
  c?: (number | null)[];
  r?: number[];
  q?: { provisional?: Flags; partial?: [number, number, number][]; stale?: Flags; nodata?: Flags; error?: Flags };
  b?: Partial<Record<BandName, number[]>>;
}

export interface TwinRows {
  k: number[];
  columns: Record<string, unknown[]>;
  names?: { k: number[]; code: string[]; name: string[]; name_en: string[] };
  gone?: number[];
}

export type Item = Record<string, unknown>;

export interface Payload {
  id: number;
  channel: string;
  seq: number;
  t: number;
  scopes?: Dictionary;
  values?: Record<string, Columns>;
  twin?: TwinRows;
  items?: Item[];
  sys?: Item;
}

/** Who else looks at a case; `more`: how many beyond those who are named. */
export interface Onlooker { user: string; name?: string; typing?: boolean }
export interface Presence { case: string; who: Onlooker[]; more?: number }

export type ServerMessage =
  | { type: 'welcome'; id: number; server: string; epoch: string; now: number; position: number; definitions: string; city: Item; channels: string[]; limits: Record<string, number> }
  | ({ type: 'snap'; epoch: string; part: number; of: number; mode?: 'full' | 'diff'; reason?: string; drop?: number[]; drop_ids?: string[] } & Payload)
  | { type: 'live'; id: number; channel: string; epoch: string; seq: number; resumed?: boolean }
  | ({ type: 'delta'; prev: number } & Payload)
  | ({ type: 'log'; prev: number } & Payload)
  | { type: 'hb'; now: number; wall: number; lag_ms: number; position: number; seqs: Record<string, number> }
  | { type: 'conflated'; id: number; n: number }
  | { type: 'done'; id: number }
  | ({ type: 'presence' } & Presence)
  | { type: 'error'; code: number; reason: string; detail: string; id?: number };

/** Columns of one indicator as a patch of the board; `t` is the frame's time. */
export function patchOf(c: Columns, t: number): Patch {
  const at = new Map(c.k.map((key, i) => [key, i]));
  const n = c.k.length;
  const quality = new Uint8Array(n);
  const fresh = new Int32Array(n);
  const expected = new Int32Array(n);
  const band = new Uint8Array(n);
  const restated = new Uint8Array(n);
  const mark = (flags: Flags | undefined, q: number): void => {
    if (flags === true) quality.fill(q);
    else if (flags) for (const key of flags) quality[at.get(key) ?? n] = q;
  };
  const q = c.q ?? {};
  mark(q.provisional, Quality.PROVISIONAL);
  mark(q.stale, Quality.STALE);
  mark(q.nodata, Quality.NODATA);
  mark(q.error, Quality.ERROR);
  for (const [key, f, e] of q.partial ?? []) {
    const i = at.get(key) ?? n;
    quality[i] = Quality.PARTIAL;
    fresh[i] = f;
    expected[i] = e;
  }
  for (const [name, keys] of Object.entries(c.b ?? {})) for (const key of keys ?? []) band[at.get(key) ?? n] = BAND[name as BandName] ?? 0;
  for (const key of c.r ?? []) restated[at.get(key) ?? n] = 1;
  // A value that is null without a word about it is no data all the same: never a good nothing.
  c.v.forEach((v, i) => { if (v === null && (quality[i] ?? 0) < Quality.STALE) quality[i] = Quality.NODATA; });
  return { rows: c.k, value: c.v, quality, fresh, expected, closed: c.c, restated, band, at: t };
}

function flagged(flags: Flags | undefined, key: number): boolean {
  return flags === true || (Array.isArray(flags) && flags.includes(key));
}

/** The scope table with a dictionary merged in. */
export function withScopes(old: Scopes, d: Dictionary): Scopes {
  const top = Math.max(old.code.length, ...d.k.map((k) => k + 1));
  const parent = new Int32Array(top).fill(-1);
  const level = new Int8Array(top).fill(-1);
  parent.set(old.parent);
  level.set(old.level);
  const s: Scopes = { code: old.code.slice(), name: old.name.slice(), nameEn: old.nameEn.slice(), parent, level, synthetic: old.synthetic.slice(), unlocated: old.unlocated.slice(), children: new Map() };
  const synthetic = Array.isArray(d.synthetic) ? new Set(d.synthetic) : null;
  const unlocated = Array.isArray(d.unlocated) ? new Set(d.unlocated) : null;
  d.k.forEach((k, i) => {
    s.code[k] = d.code[i] ?? '';
    s.name[k] = d.name[i] ?? '';
    s.nameEn[k] = d.name_en[i] ?? '';
    parent[k] = d.parent[i] ?? -1;
    level[k] = d.level[i] ?? 0;
    s.synthetic[k] = synthetic ? synthetic.has(k) : flagged(d.synthetic, k);
    s.unlocated[k] = unlocated ? unlocated.has(k) : flagged(d.unlocated, k);
  });
  for (let row = 0; row < top; row++) {
    const up = parent[row] ?? -1;
    if (up < 0) continue;
    const list = s.children.get(up);
    if (list) list.push(row);
    else s.children.set(up, [row]);
  }
  return s;
}

const text = (v: unknown): string => (typeof v === 'string' ? v : v === null || v === undefined ? '' : String(v));
const number = (v: unknown): number => (typeof v === 'number' ? v : v === null || v === undefined || v === '' ? NaN : Number(v));

function words(v: unknown): Text {
  if (v && typeof v === 'object') return v as Text;
  return { zh: text(v), en: text(v) };
}

function levelNumber(v: unknown): Level {
  if (typeof v === 'string' && v in BAND) return BAND[v as BandName];
  const n = { I: 1, II: 2, III: 3, IV: 4 }[text(v)] ?? Math.trunc(number(v));
  return n >= 1 && n <= 4 ? (n as Level) : 0;
}

/** A case as an item of the case channel; what it does not say is kept from `old`. */
export function caseOf(item: Item, old?: Case): Case {
  const get = (...names: string[]): unknown => names.map((n) => item[n]).find((v) => v !== undefined && v !== null);
  const or = (value: number, kept: number | undefined): number => (Number.isFinite(value) ? value : (kept ?? NaN));
  const level = get('level', 'severity');
  return {
    id: text(get('code', 'id')),
    row: or(number(get('row', 'k')), old?.row),
    category: text(get('category', 'subclass', 'kind')) || (old?.category ?? ''),
    title: get('title', 'summary') === undefined ? (old?.title ?? {}) : words(get('title', 'summary')),
    stage: text(get('state', 'stage')) || (old?.stage ?? 'reported'),
    level: level === undefined ? (old?.level ?? 0) : levelNumber(level),
    scope: or(number(get('scope')), old?.scope ?? 0),
    lon: or(number(get('lon')), old?.lon),
    lat: or(number(get('lat')), old?.lat),
    reported: or(number(get('reported', 'reported_at', 'opened')), old?.reported),
    due: or(number(get('due', 'due_at', 'deadline')), old?.due),
    closed: or(number(get('closed', 'closed_at')), old?.closed),
  };
}

/** A ticker entry: either with words of its own, or an event's type, subject and coded fields. */
export function tickerOf(item: Item): TickerItem {
  const own = item.text ?? item.title;
  const coded = Object.entries((item.words ?? {}) as Item).map(([k, v]): [string, string] => [k, text(v)]);
  return { seq: number(item.seq) || 0, at: number(item.t) || 0, text: own ? words(own) : {}, type: text(item.type), subject: text(item.subject), coded, scope: Number(item.scope ?? -1) };
}

/** Rows of a twin channel as entities, merged into what is known. */
export function mergeTwin(into: Map<number, Entity>, kind: string, rows: TwinRows): void {
  for (const k of rows.gone ?? []) into.delete(k);
  const named = new Map((rows.names?.k ?? []).map((k, i) => [k, i]));
  rows.k.forEach((k, i) => {
    const old = into.get(k);
    const col = (name: string): unknown => rows.columns[name]?.[i];
    const at = named.get(k);
    const has = (name: string): boolean => name in rows.columns;
    const state = has('state') ? text(col('state')) : has('status') ? text(col('status')) : (old?.state ?? '');
    into.set(k, {
      row: k, kind,
      code: (at === undefined ? old?.code : rows.names?.code[at]) ?? '',
      name: (at === undefined ? old?.name : rows.names?.name[at]) ?? '',
      type: has('type') ? text(col('type')) : (old?.type ?? ''),
      scope: has('scope') ? number(col('scope')) : (old?.scope ?? 0),
      lon: has('lon') ? number(col('lon')) : (old?.lon ?? NaN),
      lat: has('lat') ? number(col('lat')) : (old?.lat ?? NaN),
      seen: has('seen') ? number(col('seen')) : (old?.seen ?? NaN),
      state,
    });
  });
}

/** A source whose rhythm was not seen yet is called silent after this; one that was, after three of its longest gaps. */
const SILENT_MS = 2 * 3_600_000;
const LEAST_MS = 60_000;

/** A source at its newest event; the gap is the longest wait between two of its moves that this page saw. */
function sourceOf(name: string, last: number, t: number, old: SourceState | undefined): SourceState {
  const gap = old && last > old.last ? Math.max(old.gap, last - old.last) : (old?.gap ?? 0);
  return { name, last, gap, stale: t - last > (gap ? Math.max(LEAST_MS, 3 * gap) : SILENT_MS) };
}

/** What the engine says of itself, merged over what it said before; `t` is the frame's time. */
export function healthOf(sys: Item, old: Health, t: number): Health {
  const events = Number.isFinite(number(sys.accepted)) ? number(sys.accepted) : old.events;
  const seconds = (t - old.at) / 1000;
  const grown = old.at > 0 && seconds > 0 && events >= old.events && old.events > 0;
  const rate = grown ? old.rate * 0.7 + ((events - old.events) / seconds) * 0.3 : old.rate;
  const marks = sys.watermarks as Record<string, number> | undefined;
  const sources = marks ? Object.entries(marks).map(([name, last]) => sourceOf(name, last, t, old.sources.find((s) => s.name === name))) : old.sources;
  const dead = sys.rejected ? Object.entries(sys.rejected as Record<string, number>) : old.dead;
  return {
    ...old, events, live: sys.live !== false, rate: events === old.events && !grown ? old.rate : rate, at: t > old.at ? t : old.at,
    lacking: Array.isArray(sys.provisional) ? sys.provisional.map(String) : old.lacking,
    sources: [...sources].sort((a, b) => a.last - b.last),
    ...(old.summary ? {} : { dead, deadTotal: dead.reduce((n, [, k]) => n + k, 0) }),
  };
}

/** Events per bin: the server's own history when it sends one, else counted from what this page saw. */
export function ratesOf(sys: Item, old: Trend & { whole: boolean }, rate: number, now: number): Trend & { whole: boolean } {
  const given = sys.event_rates as { end: number; step: number; values: number[] } | undefined;
  if (given?.values) return { end: given.end, step: given.step, values: given.values, whole: true };
  if (old.whole || !Number.isFinite(rate)) return old;
  const step = 10_000;
  const end = Math.ceil(now / step) * step;
  const values = old.step === step ? old.values.slice() : new Array<number>(180).fill(NaN);
  const behind = old.step === step ? Math.round((end - old.end) / step) : 0;
  for (let i = 0; i < Math.min(behind, values.length); i++) { values.shift(); values.push(NaN); }
  values[values.length - 1] = rate;
  return { end, step, values, whole: false };
}
