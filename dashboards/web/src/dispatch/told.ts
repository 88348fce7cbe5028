/** Alarms in words: where, how much, and what became of them. */

import { hms, num } from '../format';
import { lang, t, word } from '../i18n';
import { unit } from '../parts';
import { placeName, rowOf } from '../store';
import type { Alarm } from './nouns';
import { zone } from './store';

/** `江岸区 · 42 cm`: where an alarm is and what was found. */
export function placed(a: Alarm): string {
  const row = rowOf(a.scope);
  return [row < 0 ? String(a.scope) : placeName(row, lang.value), Number.isFinite(a.value) ? `${num(a.value, Number.isInteger(a.value) ? 0 : 1)} ${unit(a.unit)}`.trim() : ''].filter(Boolean).join(' · ');
}

/** What became of it: not acknowledged, by whom it was, put aside until when. */
export function fate(a: Alarm): string {
  if (a.state === 'shelved') return t('alarms.shelved', hms(a.shelvedUntil, zone.value).slice(0, 5), a.shelvedBy);
  if (!a.acked) return t(a.active ? 'alarms.open' : 'alarms.gone');
  return a.ackedBy ? t('alarms.acked', a.ackedBy) : word('astate', a.state);
}
