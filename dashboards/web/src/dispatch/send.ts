/** Commands to the server: one event each, with a key that makes a second try the same command. */

import { headers } from '../reads';
import type { Item } from '../wire';
import { answerOf, type Answer } from './answer';

export interface Asked { op: string; subject: string; fields: Record<string, unknown>; rev?: number; idem?: string; scope?: string; drill?: boolean }

const PATIENCE_MS = 15_000;

/** A key for one press. `randomUUID` is missing on plain http beyond this machine. */
export function key(): string {
  if (typeof crypto.randomUUID === 'function') return crypto.randomUUID();
  const bytes = crypto.getRandomValues(new Uint8Array(16));
  return [...bytes].map((b) => b.toString(16).padStart(2, '0')).join('');
}

async function ask(url: string, init: RequestInit): Promise<Answer> {
  try {
    const answer = await fetch(url, { ...init, headers: { ...headers, ...(init.headers as Record<string, string>) }, signal: AbortSignal.timeout(PATIENCE_MS) });
    return answerOf(answer.status, ((await answer.json().catch(() => null)) as Item | null) ?? {});
  } catch {
    return { how: 'away', words: '' };
  }
}

/** Times as events write them; inside the page they are milliseconds. */
function written(fields: Record<string, unknown>): Record<string, unknown> {
  return Object.fromEntries(Object.entries(fields).map(([k, v]) => [k, (k === 'until' || k === 'due_at') && typeof v === 'number' ? new Date(v).toISOString() : v]));
}

/** Say a command. */
export function command(asked: Asked): Promise<Answer> {
  const { rev, idem = key(), ...rest } = asked;
  const body = { ...rest, fields: written(rest.fields), idem, ...(rev !== undefined && Number.isFinite(rev) ? { rev } : {}) };
  return ask('/api/v1/commands', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) });
}

/** Hand in a picture; `told.hash` names it afterwards. */
export function evidence(picture: Blob): Promise<Answer> {
  return ask('/api/v1/evidence', { method: 'POST', headers: { 'content-type': picture.type }, body: picture });
}

/** Come in, or leave. */
export const signIn = (user: string, password: string): Promise<Answer> => ask('/api/v1/session', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ user, password }) });
export const signOut = (): Promise<Answer> => ask('/api/v1/session', { method: 'DELETE' });

/** Earlier cases of a caller: the number goes in the body, so that no address and no log has it. */
export const earlier = (caller: string): Promise<Answer> => ask('/api/v1/callers', { method: 'POST', headers: { 'content-type': 'application/json' }, body: JSON.stringify({ caller }) });
