/** How the system runs: what is wrong and what to do, shards, members, frames, sources, dead letters. */

import '../css/ops.css';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { age, hms, num } from '../format';
import { Header } from '../header';
import { say, t, word } from '../i18n';
import { SHAPE } from '../parts';
import { city } from '../store';
import { ranked, runs, tally, type Level, type Ops as State, type Shard, type State as How } from './state';
import { away, ops, picked, watchOps } from './watch';

/** Level of the shape by state: shape, colour and word say the same, nothing rests on colour alone. */
const SHAPES: Record<How | Level, 0 | 1 | 2> = { ok: 0, never: 0, late: 2, stale: 2, warn: 2, missing: 1, alarm: 1 };

function Sign({ of, size = 0.75 }: { of: How | Level; size?: number }): JSX.Element {
  const level = SHAPES[of];
  const box = { width: `${size}rem`, height: `${size}rem` };
  return level ? <svg class={`mk l${level}`} viewBox="0 0 24 24" style={box} aria-hidden="true"><path d={SHAPE[level]} /></svg> : <svg class="mk fine" viewBox="0 0 24 24" style={box} aria-hidden="true"><circle cx="12" cy="12" r="8" /></svg>;
}

/** Bytes in the unit that fits. */
function size(bytes: number): string {
  if (!Number.isFinite(bytes)) return '—';
  const k = bytes < 1024 ? 0 : Math.min(4, Math.floor(Math.log2(bytes) / 10));
  return `${num(bytes / 1024 ** k, k > 1 ? 1 : 0)} ${['B', 'KB', 'MB', 'GB', 'TB'][k]}`;
}

function seconds(s: number): string {
  if (!Number.isFinite(s)) return '—';
  return s < 10 ? `${num(s, 1)} s` : age(s * 1000);
}

/** As narrow as a tile wants it: seconds up to a quarter of an hour. */
function brief(s: number): string {
  return s >= 10 && s < 1000 ? `${num(s, 0)} s` : seconds(s);
}

/** Words with what is to be typed, between backquotes, set apart. */
function Typed({ words }: { words: string }): JSX.Element {
  return <span class="m">{words.split('`').map((part, i) => (i % 2 ? <code key={i}>{part}</code> : part))}</span>;
}

function Verdicts({ at }: { at: State | null }): JSX.Element {
  const words = away.value;
  const cut = words !== null;
  return (
    <section class="vd" role="status" aria-label={t('ops.verdict')} tabIndex={0} data-testid="verdict">
      {cut && <p class="cut" data-testid="away"><b>{words || t('ops.away')}</b>{at && <span>{t('ops.asOf', hms(at.now, city.value.timezone))}</span>}<span>{t('banner.retrying')}</span></p>}
      {!at && !cut && <p class="d">{t('ops.coming')}</p>}
      {at?.verdicts.map((v) => (
        <p key={v.code} class={`one ${v.level}`} data-code={v.code}>
          <Sign of={v.level} size={1.125} />{v.level !== 'ok' && <span class="w">{word('ops.level', v.level)}</span>}
          <b>{say(v.text)}</b>{say(v.advice) && <Typed words={say(v.advice)} />}
        </p>
      ))}
    </section>
  );
}

function Tile({ s }: { s: Shard }): JSX.Element {
  const on = picked.value === s.id;
  return (
    <button class={`sh in ${s.state}`} aria-pressed={on} onClick={() => (picked.value = on ? '' : s.id)} data-shard={s.id}>
      <span class="id">{s.id === 'desk' ? t('ops.desk') : s.id}</span>
      <span class="st"><Sign of={s.state} /> {word('ops.state', s.state)}</span>
      <span class="el ow">{s.owner || t('ops.nobody')}</span>
      <span class="fx"><span>{t('ops.lag')} <b>{brief(s.lagMs / 1000)}</b></span><span>{t('ops.saved')} <b>{brief(s.savedAge)}</b></span></span>
    </button>
  );
}

function Facts({ rows }: { rows: [string, ComponentChildren][] }): JSX.Element {
  return <dl class="fa">{rows.map(([name, value]) => <div key={name}><dt>{name}</dt><dd>{value}</dd></div>)}</dl>;
}

function Detail({ s }: { s: Shard }): JSX.Element {
  return (
    <div class="dt2" role="region" aria-label={t('ops.shard', s.id)} data-testid="shard-detail">
      <h4>{s.id === 'desk' ? t('ops.desk') : t('ops.shard', s.id)} <span class="d">{s.owner || t('ops.nobody')}</span></h4>
      <Facts rows={[
        [t('ops.k'), num(s.k, 0)], [t('ops.lag'), seconds(s.lagMs / 1000)], [t('ops.waiting'), num(s.lagRecords, 0)], [t('ops.next'), num(s.next, 0)],
        [t('ops.events'), num(s.events, 0)], [t('ops.rate'), num(s.rate, 1)], [t('ops.saved'), seconds(s.savedAge)], [t('ops.savedK'), s.savedK > 0 ? num(s.savedK, 0) : '—'], [t('ops.bytes'), size(s.bytes)],
      ]} />
    </div>
  );
}

function Shards({ at }: { at: State }): JSX.Element {
  const one = at.shards.length === 1 ? at.shards[0] : at.shards.find((s) => s.id === picked.value);
  return (
    <section>
      <h3>{t('ops.shards')} {tally(at.shards).map(([state, n]) => <span key={state} class="ct2"><Sign of={state} size={0.625} /> {word('ops.state', state)} {n}</span>)}<span class="e">{t('ops.perS', num(at.shards.reduce((sum, s) => sum + (s.rate || 0), 0), 0))}</span></h3>
      <div class={`grid2${at.shards.length > 24 ? ' many' : ''}`} data-testid="shards">{at.shards.map((s) => <Tile key={s.id} s={s} />)}</div>
      {one && <Detail s={one} />}
    </section>
  );
}

/** Shards of a process: by name where they are few, else how many; the tiles say whose each is. */
function few(shards: string[]): string {
  const said = runs(shards).replace('desk', t('ops.desk'));
  return said.length > 10 ? `× ${shards.length}` : said || '—';
}

function Members({ at }: { at: State }): JSX.Element {
  return (
    <section>
      <h3>{t('ops.members')} <span class="e">{at.members.length}</span></h3>
      <table class="ot" data-testid="members">
        <thead><tr><th>{t('ops.role')}</th><th>{t('ops.id')}</th><th>{t('ops.status')}</th><th class="r">{t('ops.seen')}</th><th class="r">{t('ops.shards')}</th></tr></thead>
        <tbody>{at.members.map((m) => (
          <tr key={`${m.role}${m.id}`}><td class="nw">{word('ops.role', m.role)}</td><td class="br2">{m.id}</td><td class="nw">{t(m.active ? 'ops.active' : 'ops.standby')}</td><td class="r nw">{seconds(m.seen)}</td><td class="r nw" title={runs(m.shards)}>{few(m.shards)}</td></tr>
        ))}</tbody>
      </table>
    </section>
  );
}

function Sources({ at }: { at: State }): JSX.Element {
  return (
    <section>
      <h3>{t('ops.sources')} <span class="e">{at.sources.length + at.moreSources}</span></h3>
      <table class="ot" data-testid="sources">
        <thead><tr><th>{t('ops.source')}</th><th>{t('ops.status')}</th><th class="r">{t('ops.age')}</th><th class="r">{t('ops.period')}</th></tr></thead>
        <tbody>{ranked(at.sources).map((s) => (
          <tr key={s.name} class={s.state}><td class="br2">{s.name}</td><td class="nw"><Sign of={s.state} /> {word('ops.state', s.state)}</td><td class="r nw">{seconds(s.age)}</td><td class="r nw d">{seconds(s.period)}</td></tr>
        ))}</tbody>
      </table>
      {at.moreSources > 0 && <p class="s d">{t('strip.more', at.moreSources)}</p>}
    </section>
  );
}

function Letters({ at }: { at: State }): JSX.Element {
  const { total, recent, reasons } = at.letters;
  const most = Math.max(1, ...reasons.map(([, n]) => n));
  return (
    <section>
      <h3>{t('ops.letters')} <span class="e">{num(total, 0)} · {t('ops.recent', num(recent, 0))}</span></h3>
      {reasons.length === 0 && <p class="d">{t('ops.noLetters')}</p>}
      <div data-testid="letters">{reasons.slice(0, 12).map(([reason, n]) => (
        <div class="lr" key={reason} title={reason}><span class="el">{word('reason', reason)}</span><span class="bar" style={{ width: `${(100 * n) / most}%` }} /><b class="r">{num(n, 0)}</b></div>
      ))}</div>
      {reasons.length > 12 && <p class="s d">{t('strip.more', reasons.length - 12)}</p>}
    </section>
  );
}

function Right({ at }: { at: State }): JSX.Element {
  const { frames, log, history } = at;
  const missing = runs(frames.missing).replace('desk', t('ops.desk')) || '—';
  return (
    <aside class="ops-r" tabIndex={0} aria-label={t('ops.frames')}>
      <section data-testid="frames">
        <h3>{t('ops.frames')}</h3>
        <Facts rows={[[t('ops.final'), num(frames.final, 0)], [t('ops.provisional'), num(frames.provisional, 0)], [t('ops.open'), num(frames.open, 0)], [t('ops.missing'), missing], [t('ops.waits'), frames.missing.length ? seconds(frames.waiting) : '—']]} />
      </section>
      <Letters at={at} />
      <section data-testid="log">
        <h3>{t('ops.log')}</h3>
        <Facts rows={[[t('ops.status'), log.state === 'ok' ? word('ops.state', 'ok') : log.state], [t('ops.bytes'), size(log.bytes)], [t('ops.free'), size(log.free)]]} />
      </section>
      {history && (
        <section data-testid="history">
          <h3>{t('ops.history')} <span class="e">{history.store}</span></h3>
          <Facts rows={[[t('ops.written'), num(history.written, 0)], [t('ops.lag'), seconds(history.lag)], [t('ops.spilled'), size(history.spilled)], [t('ops.dropped'), num(history.dropped, 0)], [t('ops.errors'), num(history.errors, 0)]]} />
          {history.error && <p class="s m">{history.error}</p>}
        </section>
      )}
    </aside>
  );
}

const LEVELS = ['alarm', 'warn'] as const;

function Count({ level, n }: { level: Level; n: number }): JSX.Element | null {
  return n ? <span class="nw"><Sign of={level} /> {word('ops.level', level)} <b>{n}</b></span> : null;
}

export function Ops(): JSX.Element {
  useEffect(() => watchOps(), []);
  const at = ops.value;
  return (
    <>
      <Header><div class="tally">{at && <><span>{t(`ops.mode.${at.mode}`)}</span><span>{t('ops.k')} <b>{num(at.k, 0)}</b></span>{LEVELS.map((level) => <Count key={level} level={level} n={at.verdicts.filter((v) => v.level === level).length} />)}</>}</div></Header>
      <Verdicts at={at} />
      <main class={`ops-l${away.value === null ? '' : ' old'}`} tabIndex={0} aria-label={t('ops.shards')}>{at && <Shards at={at} />}</main>
      {at && <div class="ops-c" role="region" tabIndex={0} aria-label={t('ops.sources')}><Members at={at} /><Sources at={at} /></div>}
      {at && <Right at={at} />}
    </>
  );
}
