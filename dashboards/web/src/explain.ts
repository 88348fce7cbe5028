/** Why a number is what it is: the answer of `/api/v1/indicators/{id}/explain`, read leniently. Pure. */

import { Quality, type Bands } from './types';
import type { Item } from './wire';

export interface Part {
  name: string;
  kind: string;
  text: string;
  value: number;
  /** Events or rows behind it; NaN = not counted. */
  count: number;
  /** The other indicator that it is; '' = none. */
  reads: string;
}

export interface Behind {
  parameter: string;
  type: string;
  id: string;
  source: string;
  at: number;
  subject: string;
  scope: string;
  fields: [string, string][];
  contribution: string;
}

export interface Explained {
  id: string;
  scope: string;
  at: number;
  value: number;
  quality: number;
  fresh: number;
  expected: number;
  from: number;
  to: number;
  formula: string;
  parts: Part[];
  bands: Bands;
  events: Behind[];
  total: number;
  next: string;
}

const text = (v: unknown): string => (typeof v === 'string' ? v : v === null || v === undefined ? '' : typeof v === 'object' ? JSON.stringify(v) : String(v));
const number = (v: unknown): number => (v === null || v === undefined || v === '' ? NaN : Number(v));
const when = (v: unknown): number => (typeof v === 'string' ? Date.parse(v) : number(v));
const list = (v: unknown): Item[] => (Array.isArray(v) ? (v as Item[]) : []);

function quality(v: unknown): number {
  if (typeof v === 'number') return v;
  return (Quality as Record<string, number>)[text(v).toUpperCase()] ?? Quality.NODATA;
}

/** Fields in the order they come, without those that are not known. */
function fields(v: unknown): [string, string][] {
  return Object.entries((v ?? {}) as Item).filter(([, x]) => x !== null && x !== '').map(([k, x]): [string, string] => [k, text(x)]);
}

function behind(x: Item): Behind {
  return { parameter: text(x.parameter), type: text(x.type), id: text(x.id), source: text(x.source), at: when(x.time), subject: text(x.subject), scope: text(x.scope), fields: fields(x.fields), contribution: text(x.contribution) };
}

export function explainedOf(answer: Item): Explained {
  const x = (answer.item ?? answer) as Item;
  const window = (x.window ?? {}) as Item;
  const parts = list(x.parameters).map((p) => ({ name: text(p.name), kind: text(p.kind), text: text(p.text), value: number(p.value), count: number(p.count), reads: text(p.reads) }));
  const events = list(x.events).map(behind);
  return {
    id: text(x.id), scope: text(x.scope), at: when(answer.at ?? x.at), value: number(x.value), quality: quality(x.quality), fresh: Number(x.fresh ?? 0), expected: Number(x.expected ?? 0),
    from: when(window.from), to: when(window.to), formula: text(x.formula), parts, bands: (x.bands ?? {}) as Bands, events, total: Number(x.total ?? events.length), next: text(x.next),
  };
}

/** A page put behind what is there; an event that both have is told once. */
export function joined(old: Explained, more: Explained): Explained {
  const key = (e: Behind): string => `${e.parameter}\n${e.source}\n${e.id}`;
  const seen = new Set(old.events.map(key));
  return { ...old, events: [...old.events, ...more.events.filter((e) => !seen.has(key(e)))], total: more.total, next: more.next };
}

/** A number as an author writes it: no more digits than it has, six at most. */
export function plain(value: number): string {
  if (!Number.isFinite(value)) return '—';
  return Number.isInteger(value) ? value.toLocaleString('en-US').replace('-', '\u2212') : String(Number(value.toPrecision(6))).replace('-', '\u2212');
}
