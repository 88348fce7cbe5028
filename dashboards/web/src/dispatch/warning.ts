/** Public warnings that are in force, and drafts of them that running plans have, as the server tells them. Pure. */

import type { Level, Text } from '../types';
import type { Item } from '../wire';
import type { Command } from './grammar';
import { words } from './nouns';

export const COLOURS = ['red', 'orange', 'yellow', 'blue'] as const;
export type Colour = (typeof COLOURS)[number] | '';

/** What a warning says; `area` is the code of a scope. */
interface Said { level: Level; colour: Colour; headline: Text; event: Text; text: Text; instruction: Text; area: string; drill: boolean; expires: number }

export interface Warning extends Said { code: string; rev: number; lapsed: boolean; run: string; by: string; issued: number }

/** A draft: `fields` of the command that issues it, `hold` how long it is to hold, `standing` the warning that was issued of it. */
export interface Draft extends Said { run: string; rev: number; plan: Text; fields: Record<string, string>; hold: number; discarded: boolean; standing: Warning | null; details: [string, string[]][] }

const num = (v: unknown): number => (typeof v === 'number' ? v : NaN);
const text = (v: unknown): string => (typeof v === 'string' ? v : '');
const item = (v: unknown): Item => (v !== null && typeof v === 'object' ? (v as Item) : {});
const list = (v: unknown): Item[] => (Array.isArray(v) ? v.map(item) : []);
const colourOf = (v: unknown): Colour => COLOURS.find((c) => c === v) ?? '';
const levelOf = (c: Colour): Level => (c ? ((COLOURS.indexOf(c) + 1) as Level) : 0);

export function warningOf(x: Item): Warning {
  const colour = colourOf(x.colour);
  return {
    code: text(x.code), rev: num(x.rev), colour, level: levelOf(colour), headline: words(x.headline), event: words(x.event), text: words(x.text), instruction: words(x.instruction),
    area: text(x.scope), drill: x.drill === true, expires: num(x.expires), lapsed: x.lapsed === true, run: text(x.run), by: text(x.issued_by), issued: num(x.issued_at),
  };
}

/** The draft of a run; null for one that has none, or is over. */
function draftOf(x: Item, standing: Warning | null, now: number): Draft | null {
  const fields = Object.fromEntries(Object.entries(item(x.warning)).filter((e): e is [string, string] => typeof e[1] === 'string'));
  const colour = colourOf(fields.colour);
  if (!colour || x.state !== 'active') return null;
  const both = (name: string): Text => ({ zh: fields[name] ?? '', en: fields[`${name}_en`] ?? fields[name] ?? '' });
  const hold = num(item(x.cap).expires_ms);
  const details = (['category', 'response', 'urgency', 'certainty'] as const).map((name): [string, string[]] => [name, (fields[name] ?? '').split(' ').filter(Boolean)]);
  return {
    run: text(x.code), rev: num(x.rev), plan: words(x.title), fields, colour, level: levelOf(colour), headline: both('headline'), event: both('event'), text: both('text'), instruction: both('instruction'),
    area: text(x.area), drill: x.drill === true, hold, expires: now + hold, discarded: x.discarded === true, standing, details: details.filter(([, v]) => v.length > 0),
  };
}

/** Warnings in force, the worst first; drafts of which nothing was issued or that say another colour than was, those that were discarded last. */
export function board(warnings: Item, plans: Item, now: number): { inForce: Warning[]; drafts: Draft[] } {
  const inForce = list(warnings.items).map(warningOf);
  const drafts = list(plans.items).map((x) => draftOf(x, inForce.find((w) => w.run === text(x.code)) ?? null, now)).filter((d) => d !== null);
  const open = drafts.filter((d) => d.standing?.colour !== d.colour);
  return { inForce, drafts: open.sort((a, b) => Number(a.discarded) - Number(b.discarded) || a.level - b.level || (a.run < b.run ? -1 : 1)) };
}

/** The command that issues a draft, or says anew the warning that stands of it; it expires as long after now as the plan says. */
export function issuing(d: Draft, now: number): Command {
  const expires = Number.isFinite(d.hold) ? { expires: new Date(now + d.hold).toISOString() } : {};
  const fields = { ...d.fields, ...expires };
  return d.standing
    ? { op: 'warning.issued', subject: d.standing.code, fields, rev: d.standing.rev }
    : { op: 'warning.issued', subject: '', fields, scope: d.area, ...(d.drill ? { drill: true } : {}) };
}

export const discarding = (d: Draft): Command => ({ op: 'plan.draft_discarded', subject: d.run, fields: {}, rev: d.rev });
export const ending = (w: Warning): Command => ({ op: 'warning.ended', subject: w.code, fields: {}, rev: w.rev });
