/** The registry of the desk's keys: the footer, the marks on buttons and the list under `?` are made from it. */

import { signal } from '@preact/signals';
import { toggleLang, toggleTheme } from '../actions';
import { lang } from '../i18n';
import { acknowledge, advance, begin, candidates, close, focusBar, goToAlarm, merge, send, sendBest, sheet, next, receipt, stepDone, unlike, type Sheet } from './act';
import { toggleSound } from './sound';
import { file, step } from './store';

/** Asked of the map: to look at the case and those who come. */
export const recentre = signal(0);

export interface Binding { key: string; shown: string; name: string; foot?: boolean; run: () => void }

/** The verb of the bar in the language that is spoken. */
const verb = (zh: string, en: string) => (): void => begin(lang.peek() === 'zh' ? zh : en);
const digit = (n: number): Binding => ({ key: String(n), shown: n === 1 ? '1–9' : '', name: 'unit', foot: n === 1, run: () => send(candidates.peek()[n - 1]) });
const sheetKey = (which: Sheet) => (): void => { sheet.value = sheet.peek() === which ? null : which; };

export const KEYS: Binding[] = [
  { key: 'ArrowUp', shown: '', name: 'queue', run: () => step(-1) },
  { key: 'ArrowDown', shown: '↑ ↓', name: 'queue', foot: true, run: () => step(1) },
  { key: 'Enter', shown: 'Enter', name: 'next', foot: true, run: () => void advance() },
  { key: 'd', shown: 'D', name: 'send', run: () => void sendBest() },
  ...[1, 2, 3, 4, 5, 6, 7, 8, 9].map(digit),
  { key: 'f', shown: 'F', name: 'batch', foot: true, run: sheetKey('batch') },
  { key: 'm', shown: 'M', name: 'merge', foot: true, run: () => merge(file.peek()?.duplicates[0]?.code) },
  { key: 'u', shown: 'U', name: 'unlike', run: () => unlike(file.peek()?.duplicates[0]?.code) },
  { key: 'a', shown: 'A', name: 'ack', foot: true, run: () => acknowledge(next.peek()?.members) },
  { key: 'j', shown: 'J', name: 'goto', foot: true, run: goToAlarm },
  { key: 'w', shown: 'W', name: 'alarms', run: sheetKey('alarms') },
  { key: 'g', shown: 'G', name: 'map', foot: true, run: () => { recentre.value += 1; } },
  { key: 't', shown: 'T', name: 'transfer', run: verb('转', 'transfer') },
  { key: 'r', shown: 'R', name: 'receipt', run: receipt },
  { key: 'e', shown: 'E', name: 'escalate', run: verb('升', 'escalate') },
  { key: 'h', shown: 'H', name: 'hold', run: verb('挂', 'hold') },
  { key: 'n', shown: 'N', name: 'note', run: verb('记', 'note') },
  { key: 'x', shown: 'X', name: 'void', run: verb('作废', 'void') },
  { key: 'v', shown: 'V', name: 'verify', run: verb('核查', 'verify') },
  { key: 'c', shown: 'C', name: 'close', run: verb('结案', 'close') },
  { key: 'p', shown: 'P', name: 'plan', run: () => stepDone() },
  { key: 'y', shown: 'Y', name: 'warnings', foot: true, run: sheetKey('warnings') },
  { key: 'i', shown: 'I', name: 'intake', run: sheetKey('intake') },
  { key: 'o', shown: 'O', name: 'handover', run: sheetKey('handover') },
  { key: 's', shown: 'S', name: 'sound', run: toggleSound },
  { key: '/', shown: '/', name: 'command', foot: true, run: focusBar },
  { key: 'l', shown: 'L', name: 'lang', run: toggleLang },
  { key: 'b', shown: 'B', name: 'theme', run: toggleTheme },
  { key: '?', shown: '?', name: 'help', foot: true, run: sheetKey('keys') },
  { key: 'Escape', shown: 'Esc', name: 'escape', run: close },
];

/** Keys that a sheet leaves alone: what lies under it is not worked on blindly. */
const IN_SHEET = new Set(['Escape', '?', 'a', 'j', 's', 'w', 'l', 'b']);

function writes(target: EventTarget | null): boolean {
  return target instanceof HTMLInputElement || target instanceof HTMLTextAreaElement || target instanceof HTMLSelectElement;
}

/** Run the binding of a key, unless somebody is typing or a button has the focus and takes Enter itself. */
export function onKey(event: KeyboardEvent): void {
  if (event.ctrlKey || event.metaKey || event.altKey || event.isComposing) return;
  if (writes(event.target) && event.key !== 'Escape') return;
  const itself = event.target instanceof HTMLButtonElement || event.target instanceof HTMLAnchorElement;
  if (itself && event.key === 'Enter') return;
  const name = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  const found = KEYS.find((b) => b.key === name);
  if (!found || (event.repeat && !name.startsWith('Arrow')) || (sheet.peek() && !IN_SHEET.has(name))) return;
  event.preventDefault();
  found.run();
}
