/** The handover as the server tells it, by sections; what a section is called is the catalogue's. Pure. */

import type { Level, Text } from '../types';
import type { Item } from '../wire';
import { levelOf, words } from './nouns';

/** One line: a case, a shelved alarm, a note; what it lacks is empty. */
export interface Line { code: string; level: Level; title: Text; words: string; who: string; due: number; at: number }
export interface Section { name: string; lines: Line[]; n: number }

const ORDER = ['late', 'soon', 'held', 'unacknowledged', 'active', 'shelved', 'out_of_service', 'plans', 'notes', 'duty'];

const text = (v: unknown): string => (typeof v === 'string' ? v : '');
const first = (x: Item, names: string[]): unknown => names.map((n) => x[n]).find((v) => v !== undefined && v !== null && v !== '');
const time = (v: unknown): number => (typeof v === 'number' ? v : NaN);

const earliest = (list: unknown[]): number => list.reduce<number>((least, v) => (typeof v === 'number' && !(least <= v) ? v : least), NaN);

function lineOf(x: unknown): Line {
  if (typeof x !== 'object' || x === null) return { code: '', level: 0, title: words(x), words: '', who: '', due: NaN, at: NaN };
  const o = x as Item;
  const title = first(o, ['title', 'name']);
  return {
    code: text(o.case) || text(o.code), level: levelOf(first(o, ['level', 'priority'])), title: title === undefined ? {} : words(title),
    words: [first(o, ['text', 'note', 'reason', 'shelved_why', 'why'])].map(text).join(' '), who: text(first(o, ['owner', 'actor', 'by', 'shelved_by', 'person'])),
    due: earliest([o.stage_due, o.due_at, o.shelved_until, o.until]), at: time(first(o, ['t', 'at', 'since', 'started_at'])),
  };
}

/** A list of the page: its rows, and how many there are in all. */
const listed = (v: unknown): v is { n: number; rows: unknown[] } => typeof v === 'object' && v !== null && Array.isArray((v as Item).rows);

/** Every list of the page, also those one level down, in the order in which they are read. */
export function sections(told: Item): Section[] {
  const rank = (name: string): number => { const i = ORDER.indexOf(name); return i < 0 ? ORDER.length : i; };
  const flat = Object.entries(told).flatMap(([name, v]): [string, unknown][] => (listed(v) || typeof v !== 'object' || v === null ? [[name, v]] : Object.entries(v as Item)));
  return flat.flatMap(([name, v]): Section[] => (listed(v) ? [{ name, lines: v.rows.map(lineOf), n: typeof v.n === 'number' ? v.n : v.rows.length }] : [])).sort((a, b) => rank(a.name) - rank(b.name));
}
