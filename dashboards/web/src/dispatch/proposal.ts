/** The proposal for all cases that wait, as the server tells it, and what is ticked of it. Pure. */

import type { Level, Text } from '../types';
import type { Item } from '../wire';
import { candidateOf, levelOf, words, type Candidate } from './nouns';

/** One case with the unit that is best for all, `unit` null where it is left; `nearest` is what going case by case gives. */
export interface Offer {
  code: string; rev: number; level: Level; title: Text; where: Text; waiting: number; unit: Candidate | null; why: Text; aid: string;
  cost: { total: number; time: number; load: number }; nearest: string; nearestEta: number;
}
export interface Proposal { at: number; waiting: number; units: number; batch: number; nearest: number; offers: Offer[] }

const num = (v: unknown): number => (typeof v === 'number' ? v : NaN);
const text = (v: unknown): string => (typeof v === 'string' ? v : '');
const item = (v: unknown): Item => (v !== null && typeof v === 'object' ? (v as Item) : {});

function offerOf(x: Item): Offer {
  const [cost, nearest] = [item(x.cost), item(x.nearest)];
  return {
    code: text(x.case), rev: num(x.rev), level: levelOf(x.level), title: words(x.title), where: words(x.where), waiting: num(x.waiting_s),
    unit: x.unit && x.candidate ? candidateOf(item(x.candidate)) : null, why: words(x.why), aid: text(x.aid),
    cost: { total: num(cost.total), time: num(cost.time), load: num(cost.load) }, nearest: text(nearest.unit), nearestEta: num(nearest.eta_s),
  };
}

export function proposalOf(told: Item): Proposal {
  const both = item(told.objective);
  const items = Array.isArray(told.items) ? told.items.map((x) => offerOf(item(x))) : [];
  return { at: num(told.at), waiting: num(told.waiting), units: num(told.units), batch: num(both.batch), nearest: num(both.nearest), offers: items };
}

/** Codes that are ticked when a proposal comes: all that have a unit, but for those that somebody took out. */
export function ticked(p: Proposal, out: ReadonlySet<string>): string[] {
  return p.offers.filter((o) => o.unit && !out.has(o.code)).map((o) => o.code);
}

/** Share of the cost that the proposal saves against going case by case; 0 for nothing to save. */
export function saved(p: Proposal): number {
  return p.nearest > 0 ? Math.max(0, 1 - p.batch / p.nearest) : 0;
}

/** The commands of what is ticked: each with the revision that was looked at, so that who was quicker is not overruled. */
export function commands(p: Proposal, codes: ReadonlySet<string>): { op: string; subject: string; fields: { unit: string; strategy: string }; rev: number }[] {
  return p.offers.flatMap((o) => (o.unit && codes.has(o.code) ? [{ op: 'case.dispatched', subject: o.code, fields: { unit: o.unit.unit, strategy: 'batch' }, rev: o.rev }] : []));
}
