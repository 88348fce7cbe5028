/** What the command door answers. Pure. */

import type { Item } from '../wire';

/** What came of a command; `words` are the server's own, '' when nobody answered. */
export type Answer =
  | { how: 'done'; rev: number; duplicate: boolean; told: Item }
  | { how: 'stale'; by: string; at: number; rev: number; words: string }
  | { how: 'illegal'; legal: string[]; words: string }
  | { how: 'refused'; status: number; words: string }
  | { how: 'away'; words: string };

const text = (v: unknown): string => (v === null || v === undefined ? '' : typeof v === 'object' ? '' : String(v));

/** What an answer of the command door says. Pure. */
export function answerOf(status: number, body: Item): Answer {
  if (status >= 200 && status < 300) return { how: 'done', rev: Number(body.rev ?? NaN), duplicate: body.duplicate === true, told: body };
  const known = { ...body, ...((body.known as Item | undefined) ?? {}) };
  const words = text(body.detail) || text(body.title) || `HTTP ${status}`;
  if (status === 409 && (known.by !== undefined || known.rev !== undefined)) return { how: 'stale', by: text(known.by), at: Number(known.at ?? NaN), rev: Number(known.rev ?? NaN), words };
  if (status === 422 && Array.isArray(known.legal)) return { how: 'illegal', legal: known.legal.map(text), words };
  if (status >= 500 || status === 429 || status === 408) return { how: 'away', words };
  return { how: 'refused', status, words };
}
