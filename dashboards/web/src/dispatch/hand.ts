/** The handover as the server tells it, by sections; what a section is called is the catalogue's. Pure. */

import type { Level, Text } from '../types';
import type { Item } from '../wire';
import { levelOf, words } from './nouns';

/** One line: a case, a shelved alarm, a note; what it lacks is empty. */
export interface Line { code: string; level: Level; title: Text; words: string; who: string; due: number; at: number }
export interface Section { name: string; lines: Line[]; value: string }

const ABOUT = new Set(['shift', 'code', 'by', 'at', 'now', 'from', 'until', 'handed_by', 'taken_by', 'handed_at', 'taken_at', 'rev', 'hash']);
const ORDER = ['late', 'open', 'cases', 'alarms', 'unacked', 'shelved', 'plans', 'units', 'reports', 'notes'];

const text = (v: unknown): string => (typeof v === 'string' ? v : '');
const first = (x: Item, names: string[]): unknown => names.map((n) => x[n]).find((v) => v !== undefined && v !== null && v !== '');
const time = (v: unknown): number => (typeof v === 'number' ? v : NaN);

function lineOf(x: unknown): Line {
  if (typeof x !== 'object' || x === null) return { code: '', level: 0, title: words(x), words: '', who: '', due: NaN, at: NaN };
  const o = x as Item;
  const title = first(o, ['title', 'name']);
  return {
    code: text(o.case) || text(o.code), level: levelOf(first(o, ['level', 'priority'])), title: title === undefined ? {} : words(title),
    words: [first(o, ['text', 'note', 'reason', 'shelved_why', 'why'])].map(text).join(' '), who: text(first(o, ['owner', 'actor', 'by', 'shelved_by', 'person'])),
    due: time(first(o, ['stage_due', 'due_at', 'shelved_until', 'until'])), at: time(first(o, ['t', 'at', 'time', 'since'])),
  };
}

/** Lists become sections of lines, numbers sections with a value; what tells about the page itself is left out. */
export function sections(told: Item): Section[] {
  const rank = (name: string): number => { const i = ORDER.indexOf(name); return i < 0 ? ORDER.length : i; };
  return Object.entries(told).filter(([name]) => !ABOUT.has(name)).flatMap(([name, v]): Section[] => {
    if (Array.isArray(v)) return [{ name, lines: v.map(lineOf), value: '' }];
    return typeof v === 'number' ? [{ name, lines: [], value: String(v) }] : [];
  }).sort((a, b) => rank(a.name) - rank(b.name));
}
