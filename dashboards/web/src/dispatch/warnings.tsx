/** Public warnings: drafts of running plans, read whole before anybody is warned, and what is in force. Only who may, issues and ends. */

import '../css/batch.css';
import { computed, signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { stamp } from '../format';
import { lang, say, t, word } from '../i18n';
import { Mark } from '../parts';
import { read } from '../reads';
import { rowOf, scopeName } from '../store';
import type { Lang, Text } from '../types';
import type { Item } from '../wire';
import { perform, sheet, told } from './act';
import type { Command } from './grammar';
import { Over } from './parts';
import { may, second, zone } from './store';
import { board, discarding, ending, issuing, type Draft, type Warning } from './warning';

const EVERY_MS = 10_000;
const known = signal<{ inForce: Warning[]; drafts: Draft[] } | null>(null);
const trouble = signal('');
const row = signal(0);
/** What the next press of the same key does: a public act takes two. */
const armed = signal('');
const list = computed(() => (known.value ? [...known.value.drafts, ...known.value.inForce] : []));
const chosen = computed<Draft | Warning | undefined>(() => list.value[Math.min(row.value, list.value.length - 1)]);
const isDraft = (x: Draft | Warning): x is Draft => 'fields' in x;
const areaName = (code: string): string => { const at = rowOf(code); return at < 0 ? code : scopeName(at, lang.value); };

async function load(): Promise<void> {
  try {
    const [warnings, plans] = await Promise.all([read<Item>('/api/v1/warnings'), read<Item>('/api/v1/plans/running')]);
    known.value = board(warnings, plans, second.peek());
    trouble.value = '';
  } catch (error) {
    trouble.value = error instanceof Error ? error.message : '—';
  }
}

async function run(one: Command): Promise<void> {
  armed.value = '';
  await perform([one], () => told(one));
  await load();
}

/** What a press is about: the draft or warning as it was looked at. */
const about = (what: string): string => { const x = chosen.value; return x ? `${what} ${isDraft(x) ? x.run : x.code} ${x.rev} ${x.colour}` : ''; };

/** Do it at the second press; the first says what it will do. */
function twice(what: string, one: () => Command): void {
  const now = about(what);
  if (armed.peek() === now) void run(one());
  else armed.value = now;
}
const ready = (what: string): boolean => armed.value === about(what);

function issue(): void {
  const x = chosen.peek();
  if (x && isDraft(x) && may('warning.issued')) twice('issue', () => issuing(x, second.peek()));
}

/** Discard a draft, or end what is in force. */
function end(): void {
  const x = chosen.peek();
  if (!x) return;
  if (!isDraft(x)) { if (may('warning.ended')) twice('end', () => ending(x)); } else if (!x.discarded && may('plan.draft_discarded')) twice('discard', () => discarding(x));
}

function move(by: number): void {
  row.value = Math.max(0, Math.min(list.peek().length - 1, row.peek() + by));
  armed.value = '';
}

function onKeyDown(e: KeyboardEvent): void {
  if (e.ctrlKey || e.metaKey || e.altKey || e.repeat) return;
  const keys: Record<string, () => void> = { ArrowUp: () => move(-1), ArrowDown: () => move(1), Enter: issue, x: end };
  const act = keys[e.key.length === 1 ? e.key.toLowerCase() : e.key];
  if (!act || (e.target instanceof HTMLButtonElement && e.key === 'Enter')) return;
  e.preventDefault();
  e.stopPropagation();
  act();
}

function Line({ x, n }: { x: Draft | Warning; n: number }): JSX.Element {
  const tag = isDraft(x) ? t(x.discarded ? 'warn.discarded' : x.standing ? 'warn.changes' : 'warn.draft') : x.lapsed ? t('warn.lapsed') : '';
  return (
    <li class={`wn in${x === chosen.value ? ' sel' : ''}`} role="option" aria-selected={x === chosen.value} onClick={() => { row.value = n; armed.value = ''; }} data-warning={isDraft(x) ? x.run : x.code}>
      <Mark level={x.level} /><span class="el"><b>{say(x.headline)}</b><br /><span class="s d">{areaName(x.area)} · {word('colour', x.colour)}{x.drill ? ` · ${t('desk.drill')}` : ''}</span></span>
      {tag && <i class="tag">{tag}</i>}
    </li>
  );
}

/** Words in both languages: a warning goes out in both. */
function Words({ label, of }: { label: string; of: Text }): JSX.Element | null {
  const langs = (['zh', 'en'] as Lang[]).filter((l, i) => of[l] && (i === 0 || of[l] !== of.zh));
  return langs.length ? <><dt>{label}</dt><dd>{langs.map((l) => <p key={l} lang={l}>{of[l]}</p>)}</dd></> : null;
}

function Whole({ x }: { x: Draft | Warning }): JSX.Element {
  const at = (ms: number): string => (Number.isFinite(ms) ? stamp(ms, second.value, zone.value) : '—');
  return (
    <article class="wh" data-testid="warning">
      <h3><Mark level={x.level} size={1.25} /> {t('warn.colour', word('colour', x.colour))} {x.drill && <i class="tag">{t('desk.drill')}</i>}</h3>
      <dl>
        <Words label={t('warn.headline')} of={x.headline} /><Words label={t('warn.event')} of={x.event} /><Words label={t('warn.text')} of={x.text} /><Words label={t('warn.instruction')} of={x.instruction} />
        <dt>{t('warn.area')}</dt><dd>{areaName(x.area)} {x.area}</dd>
        <dt>{t('warn.expires')}</dt><dd>{at(isDraft(x) ? second.value + x.hold : x.expires)} {!isDraft(x) && x.lapsed && <span class="od">{t('warn.lapsed')}</span>}</dd>
        {isDraft(x) && x.details.map(([name, values]) => [<dt key={name}>{word('cap', name)}</dt>, <dd key={`${name}d`}>{values.map((v) => word('cap', v)).join(' · ')}</dd>])}
        <dt>{t('warn.from')}</dt><dd>{isDraft(x) ? t('warn.plan', say(x.plan), x.run) : `${t('warn.by', x.by, at(x.issued))} · ${x.code}`}</dd>
      </dl>
    </article>
  );
}

/** What can be done with the chosen one, as far as it may be. */
function Actions({ x }: { x: Draft | Warning }): JSX.Element {
  const draft = isDraft(x);
  const out = draft ? 'discard' : 'end';
  return (
    <footer class="ac">
      {draft && <button class="btn pri" disabled={!may('warning.issued')} onClick={issue} data-testid="warn-issue">{t(ready('issue') ? 'warn.sure' : x.standing ? 'warn.update' : 'warn.issue')} <kbd>Enter</kbd></button>}
      <button class="btn" disabled={draft ? x.discarded || !may('plan.draft_discarded') : !may('warning.ended')} onClick={end} data-testid="warn-end">{t(ready(out) ? 'warn.again' : draft ? 'warn.discard' : 'warn.end')} <kbd>X</kbd></button>
      <span class="s d"><kbd>↑ ↓</kbd> {t('batch.move')}</span>
      <span class="e s d">{t(may('warning.issued') ? 'warn.twice' : 'warn.notYours')}</span>
    </footer>
  );
}

export function Warnings(): JSX.Element {
  useEffect(() => {
    row.value = 0;
    armed.value = '';
    void load();
    const timer = window.setInterval(() => void load(), EVERY_MS);
    return () => clearInterval(timer);
  }, []);
  const all = known.value;
  const x = chosen.value;
  return (
    <Over label={t('warn')} close={() => (sheet.value = null)} wide testid="warnings">
      <div class="warns" tabIndex={-1} data-first onKeyDown={onKeyDown}>
        {trouble.value && <p role="alert" class="pad"><b>{trouble.value}</b> <button class="btn" onClick={() => void load()}>{t('why.again')}</button></p>}
        {all && (
          <div class="wtwo">
            <div role="listbox" aria-label={t('warn')}>
              <div class="gh"><b>{t('warn.drafts')}</b><span class="e">{all.drafts.length}</span></div>
              {all.drafts.length === 0 && <p class="none pad">{t('warn.noDrafts')}</p>}
              <ul>{all.drafts.map((d, i) => <Line key={d.run} x={d} n={i} />)}</ul>
              <div class="gh"><b>{t('warn.inForce')}</b><span class="e">{all.inForce.length}</span></div>
              {all.inForce.length === 0 && <p class="none pad">{t('warn.none')}</p>}
              <ul>{all.inForce.map((w, i) => <Line key={w.code} x={w} n={all.drafts.length + i} />)}</ul>
            </div>
            {x ? <Whole x={x} /> : <p class="d pad">{t('warn.what')}</p>}
          </div>
        )}
        {x && <Actions x={x} />}
      </div>
    </Over>
  );
}
