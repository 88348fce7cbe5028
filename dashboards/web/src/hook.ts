/** window.__citytwin: what tests may ask of the page. */

import { board, cases, chosen, focus, frame, link, notices, picked, ticker } from './store';

/** Latency of one painted frame: engine time of the frame to the animation frame after it was drawn, ms. */
interface Stamp { seq: number; t: number; received: number; painted: number; ms: number }

const stamps: Stamp[] = [];
let shown: unknown = null;

/** Give tests the map, to ask what it draws and how long that takes. */
export function show(map: unknown): void {
  shown = map;
}

/** What sounded on this page, and when. */
const heard: { priority: number; at: number }[] = [];

/** Remember that an alarm of a priority sounded. */
export function hear(priority: number): void {
  heard.push({ priority, at: Date.now() });
  if (heard.length > 100) heard.shift();
}

/** Remember a frame; its paint is the second animation frame from here. */
export function stamped(seq: number, t: number): void {
  const received = Date.now();
  requestAnimationFrame(() => requestAnimationFrame(() => {
    const painted = Date.now();
    stamps.push({ seq, t, received, painted, ms: painted - t });
    if (stamps.length > 600) stamps.shift();
  }));
}

export interface Hook {
  readonly seq: number;
  readonly frames: number;
  readonly link: string;
  readonly stamps: readonly Stamp[];
  readonly heard: readonly { priority: number; at: number }[];
  readonly hash: string;
  readonly cases: number;
  readonly notices: number;
  readonly ticker: number;
  readonly chosen: string;
  readonly focus: number;
  readonly picked: unknown;
  tally: Record<string, number>;
  readonly map: unknown;
}

/** Hang the hook on the window. */
export function expose(tally: Record<string, number>): Hook {
  const hook: Hook = {
    get seq() { return stamps.at(-1)?.seq ?? 0; },
    get frames() { return frame.peek(); },
    get link() { return link.peek().state; },
    get stamps() { return stamps; },
    get heard() { return heard; },
    get hash() { return board.hash(); },
    get cases() { return cases.size; },
    get notices() { return notices.peek().length; },
    get ticker() { return ticker.peek().length; },
    get chosen() { return chosen.peek(); },
    get focus() { return focus.peek(); },
    get picked() { return picked.peek(); },
    get map() { return shown; },
    tally,
  };
  (window as unknown as { __citytwin: Hook }).__citytwin = hook;
  return hook;
}
