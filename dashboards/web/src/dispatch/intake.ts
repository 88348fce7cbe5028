/** Which open cases say about the same as what is being typed. Pure. */

import type { Case } from './nouns';
import { apart } from './queue';

export interface Alike { one: Case; text: number; distance: number }

/** Pairs of neighbouring characters: a measure that needs no words, so it serves both languages. */
export function pairs(text: string): Set<string> {
  const plain = text.toLowerCase().replace(/[\s，。、,.!?！？；;:：]+/g, '');
  const out = new Set<string>();
  for (let i = 0; i + 1 < plain.length; i++) out.add(plain.slice(i, i + 2));
  return out;
}

/** Share of pairs that both have, of those that one of them has: 0..1. */
export function likeness(a: Set<string>, b: Set<string>): number {
  if (a.size === 0 || b.size === 0) return 0;
  let both = 0;
  for (const pair of a) if (b.has(pair)) both += 1;
  return both / (a.size + b.size - both);
}

/** The likeliest first, six at most: of the same kind or near, or with much the same words. */
export function alike(words: string, category: string, at: { lon: number; lat: number } | null, open: readonly Case[], most = 6): Alike[] {
  const said = pairs(words);
  const near = at !== null && Number.isFinite(at.lon) && Number.isFinite(at.lat);
  return open.map((one) => ({ one, text: likeness(said, pairs(`${one.text} ${one.title.zh ?? ''} ${one.title.en ?? ''}`)), distance: near ? apart(at.lon, at.lat, one.lon, one.lat) : NaN }))
    .map((x) => ({ ...x, score: x.text + (category !== '' && x.one.category === category ? 0.3 : 0) + (x.distance < 500 ? 0.4 * (1 - x.distance / 500) : 0) }))
    .filter((x) => x.score >= 0.3).sort((a, b) => b.score - a.score).slice(0, most)
    .map(({ one, text, distance }) => ({ one, text, distance }));
}

/** The digits of a telephone number, without the country's code of a mobile one: the same number however it is typed. */
export function digits(text: string): string {
  const found = text.replace(/\D/g, '');
  return /^(?:00)?86(1[3-9]\d{9})$/.exec(found)?.[1] ?? found;
}
