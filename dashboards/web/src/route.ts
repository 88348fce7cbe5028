/** Which page is shown; going from one to the other keeps the line and all that is known. */

import { batch, signal } from '@preact/signals';
import { addressOf, askedOf, pageOf, type Page } from './address';
import { chosen, panel, picked } from './store';

export const page = signal<Page>(pageOf(location.pathname));
/** Whose number is asked about: an indicator at a scope code; the trail leads back up through what was asked before. */
export interface Question { id: string; scope: string }
export const why = signal<{ at: Question; trail: Question[] } | null>(null);

/** Go to a page, as its link says. */
export function go(to: Page): void {
  if (to === page.peek()) return;
  history.pushState(null, '', addressOf(to, to === 'lab' ? chosen.peek() : '') + location.hash);
  batch(() => { why.value = null; picked.value = null; panel.value = null; page.value = to; });
}

/** Ask why; from within an answer the way back is kept. */
export function ask(id: string, scope: string, trail: Question[] = []): void {
  why.value = { at: { id, scope }, trail };
}

/** What the address asks for; `why` waits until the indicators are known. */
export function readAddress(): { id: string; why: string } {
  return askedOf(location.search, page.peek());
}

addEventListener('popstate', () => {
  const to = pageOf(location.pathname);
  const said = askedOf(location.search, to);
  batch(() => {
    page.value = to;
    picked.value = panel.value = null;
    if (said.id) chosen.value = said.id;
    why.value = said.id && said.why ? { at: { id: said.id, scope: said.why }, trail: [] } : null;
  });
});

/** The workshop's address says what is looked at, so that it can be sent to somebody. */
export function writeAddress(): void {
  const to = page.value;
  const id = chosen.value;
  const open = why.value;
  if (to !== 'lab' || !id) return;
  const said = addressOf(to, open ? open.at.id : id, open?.at.scope ?? '') + location.hash;
  if (said !== location.pathname + location.search + location.hash) history.replaceState(null, '', said);
}
