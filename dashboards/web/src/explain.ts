/** Why a number is what it is: the answer of `/api/v1/indicators/{id}/explain` (docs/protocol.md). Pure. */

import { thresholdOf } from './definition';
import { BAND, Quality, type Bands, type Level, type Threshold } from './types';
import type { Item } from './wire';

export interface Part {
  name: string;
  kind: string;
  text: string;
  value: number;
  /** Events and rows of tables or registers behind it. */
  events: number;
  rows: number;
  /** The other indicator that it is; '' = none. */
  reads: string;
  /** Quality of that one; NaN = not told. */
  quality: number;
}

export type Given = [string, string][];

/** An event, or an entity of a register: what the number rests on, and what it gives to which parameter. */
export interface Behind {
  key: string;
  type: string;
  subject: string;
  /** When it happened, ms UTC; NaN for an entity, which has no time. */
  at: number;
  scope: string;
  fields: Given;
  gives: Given;
}

export interface Explained {
  id: string;
  scope: string;
  at: number;
  value: number;
  computed: number;
  closed: number;
  quality: number;
  level: Level;
  fresh: number;
  expected: number;
  window: { text: string; from: number; to: number };
  formula: string;
  code: string;
  parts: Part[];
  bands: Bands;
  of: string;
  scale: number;
  threshold: Threshold | null;
  entities: Behind[];
  events: Behind[];
  /** Of all pages. */
  entitiesTotal: number;
  eventsTotal: number;
  next: string;
  /** What else is to be known: events no longer kept, an error of the formula. */
  notes: string[];
}

const text = (v: unknown): string => (typeof v === 'string' ? v : v === null || v === undefined ? '' : typeof v === 'object' ? JSON.stringify(v) : String(v));
const number = (v: unknown): number => (v === null || v === undefined || v === '' ? NaN : Number(v));
const list = (v: unknown): Item[] => (Array.isArray(v) ? (v as Item[]) : []);
const quality = (v: unknown): number => (Quality as Record<string, number>)[text(v).toUpperCase()] ?? Quality.NODATA;

/** Whether a number can only be a time: ms UTC between 2001 and 2096. */
export function isTime(v: unknown): boolean {
  return Number.isInteger(Number(v)) && Number(v) >= 1e12 && Number(v) < 4e12;
}

/** Pairs in the order they come, without what is not known; times stay milliseconds. */
function pairs(v: unknown): Given {
  return Object.entries((v ?? {}) as Item).filter(([, x]) => x !== null && x !== '').map(([k, x]): [string, string] => [k, typeof x === 'number' && !isTime(x) ? plain(x) : text(x)]);
}

function eventOf(x: Item): Behind {
  return { key: ['e', x.source, x.id, x.revision].map(text).join('\n'), type: text(x.type), subject: text(x.subject) || text(x.id), at: number(x.time), scope: text(x.scope), fields: pairs(x.fields), gives: pairs(x.gives) };
}

function entityOf(x: Item): Behind {
  return { key: ['r', x.kind, x.code].map(text).join('\n'), type: text(x.kind), subject: text(x.code), at: NaN, scope: text(x.scope), fields: pairs(x.attributes), gives: pairs(x.gives) };
}

/** Parameters, then the indicators that are read without being one. */
function partsOf(x: Item): Part[] {
  const read = new Map(list(x.reads).map((r) => [text(r.id), r]));
  const parts = list(x.parameters).map((p): Part => {
    const reads = text(p.id);
    return { name: text(p.name), kind: text(p.kind), text: text(p.text), value: number(p.value), events: Number(p.events ?? 0), rows: Number(p.rows ?? 0), reads, quality: reads ? quality(read.get(reads)?.quality) : NaN };
  });
  const named = new Set(parts.map((p) => p.reads));
  const others = [...read].filter(([id]) => !named.has(id)).map(([id, r]): Part => ({ name: id, kind: 'ind', text: '', value: number(r.value), events: 0, rows: 0, reads: id, quality: quality(r.quality) }));
  return [...parts, ...others];
}

export function explainedOf(x: Item): Explained {
  const window = (x.window ?? {}) as Item;
  const scope = (x.scope ?? {}) as Item;
  return {
    id: text(x.id), scope: text(scope.code), at: number(x.at), value: number(x.value), computed: number(x.computed), closed: number(x.closed), quality: quality(x.quality),
    level: (BAND as Record<string, Level>)[text(x.band)] ?? 0, fresh: Number(x.fresh ?? 0), expected: Number(x.expected ?? 0),
    window: { text: text(window.text), from: number(window.start), to: number(window.end) }, formula: text(x.formula), code: text(x.code), parts: partsOf(x),
    bands: (x.bands ?? {}) as Bands, of: text(x.of), scale: number(x.scale), threshold: x.threshold ? thresholdOf(x.threshold as Item) : null,
    entities: list(x.entities).map(entityOf), events: list(x.events).map(eventOf), entitiesTotal: Number(x.entities_total ?? 0), eventsTotal: Number(x.events_total ?? 0), next: text(x.next),
    notes: [text(x.error), text(x.note)].filter(Boolean),
  };
}

/** A page put behind what is there; what both have is told once. */
export function joined(old: Behind[], more: Behind[]): Behind[] {
  const seen = new Set(old.map((e) => e.key));
  return [...old, ...more.filter((e) => !seen.has(e.key))];
}

/** The function of a decorated source, without the declaration above it: that is told in words elsewhere. */
export function bodyOf(source: string): string {
  const start = /^(?:async )?def /m.exec(source)?.index ?? 0;
  return source.startsWith('@') ? source.slice(start) : source;
}

/** A number as an author writes it: no more digits than it has, six at most. */
export function plain(value: number): string {
  if (!Number.isFinite(value)) return '—';
  return (Number.isInteger(value) ? value.toLocaleString('en-US') : String(Number(value.toPrecision(6)))).replace('-', '\u2212');
}
