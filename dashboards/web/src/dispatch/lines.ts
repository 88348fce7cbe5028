/** A line of the timeline in words of one language: who said it, and what was said besides. Pure. */

import type { Lang } from '../types';
import type { Entry } from './nouns';

const CHINESE = /[\u4e00-\u9fff]/;
const PLACE = /(?<![\w-])\d{6}(?:\d{3}){0,3}(?![\w-])/g;

/** The desk itself: what it says and what a rule has it do. */
const ITSELF = new Set(['desk/auto', 'system']);

/** The half of `中文 / English` that is in a language; any other text whole. */
export function half(text: string, lang: Lang): string {
  for (let at = text.indexOf(' / '); at >= 0; at = text.indexOf(' / ', at + 1)) {
    const [zh, en] = [text.slice(0, at), text.slice(at + 3)];
    if (CHINESE.test(zh) && /^[\x20-\x7e]{8}/.test(en)) return lang === 'zh' ? zh : en;
  }
  return text;
}

/** Who said it: a user without the door's name; '' for the desk itself. */
export function speaker(actor: string): string {
  return ITSELF.has(actor) ? '' : actor.replace(/^desk\//, '');
}

/** What was said, in a language, with names for the codes of places; '' where it is only the name of the move again. What people wrote stays as it is. */
export function words(e: Pick<Entry, 'type' | 'text' | 'actor'>, lang: Lang, name: (code: string) => string): string {
  if (e.type.endsWith(`.${e.text}`)) return '';
  return !ITSELF.has(e.actor) ? e.text : half(e.text, lang).replace(PLACE, (code) => name(code) || code);
}

/** A name in both languages, `派遣员 Dispatcher`, in one of them; any other name whole. */
export function personal(name: string, lang: Lang): string {
  const parts = /^([^\x00-\x7f]+) ([\x20-\x7e]+)$/.exec(name);
  return (lang === 'zh' ? parts?.[1] : parts?.[2]) ?? name;
}
