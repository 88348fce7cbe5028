/** The page's own nouns. link.ts turns wire messages into these; nothing else knows the wire. */

export type Lang = 'zh' | 'en';
export type Text = Partial<Record<Lang, string>>;
export type BandName = 'blue' | 'yellow' | 'orange' | 'red';
/** 0 = normal, 1..4 = levels I..IV (1 is the worst). */
export type Level = 0 | 1 | 2 | 3 | 4;
export const BAND: Record<BandName, Level> = { red: 1, orange: 2, yellow: 3, blue: 4 };
export const LEVELS = ['city', 'district', 'street', 'community', 'grid'] as const;
export type ScopeLevel = (typeof LEVELS)[number];

/** How far a value can be trusted, worst last; the numbers of models.frame.Quality. */
export const Quality = { GOOD: 0, PROVISIONAL: 1, PARTIAL: 2, STALE: 3, NODATA: 4, ERROR: 5 } as const;

/** Which end is good: `band` = what lies between, its bands are upper edges; `none` = neither, it only informs. */
export type Better = 'up' | 'down' | 'band' | 'none';
export type Bands = Partial<Record<BandName, number>>;

/** Bands of one edition; `from`, `to` ms UTC, NaN = open. `status` V: of a standard, L: a local default. */
export interface Threshold {
  edition: string;
  from: number;
  to: number;
  source: string;
  status: string;
  bands: Bands;
}

/** A parameter of a formula: an aggregate of events, a tally of a table, or another indicator. */
export interface Parameter {
  name: string;
  kind: string;
  table: string;
  text: string;
}

export interface Indicator {
  id: string;
  theme: string;
  name: Text;
  meaning: Text;
  unit: string;
  better: Better;
  levels: ScopeLevel[];
  window: string;
  decimals: number;
  bands: Bands;
  source: string;
  status: string;
  owner: string;
  /** What the author says of it, in words. */
  doc: string;
  thresholds: Threshold[];
  parameters: Parameter[];
  examples: { given: [string, string][]; gives: string }[];
  lineage: { events: string[]; aggregates: string[]; reads: string[]; readBy: string[] };
  /** Source text of the formula. */
  code: string;
  hash: string;
  /** Bands are shares of this parameter at the scope, so edges differ from place to place; '' = they are plain. */
  of: string;
}

export interface Scopes {
  code: string[];
  name: string[];
  nameEn: string[];
  parent: Int32Array;
  level: Int8Array;
  synthetic: boolean[];
  unlocated: boolean[];
  children: Map<number, number[]>;
}

export interface City {
  name: string;
  title: Text;
  timezone: string;
  edition: string;
}

/** One value with all that must stand beside it. `value` NaN = no data; `at` ms UTC. */
export interface Cell {
  value: number;
  quality: number;
  fresh: number;
  expected: number;
  restated: boolean;
  closed: number;
  at: number;
  /** The band it lies in, as the engine says: 1 red (I) .. 4 blue (IV), 0 normal. */
  band: Level;
}

/** A regular series ending at `end` (ms UTC): NaN where nothing is known. */
export interface Trend {
  end: number;
  step: number;
  values: number[];
}

export interface Case {
  id: string;
  row: number;
  category: string;
  title: Text;
  stage: string;
  level: Level;
  scope: number;
  lon: number;
  lat: number;
  reported: number;
  due: number;
  closed: number;
}

export interface Entity {
  row: number;
  kind: string;
  code: string;
  name: string;
  type: string;
  scope: number;
  lon: number;
  lat: number;
  /** Time of its newest reading; NaN = it never sent one. */
  seen: number;
  state: string;
}

export interface Reading {
  property: string;
  value: number;
  unit: string;
  at: number;
  quality: string;
  stale: boolean;
}

export interface EntityDetail extends Entity {
  attrs: [string, string][];
  readings: Reading[];
  relations: { relation: string; code: string; name: string; kind: string }[];
  cases: string[];
}

export interface TickerItem {
  seq: number;
  at: number;
  text: Text;
  type: string;
  subject: string;
  coded: [string, string][];
  /** Scope row, -1 where it is unknown. */
  scope: number;
}

export interface SourceState {
  name: string;
  last: number;
  stale: boolean;
  /** Longest wait between two of its events that was seen, ms; 0 = none yet. */
  gap: number;
}

/** What the engine says of itself. */
export interface Health {
  deadTotal: number;
  dead: [string, number][];
  sources: SourceState[];
  events: number;
  rate: number;
  /** Time of the frame that was last counted. */
  at: number;
  /** False while history is brought in: then the clock is that of the past. */
  live: boolean;
  /** Shards whose part the newest frame lacks; "desk" for that of the cases. None: the frame is final. */
  lacking: string[];
  /** The dead letters come from their own summary, not from the engine's counts. */
  summary: boolean;
}

export type LinkState = 'connecting' | 'live' | 'lost';
