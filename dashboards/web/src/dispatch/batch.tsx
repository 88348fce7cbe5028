/** All cases that wait, sent at once: the units that cost least altogether, beside what going case by case would give. */

import '../css/batch.css';
import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { countdown, hms } from '../format';
import { lang, say, t, word } from '../i18n';
import { Mark } from '../parts';
import { read } from '../reads';
import type { Item } from '../wire';
import { allowing, sheet } from './act';
import { commands, proposalOf, saved, ticked, type Offer, type Proposal } from './proposal';
import { brief } from './grammar';
import { Over } from './parts';
import { span } from './queue';
import { may, select, zone } from './store';
import { Term, TERMS } from './units';

const plan = signal<Proposal | null>(null);
const trouble = signal('');
/** What somebody took out of the proposal, by case. */
const out = signal<ReadonlySet<string>>(new Set());
/** Where the keys are. */
const row = signal(0);
const sending = signal(false);
/** What the server said to a case that was not sent. */
const refused = signal<ReadonlyMap<string, () => string>>(new Map());

async function load(): Promise<void> {
  try {
    const made = proposalOf(await read<Item>('/api/v1/dispatch/batch'));
    plan.value = made;
    row.value = Math.max(0, Math.min(row.peek(), made.offers.length - 1));
    trouble.value = '';
  } catch (error) {
    trouble.value = error instanceof Error ? error.message : '—';
  }
}

function toggle(code: string): void {
  const next = new Set(out.peek());
  if (!next.delete(code)) next.add(code);
  out.value = next;
}

/** All of them, or none if all are ticked. */
function toggleAll(): void {
  const p = plan.peek();
  if (p) out.value = new Set(ticked(p, out.peek()).length ? p.offers.map((o) => o.code) : []);
}

/** Send what is ticked: each is judged alone, and one that is refused holds up no other. */
async function sendAll(): Promise<void> {
  const p = plan.peek();
  if (!p || sending.peek()) return;
  const list = commands(p, new Set(ticked(p, out.peek())));
  if (list.length === 0) return;
  sending.value = true;
  refused.value = await allowing(list, (done) => t('batch.sent', done, list.length - done));
  await load();
  sending.value = false;
}

/** Keys of the sheet; '' is the space bar. */
const HINTS = [['↑ ↓', 'batch.move'], ['', 'batch.toggle'], ['T', 'batch.all'], ['O', 'batch.look']] as const;

function onKeyDown(e: KeyboardEvent): void {
  const p = plan.peek();
  if (!p || e.ctrlKey || e.metaKey || e.altKey) return;
  const here = p.offers[row.peek()];
  const button = e.target instanceof HTMLButtonElement;
  const move = (by: number): void => { row.value = Math.max(0, Math.min(p.offers.length - 1, row.peek() + by)); };
  const keys: Record<string, () => void> = {
    ArrowUp: () => move(-1), ArrowDown: () => move(1), ' ': () => { if (here?.unit) toggle(here.code); }, t: toggleAll,
    Enter: () => void sendAll(), o: () => { if (here) { select(here.code); sheet.value = null; } },
  };
  const run = keys[e.key.length === 1 ? e.key.toLowerCase() : e.key];
  if (!run || (button && (e.key === 'Enter' || e.key === ' ')) || (e.repeat && !e.key.startsWith('Arrow'))) return;
  e.preventDefault();
  e.stopPropagation();
  run();
}

function Unit({ o }: { o: Offer }): JSX.Element {
  const u = o.unit;
  const other = o.nearest !== (u?.unit ?? '');
  const beside = <td class={`el${other ? '' : ' d'}`}>{other ? `${o.nearest || '—'} ${o.nearest ? span(o.nearestEta) : ''}` : t('batch.same')}</td>;
  if (!u) return <><td colSpan={7} class="s el">{say(o.why)}</td><td class="r">{o.cost.total.toFixed(2)}</td>{beside}</>;
  return (
    <>
      <td class="el" title={say(o.why)}><b>{u.unit}</b> {u.name} {o.aid && <i class="tag">{t('case.lentShort')}</i>}</td>
      <td class="r">{u.late ? <span class="od" title={t('units.late')}>{span(u.eta)}</span> : span(u.eta)}</td>
      {TERMS.map((name) => <td key={name}><Term value={u.terms[name]} /></td>)}
      <td class="r"><b>{u.score.toFixed(2)}</b></td>
      <td class="r" title={t('batch.costs', o.cost.time.toFixed(2), o.cost.load.toFixed(2))}>{o.cost.total.toFixed(2)}</td>
      {beside}
    </>
  );
}

function Row({ o, n }: { o: Offer; n: number }): JSX.Element {
  const on = o.unit !== null && !out.value.has(o.code);
  const why = refused.value.get(o.code);
  return (
    <tr class={`bx${row.value === n ? ' sel' : ''}${o.unit ? '' : ' no'}`} onClick={() => (row.value = n)} data-case={o.code}>
      <td>{o.unit && <input type="checkbox" tabIndex={-1} checked={on} onChange={() => toggle(o.code)} aria-label={t('batch.tick', brief(o.code))} />}</td>
      <td><Mark level={o.level} /></td>
      <td class="el"><button class="lk" tabIndex={-1} title={o.code} onClick={() => { select(o.code); sheet.value = null; }}>{brief(o.code)}</button> {say(o.title)}<br /><span class="s d">{why ? <b role="alert">{why()}</b> : say(o.where)}</span></td>
      <td class="r m">{countdown(o.waiting * 1000, lang.value)}</td>
      <Unit o={o} />
    </tr>
  );
}

function Table({ p }: { p: Proposal }): JSX.Element {
  return (
    <div class="bxs">
      <table data-testid="batch-rows">
        <thead><tr class="bx hdr"><th /><th>{t('queue.level')}</th><th>{t('queue.case')}</th><th class="r">{t('batch.waits')}</th><th>{t('units.unit')}</th><th class="r">{t('units.eta')}</th>{TERMS.map((name) => <th key={name}>{word('term', name)}</th>)}<th class="r">{t('units.score')}</th><th class="r">{t('batch.cost')}</th><th>{t('batch.nearest')}</th></tr></thead>
        <tbody>{p.offers.map((o, n) => <Row key={o.code} o={o} n={n} />)}</tbody>
      </table>
    </div>
  );
}

export function Batch(): JSX.Element {
  useEffect(() => { out.value = new Set(); refused.value = new Map(); row.value = 0; void load(); }, []);
  useEffect(() => { document.querySelector('.bx.sel')?.scrollIntoView({ block: 'nearest' }); }, [row.value]);
  const p = plan.value;
  const n = p ? ticked(p, out.value).length : 0;
  return (
    <Over label={`${t('batch')} ${p ? hms(p.at, zone.value) : ''}`} close={() => (sheet.value = null)} wide testid="batch">
      <div class="batch" tabIndex={-1} data-first onKeyDown={onKeyDown}>
        {trouble.value && <p role="alert" class="pad"><b>{trouble.value}</b> <button class="btn" onClick={() => void load()}>{t('why.again')}</button></p>}
        {p && <p class="pad" data-testid="batch-sum">{t('batch.sum', p.waiting, p.units)} · {t('batch.objective')} <b>{p.batch.toFixed(2)}</b> · {t('batch.greedy')} <b>{p.nearest.toFixed(2)}</b>{saved(p) > 0 && <> · {t('batch.saved', (100 * saved(p)).toFixed(0))}</>}</p>}
        {p && p.offers.length === 0 && <p class="none pad">{t('batch.none')}</p>}
        {p && p.offers.length > 0 && <Table p={p} />}
        <footer class="ac">
          <button class="btn pri" disabled={n === 0 || sending.value || !may('case.dispatched')} onClick={() => void sendAll()} data-testid="batch-send">{t('batch.send', n)} <kbd>Enter</kbd></button>
          <button class="btn" disabled={sending.value} onClick={() => void load()}>{t('batch.again')}</button>
          {HINTS.map(([key, name]) => <span key={name} class="s d nw"><kbd>{key || t('batch.space')}</kbd> {t(name)}</span>)}
          <span class="e s d">{t('batch.how')}</span>
        </footer>
      </div>
    </Over>
  );
}
