/** Two flat catalogues with equal keys; `t` reads the signal, so a switch redraws what shows words and nothing else. */

import { signal } from '@preact/signals';
import en from './en.json';
import type { Lang, Text } from './types';
import zh from './zh.json';

export type Key = keyof typeof zh;
const catalogues: Record<Lang, Record<string, string>> = { zh, en };

export const lang = signal<Lang>('zh');

/** The words of a key in the chosen language, `{0}` `{1}` replaced. */
export function t(key: Key, ...given: (string | number)[]): string {
  const text = catalogues[lang.value][key] ?? key;
  return given.reduce<string>((s, g, i) => s.replaceAll(`{${i}}`, String(g)), text);
}

/** Words of a key made at run time (theme.x, stage.x); the tail itself when there is none. */
export function word(prefix: string, tail: string): string {
  return catalogues[lang.value][`${prefix}.${tail}`] ?? tail;
}

/** Words of a made key in every language, so that either is found. */
export function both(prefix: string, tail: string): string[] {
  return Object.values(catalogues).map((c) => c[`${prefix}.${tail}`] ?? '');
}

/** A text of the server in the chosen language, else in the other one. */
export function say(text: Text | undefined): string {
  return text?.[lang.value] || text?.zh || text?.en || '';
}
