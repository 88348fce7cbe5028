/** The command bar: what was typed, what Enter would do, in either language. Pure. */

export type Takes = 'unit' | 'case' | 'text' | 'to' | 'until' | 'passed' | 'nothing' | 'alarm';

/** A verb: its aliases, the command it becomes and what it wants to know besides the case. `legal`: only where the case may do so. */
export interface Verb { name: string; aliases: string[]; op: string; takes: Takes; legal: boolean }

const verb = (name: string, aliases: string, op: string, takes: Takes, legal = false): Verb => ({ name, aliases: aliases.split(' '), op, takes, legal });

export const VERBS = [
  verb('send', '派 派遣 send dispatch d', 'case.dispatched', 'unit', true),
  verb('batch', '批派 整批 分派 batch', '', 'nothing'),
  verb('warnings', '预警 公共预警 warnings', '', 'nothing'),
  verb('support', '协 协办 support assist', 'case.assigned', 'unit'),
  verb('merge', '并 合并 merge m', 'case.merged', 'case'),
  verb('unmerge', '拆 拆并 unmerge split', 'case.unmerged', 'nothing'),
  verb('unlike', '非 不是 unlike notsame', 'case.unlike', 'case'),
  verb('note', '记 记录 note n', 'case.noted', 'text'),
  verb('transfer', '转 转办 transfer t', 'case.transferred', 'to'),
  verb('escalate', '升 升级 escalate e', 'case.escalated', 'text', true),
  verb('hold', '挂 挂起 缓 缓办 hold h', 'case.deferred', 'until', true),
  verb('park', '挂账 park', 'case.parked', 'until', true),
  verb('recall', '撤 撤回 recall', 'case.unassigned', 'unit'),
  verb('void', '作废 废 void x', 'case.voided', 'text', true),
  verb('accept', '受 受理 accept', 'case.accepted', 'nothing', true),
  verb('reject', '拒 不受理 reject', 'case.rejected', 'text', true),
  verb('file', '立 立案 file', 'case.filed', 'nothing', true),
  verb('verify', '核 核查 verify v', 'case.verified', 'passed', true),
  verb('close', '结 结案 close c', 'case.closed', 'nothing', true),
  verb('reopen', '重开 reopen', 'case.reopened', 'text', true),
  verb('urge', '催 催办 urge', 'case.urged', 'text'),
  verb('supervise', '督 督办 supervise', 'case.supervised', 'text'),
  verb('instruct', '批 批示 instruct', 'case.instructed', 'text'),
  verb('receipt', '回执 receipt', 'case.acknowledged', 'text', true),
  verb('ack', '确认 认 ack a', 'alarm.acknowledged', 'alarm'),
  verb('shelve', '搁 搁置 shelve', 'alarm.shelved', 'until'),
] as const;
export type VerbName = 'send' | 'batch' | 'warnings' | 'support' | 'merge' | 'unmerge' | 'unlike' | 'note' | 'transfer' | 'escalate' | 'hold' | 'park' | 'recall' | 'void' | 'accept' | 'reject' | 'file' | 'verify' | 'close' | 'reopen' | 'urge' | 'supervise' | 'instruct' | 'receipt' | 'ack' | 'shelve';

/** What the bar knows of the city while somebody types. `selected`: the case that is open, '' = none. */
export interface World { selected: string; cases: readonly string[]; units: readonly string[]; alarms: readonly string[]; now: number }

export type Problem = 'verb' | 'case' | 'cases' | 'unit' | 'units' | 'other' | 'text' | 'to' | 'time' | 'passed' | 'alarm' | 'self';

/** `scope`, `drill`: of what has no code yet; `rev`: the revision that was looked at, where it is not that of the page. */
export interface Command { op: string; subject: string; fields: Record<string, string | number | boolean>; scope?: string; drill?: boolean; rev?: number }

/**
 * What a line means. `opens` a case, `shows` a sheet, or is `command`s to send, or has a `problem` (with the word it is about).
 * `hint` is the rest of the only verb or code that fits, to be taken over by Tab.
 */
export interface Meaning { verb: Verb | null; opens: string; shows: string; commands: Command[]; target: string; given: string; problem: Problem | null; about: string }

/** A code as it is said among people who know the year: `1126-00320` for `C20261126-00320`, `1126-0a70` for the `R261126065644-0a704e08` of a rule, `W00002-01` for `W179576787600002-01`. */
export function brief(code: string): string {
  return code.replace(/^[A-Z]+20\d\d(\d{4}-\d+)$/, '$1').replace(/^R\d\d(\d{4})\d{6}(-[\da-f]{4})[\da-f]+$/, '$1$2').replace(/^([A-Z])\d{10}(\d{5}(?:-\d+)?)$/, '$1$2');
}

/** The code that a reference means: whole, as said in short, or its number at the end with or without its noughts; [] = none, several = ambiguous. */
export function meant(reference: string, codes: readonly string[]): string[] {
  const wanted = reference.toLowerCase();
  if (!wanted) return [];
  const whole = codes.filter((c) => c.toLowerCase() === wanted || brief(c).toLowerCase() === wanted);
  if (whole.length) return whole;
  const tail = codes.filter((c) => { const code = c.toLowerCase(); return code.endsWith(wanted) && !/[a-z0-9]/.test(code.charAt(code.length - wanted.length - 1)); });
  if (tail.length || !/^\d+$/.test(wanted)) return tail;
  return codes.filter((c) => Number(/-(\d+)$/.exec(c)?.[1] ?? NaN) === Number(wanted));
}

/** Milliseconds of `30`, `30m`, `2h`, `1d`, `30分`, `2小时`, `1天`; NaN for anything else. */
export function duration(word: string): number {
  const found = /^(\d{1,4})(m|min|h|d|分|分钟|时|小时|天)?$/i.exec(word);
  if (!found) return NaN;
  const unit = (found[2] ?? 'm').toLowerCase();
  const each = /^(h|时|小时)$/.test(unit) ? 3_600_000 : /^(d|天)$/.test(unit) ? 86_400_000 : 60_000;
  return Number(found[1]) * each;
}

const GOOD = new Set(['过', '通过', 'ok', 'pass', 'yes', '是', '']);
const BAD = new Set(['退', '不过', '未过', '不通过', 'fail', 'no', '否']);

const nothing = (problem: Problem | null, about = '', verb: Verb | null = null): Meaning => ({ verb, opens: '', shows: '', commands: [], target: '', given: '', problem, about });

/** The verb at the beginning, also where Chinese stands without a blank: `派10241`. */
function verbOf(line: string): { verb: Verb; rest: string } | null {
  const [first = ''] = line.split(/\s/, 1);
  const whole = VERBS.find((v) => v.aliases.includes(first.toLowerCase()));
  if (whole) return { verb: whole, rest: line.slice(first.length).trim() };
  const glued = VERBS.flatMap((v) => v.aliases.map((alias) => ({ verb: v, alias }))).filter((x) => /^[\u4e00-\u9fff]/.test(x.alias) && line.startsWith(x.alias)).sort((a, b) => b.alias.length - a.alias.length)[0];
  return glued ? { verb: glued.verb, rest: line.slice(glued.alias.length).trim() } : null;
}

/** The case that a line names first, else the one that is open; and what follows. */
function targetOf(rest: string, world: World, keep: boolean): { code: string; rest: string; problem: Problem | null; about: string } {
  const [word = ''] = rest.split(/\s/, 1);
  const found = meant(word, world.cases);
  if (found.length === 1) return { code: found[0] ?? '', rest: rest.slice(word.length).trim(), problem: null, about: '' };
  if (found.length > 1) return { code: '', rest: '', problem: 'cases', about: word };
  if (world.selected && (keep || !/\d{3}/.test(word))) return { code: world.selected, rest, problem: null, about: '' };
  return { code: '', rest: '', problem: 'case', about: word };
}

type Rest = { fields: Command['fields']; given?: string } | { problem: Problem; about: string };

/** `30m reason`: until when, and the words after it. */
function untilOf(rest: string, now: number): Rest {
  const [word = '', ...more] = rest.split(/\s+/);
  const span = duration(word);
  return Number.isFinite(span) && span > 0 ? { fields: { until: now + span, ...(more.length ? { reason: more.join(' ') } : {}) }, given: rest } : { problem: 'time', about: word };
}

function unitOf(rest: string, world: World): Rest {
  const found = meant(rest, world.units);
  if (found.length !== 1) return { problem: found.length ? 'units' : 'unit', about: rest };
  return { fields: { unit: found[0] ?? '' }, given: found[0] ?? '' };
}

function restOf(v: Verb, rest: string, world: World, target: string): Rest {
  switch (v.takes) {
    case 'unit': { const got = unitOf(rest, world); return v.name === 'support' && 'fields' in got ? { ...got, fields: { ...got.fields, role: 'support' } } : got; }
    case 'case': {
      const found = meant(rest, world.cases);
      if (found.length !== 1) return { problem: found.length ? 'cases' : 'other', about: rest };
      return found[0] === target ? { problem: 'self', about: rest } : { fields: v.name === 'merge' ? { into: target } : { other: found[0] ?? '' }, given: found[0] ?? '' };
    }
    case 'to': return rest ? { fields: { to: rest.split(/\s+/)[0] ?? '', ...(/\s/.test(rest) ? { reason: rest.replace(/^\S+\s+/, '') } : {}) }, given: rest } : { problem: 'to', about: '' };
    case 'until': return untilOf(rest, world.now);
    case 'passed': {
      const [word = '', ...more] = rest.split(/\s+/);
      const said = word.toLowerCase();
      if (!GOOD.has(said) && !BAD.has(said)) return { problem: 'passed', about: word };
      return { fields: { passed: GOOD.has(said), ...(more.length ? { reason: more.join(' ') } : {}) }, given: word };
    }
    case 'text': {
      if (!rest && v.name !== 'urge' && v.name !== 'supervise') return { problem: 'text', about: '' };
      const key = v.name === 'receipt' ? 'receipt' : ['note', 'instruct', 'urge', 'supervise'].includes(v.name) ? 'text' : 'reason';
      return { fields: rest ? { [key]: rest } : {}, given: rest };
    }
    default: return { fields: {} };
  }
}

function alarmMeaning(v: Verb, rest: string, world: World): Meaning {
  const [word = ''] = rest.split(/\s/, 1);
  const every = /^(all|全部|所有)?$/i.test(word) && v.name === 'ack';
  const found = every ? [...world.alarms] : meant(word, world.alarms);
  if (!found.length || (!every && found.length > 1)) return nothing('alarm', word, v);
  const more = v.takes === 'until' ? untilOf(rest.slice(word.length).trim(), world.now) : { fields: {} };
  if ('problem' in more) return nothing(more.problem, more.about, v);
  return { verb: v, opens: '', shows: '', commands: found.map((subject) => ({ op: v.op, subject, fields: more.fields })), target: every ? '' : (found[0] ?? ''), given: String(found.length), problem: null, about: '' };
}

/** What a line means in a world. An empty line means nothing and has no problem. */
export function parse(typed: string, world: World): Meaning {
  const line = typed.trim().replace(/^[/／]/, '').replace(/[，、]/g, ' ').trim();
  if (!line) return nothing(null);
  const begun = verbOf(line);
  if (!begun) {
    const found = meant(line, world.cases);
    return found.length === 1 ? { ...nothing(null), opens: found[0] ?? '', target: found[0] ?? '' } : nothing(found.length ? 'cases' : 'verb', line);
  }
  const v = begun.verb;
  if (!v.op) return { ...nothing(null, '', v), shows: v.name };
  if (v.op.startsWith('alarm.')) return alarmMeaning(v, begun.rest, world);
  const target = targetOf(begun.rest, world, ['text', 'to', 'until'].includes(v.takes));
  if (target.problem) return nothing(target.problem, target.about, v);
  // `并 10238` alone: with the one that is open
  const alone = v.takes === 'case' && !target.rest && world.selected && world.selected !== target.code;
  const subject = alone ? world.selected : target.code;
  const got = restOf(v, alone ? target.code : target.rest, world, subject);
  if ('problem' in got) return nothing(got.problem, got.about, v);
  const given = got.given ?? '';
  const command: Command = { op: v.op, subject: v.name === 'merge' ? given : subject, fields: got.fields };
  return { verb: v, opens: '', shows: '', commands: [command], target: subject, given, problem: null, about: '' };
}

/** What Tab would put behind what was typed: the rest of the only unit or case that fits. */
export function completion(typed: string, world: World): string {
  const word = /\S+$/.exec(typed)?.[0] ?? '';
  if (!word) return '';
  const fits = [...world.units, ...world.cases].filter((c) => c.toLowerCase().startsWith(word.toLowerCase()) && c.length > word.length);
  return fits.length === 1 ? (fits[0] ?? '').slice(word.length) : '';
}
