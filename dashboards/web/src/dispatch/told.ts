/** Alarms in words: where, how much, and what became of them. */

import { hms, num } from '../format';
import { lang, t, word } from '../i18n';
import { unit } from '../parts';
import { placeName, rowOf, scopes } from '../store';
import type { Group } from './alarms';
import type { Alarm } from './nouns';
import { zone } from './store';

/** `江岸区 · 42 cm`: where an alarm is and what was found. */
export function placed(a: Alarm): string {
  const row = rowOf(a.scope);
  return [row < 0 ? String(a.scope) : placeName(row, lang.value), Number.isFinite(a.value) ? `${num(a.value, Number.isInteger(a.value) ? 0 : 1)} ${unit(a.unit)}`.trim() : ''].filter(Boolean).join(' · ');
}

/** Where a group of several is: the part of its name behind the kind, `flood 江岸区`; '' for one alone. */
export function grouping(g: Group): string {
  if (g.members.length < 2 || g.rest) return g.members.length === 1 ? placed(g.first) : '';
  const about = /^\S+ (.+)$/.exec(g.key)?.[1];
  return about ? scopeWords(about) : placed(g.first);
}

/** A place that is named in Chinese, in the language that is spoken where it is known. */
function scopeWords(name: string): string {
  const row = scopes.value.name.indexOf(name);
  return row < 0 ? name : placeName(row, lang.value);
}

/** What became of it: not acknowledged, by whom it was, put aside until when. */
export function fate(a: Alarm): string {
  if (a.state === 'shelved') return t('alarms.shelved', hms(a.shelvedUntil, zone.value).slice(0, 5), a.shelvedBy);
  if (!a.acked) return t(a.active ? 'alarms.open' : 'alarms.gone');
  return a.ackedBy ? t('alarms.acked', a.ackedBy) : word('astate', a.state);
}
