/** The state of operation, asked for every 2 s while the page is seen; what was last known stays when nobody answers. */

import { batch, signal } from '@preact/signals';
import { read, Refused } from '../reads';
import type { Item } from '../wire';
import { opsOf, type Ops } from './state';

const EVERY_MS = 2_000;
/** A server that is frozen keeps the line open: after so long it counts as away. */
const PATIENCE_MS = 5_000;

export const ops = signal<Ops | null>(null);
/** Why there is no newer state: the server's own words, or '' when nobody answers; null = all is new. */
export const away = signal<string | null>(null);
/** The shard whose details are shown. */
export const picked = signal('');

async function look(): Promise<void> {
  try {
    const told = await read<Item>('/api/v1/ops', AbortSignal.timeout(PATIENCE_MS));
    batch(() => { ops.value = opsOf(told); away.value = null; });
  } catch (error) {
    away.value = error instanceof Refused ? error.message : '';
  }
}

/** Look now and every 2 s while the page is seen; gives what ends it. */
export function watchOps(): () => void {
  let timer = 0;
  let gone = false;
  let busy = false;
  const turn = (): void => {
    clearTimeout(timer);
    if (busy || gone || document.visibilityState !== 'visible') return;
    busy = true;
    void look().finally(() => { busy = false; if (!gone) timer = window.setTimeout(turn, EVERY_MS); });
  };
  document.addEventListener('visibilitychange', turn);
  turn();
  return () => { gone = true; clearTimeout(timer); document.removeEventListener('visibilitychange', turn); };
}
