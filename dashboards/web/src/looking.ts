/** Which case is open here, told to the server; and who else looks at it. */

import { computed, effect, signal } from '@preact/signals';
import { presence, send, welcomed } from './link';
import type { Onlooker } from './wire';

const open = signal('');

/** Others at the case that is open here; `more`: how many beyond those who are named. */
export const onlookers = computed<{ who: readonly Onlooker[]; more: number }>(() => {
  const told = presence.value;
  return told && told.case === open.value ? { who: told.who, more: told.more ?? 0 } : { who: [], more: 0 };
});

/** Tell which case `code` gives, and whether somebody is `typing`, now and whenever the line is made anew; gives what ends it. */
export function watchLooks(code: () => string, typing: () => boolean): () => void {
  const stop = effect(() => {
    const at = code();
    open.value = at;
    if (welcomed.value > 0) send({ type: 'look', case: at, typing: typing() });
  });
  return () => { stop(); open.value = ''; send({ type: 'look' }); };
}
