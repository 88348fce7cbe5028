/** Earlier cases of the caller, asked for while the number is typed: each asking is in the audit trail. */

import { signal } from '@preact/signals';
import type { JSX } from 'preact';
import { useEffect } from 'preact/hooks';
import { stamp } from '../format';
import { t, word } from '../i18n';
import { Mark } from '../parts';
import type { Item } from '../wire';
import { sheet } from './act';
import { brief } from './grammar';
import { digits } from './intake';
import { nameOf, whereOf } from './list';
import { caseOf, type Case } from './nouns';
import { earlier } from './send';
import { may, second, select, zone } from './store';

/** Whoever types pauses for so long when the number is whole, ms. */
const PAUSE_MS = 450;
/** A number with fewer digits is not whole yet. */
const WHOLE = 7;
const SHOWN = 6;

const found = signal<{ number: string; cases: Case[]; trouble: string }>({ number: '', cases: [], trouble: '' });
/** Whether one may ask: who takes reports and may know who calls. */
const asks = (): boolean => may('case.reported') && may('read.personal');

async function look(caller: string, number: string, still: () => boolean): Promise<void> {
  const answer = await earlier(caller);
  if (!still()) return;
  const items = answer.how === 'done' && Array.isArray(answer.told.items) ? (answer.told.items as Item[]) : [];
  found.value = { number, cases: items.map((x) => caseOf(x)), trouble: answer.how === 'done' ? '' : (answer.how !== 'away' && answer.words) || t('desk.noAnswer') };
}

/** Ask for the cases of who has this number, once it is whole; a number that is changed forgets what was found. */
export function useCaller(caller: string): void {
  const number = digits(caller);
  useEffect(() => {
    if (number !== found.peek().number) found.value = { number: '', cases: [], trouble: '' };
    if (number.length < WHOLE || number === found.peek().number || !asks()) return undefined;
    let current = true;
    const timer = setTimeout(() => void look(caller, number, () => current), PAUSE_MS);
    return () => { current = false; clearTimeout(timer); };
  }, [number]);
}

/** What a case waits for, or how it ended. */
function became(c: Case): string {
  const waits = word('await', c.state);
  return waits === c.state ? word('event', `case.${c.state}`) : waits;
}

export function Earlier({ caller }: { caller: string }): JSX.Element | null {
  const { number, cases, trouble } = found.value;
  if (!asks() || number === '' || number !== digits(caller)) return null;
  return (
    <section class="sim" aria-live="polite" data-testid="callers">
      <h3><span>{t('intake.earlier', cases.length)}</span><span>{t('intake.audited')}</span></h3>
      {trouble && <p class="s" role="alert">{trouble}</p>}
      {!trouble && cases.length === 0 && <p class="d s">{t('intake.first')}</p>}
      {cases.slice(0, SHOWN).map((c) => (
        <button type="button" class="in" key={c.code} onClick={() => { select(c.code); sheet.value = null; }}>
          <Mark level={c.level} /><span class="two1"><b title={c.code}>{brief(c.code)}</b> {nameOf(c)} <span class="m">{became(c)}</span><br /><span class="d s">{stamp(c.reported, second.value, zone.value)} · {whereOf(c)}{c.text && ` · ${c.text}`}</span></span>
        </button>
      ))}
      {cases.length > SHOWN && <p class="d s">{t('strip.more', cases.length - SHOWN)}</p>}
    </section>
  );
}
