/** What was pressed without a network: kept in order, each with its key of idempotency, sent when it can be. Pure but for `Keep`. */

/** `picture`: a data URL that is handed in first, its hash then belongs to the fields. */
export interface Waiting { idem: string; op: string; subject: string; fields: Record<string, unknown>; at: number; tries: number; picture?: string }

/** Where the queue outlives a reload. */
export interface Keep { get: () => string | null; set: (text: string) => boolean }

/** How a try ended: taken, refused for good (with the server's words), or nobody answered. */
export type Outcome = { how: 'sent'; rev?: number } | { how: 'refused'; words: string } | { how: 'away' };

const KNOWN = (x: unknown): x is Waiting => {
  const w = x as Partial<Waiting> | null;
  return typeof w?.idem === 'string' && typeof w.op === 'string' && typeof w.subject === 'string' && typeof w.at === 'number' && w.fields !== null && typeof w.fields === 'object';
};

/** What was kept; a text that is none is an empty queue. */
export function revive(text: string | null): Waiting[] {
  try {
    const found: unknown = JSON.parse(text ?? '[]');
    return Array.isArray(found) ? found.filter(KNOWN).map((w) => ({ ...w, tries: Number(w.tries) || 0 })) : [];
  } catch {
    return [];
  }
}

/** The queue with one more; the same key twice is one. */
export function added(queue: readonly Waiting[], one: Waiting): Waiting[] {
  return queue.some((w) => w.idem === one.idem) ? [...queue] : [...queue, one];
}

/** What the server took, and the revision of the case that it made. */
export interface Taken { op: string; subject: string; rev: number }
/** What of it the case does not tell yet that was read at a revision: reading may be behind, and a step is not offered twice. */
export const untold = (taken: readonly Taken[], code: string, rev: number): Taken[] => taken.filter((one) => one.subject !== code || one.rev > rev);

export interface Drained { left: Waiting[]; sent: (Waiting & { rev: number })[]; refused: { one: Waiting; words: string }[] }

/**
 * Send in order. One that nobody answers ends the turn: nothing overtakes it. One that is refused is told and left out,
 * since it would be refused for ever; what follows is tried all the same.
 */
export async function drain(queue: readonly Waiting[], send: (one: Waiting) => Promise<Outcome>): Promise<Drained> {
  const out: Drained = { left: [], sent: [], refused: [] };
  for (let i = 0; i < queue.length; i++) {
    const one = queue[i] as Waiting;
    const end = await send(one);
    if (end.how === 'away') { out.left = [{ ...one, tries: one.tries + 1 }, ...queue.slice(i + 1)]; return out; }
    if (end.how === 'sent') out.sent.push({ ...one, rev: end.rev ?? NaN });
    else out.refused.push({ one, words: end.words });
  }
  return out;
}

/** Steps of a unit on its case, in order, and the event that reports each; one that only supports is clear at the end. */
export const STEPS = ['received', 'enroute', 'arrived', 'handled'] as const;
export type UnitStep = (typeof STEPS)[number];
export const opOf = (step: UnitStep, role: string): string => `case.${step === 'handled' && role === 'support' ? 'cleared' : step}`;

/** How far a unit has come, as told by the server and by what waits here; -1 = nothing yet. */
export function reached(state: string, waiting: readonly Pick<Waiting, 'op' | 'subject'>[], code: string): number {
  const told: Record<string, number> = { received: 0, en_route: 1, enroute: 1, arrived: 2, on_scene: 2, handled: 3, done: 3, cleared: 3, clear: 3 };
  const here = waiting.filter((w) => w.subject === code).map((w) => STEPS.indexOf((w.op === 'case.cleared' ? 'handled' : w.op.slice(5)) as UnitStep));
  return Math.max(told[state] ?? -1, ...here, -1);
}

/** How long the wait is before the next try: 2, 4, 8 ... 60 s. */
export const pause = (tries: number): number => Math.min(60_000, 2_000 * 2 ** Math.min(tries, 5));
