/** Commands to the server: one event each, with a key that makes a second try the same command. */

import { headers } from '../reads';
import type { Item } from '../wire';

export interface Asked { op: string; subject: string; fields: Record<string, unknown>; rev?: number; idem?: string }

/** What came of a command; `words` are the server's own, '' when nobody answered. */
export type Answer =
  | { how: 'done'; rev: number; duplicate: boolean; told: Item }
  | { how: 'stale'; by: string; at: number; rev: number; words: string }
  | { how: 'illegal'; legal: string[]; words: string }
  | { how: 'refused'; status: number; words: string }
  | { how: 'away'; words: string };

const PATIENCE_MS = 15_000;

/** A key for one press. `randomUUID` is missing on plain http beyond this machine. */
export function key(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
}

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

async function ask(url: string, init: RequestInit): Promise<Answer> {
  try {
    const answer = await fetch(url, { ...init, headers: { ...headers, ...(init.headers as Record<string, string>) }, signal: AbortSignal.timeout(PATIENCE_MS) });
    return answerOf(answer.status, ((await answer.json().catch(() => null)) as Item | null) ?? {});
  } catch {
    return { how: 'away', words: '' };
  }
}

/** Say a command. */
export function command(asked: Asked): Promise<Answer> {
  const { rev, idem = key(), ...rest } = asked;
  const body = { ...rest, idem, ...(rev !== undefined && Number.isFinite(rev) ? { rev } : {}) };
  return ask('/api/v1/commands', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

/** Hand in a picture; `told.hash` names it afterwards. */
export function evidence(picture: Blob): Promise<Answer> {
  return ask('/api/v1/evidence', { method: 'POST', headers: { 'content-type': picture.type }, body: picture });
}

/** Come in, or leave. */
export const signIn = (user: string, password: string): Promise<Answer> => ask('/api/v1/session', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ user, password }) });
export const signOut = (): Promise<Answer> => ask('/api/v1/session', { method: 'DELETE' });
