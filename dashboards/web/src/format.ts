/** Numbers and times as design/README.md wants them: fixed decimals, true minus, thousands comma, city time. */

const MINUS = '\u2212';
export const NONE = '—';

/** `value` with fixed decimals and a comma from four digits; the em dash for NaN. */
export function num(value: number, decimals: number): string {
  if (!Number.isFinite(value)) return NONE;
  const [whole = '', part] = Math.abs(value).toFixed(decimals).split('.');
  const text = whole.replace(/\B(?=(\d{3})+$)/g, ',') + (part ? `.${part}` : '');
  return value < 0 && /[1-9]/.test(text) ? MINUS + text : text;
}

const clocks = new Map<string, Intl.DateTimeFormat>();

function clock(tz: string): Intl.DateTimeFormat {
  let found = clocks.get(tz);
  if (!found) {
    found = new Intl.DateTimeFormat('en-GB', {
      timeZone: tz, hourCycle: 'h23', year: 'numeric', month: '2-digit', day: '2-digit',
      hour: '2-digit', minute: '2-digit', second: '2-digit', weekday: 'short',
    });
    clocks.set(tz, found);
  }
  return found;
}

function parts(ms: number, tz: string): Record<string, string> {
  return Object.fromEntries(clock(tz).formatToParts(ms).map((p) => [p.type, p.value]));
}

/** `22:41:05` in the city's time. */
export function hms(ms: number, tz: string): string {
  if (!(ms > 0)) return '--:--:--';
  const p = parts(ms, tz);
  return `${p.hour}:${p.minute}:${p.second}`;
}

/** `22:41` in the city's time. */
export function hm(ms: number, tz: string): string {
  return hms(ms, tz).slice(0, 5);
}

const WEEK: Record<string, string> = { Mon: '周一', Tue: '周二', Wed: '周三', Thu: '周四', Fri: '周五', Sat: '周六', Sun: '周日' };

/** `7月8日 周三` or `Wed 8 Jul`. */
export function day(ms: number, tz: string, lang: string): string {
  const p = parts(ms, tz);
  if (lang === 'zh') return `${Number(p.month)}月${Number(p.day)}日 ${WEEK[p.weekday ?? ''] ?? ''}`;
  return new Intl.DateTimeFormat('en-GB', { timeZone: tz, weekday: 'short', day: 'numeric', month: 'short' }).format(ms);
}

/** Time of day, with the day in front when it is not today's: `22:41:05`, `07-08 22:41`. */
export function stamp(ms: number, now: number, tz: string): string {
  if (!(ms > 0)) return NONE;
  if (Math.abs(now - ms) < 18 * 3_600_000) return hms(ms, tz);
  const p = parts(ms, tz);
  return `${p.month}-${p.day} ${p.hour}:${p.minute}`;
}

/** Signed clock: `04:58`, `−01:00`, `3:12:05`; days beyond two of them. */
export function countdown(ms: number, lang = 'zh'): string {
  const s = Math.floor(Math.abs(ms) / 1000);
  const sign = ms < 0 ? MINUS : '';
  const two = (n: number): string => String(n).padStart(2, '0');
  if (s >= 2 * 86_400) return `${sign}${Math.floor(s / 86_400)} ${lang === 'zh' ? '天' : 'd'} ${Math.floor((s % 86_400) / 3600)} h`;
  if (s >= 3600) return `${sign}${Math.floor(s / 3600)}:${two(Math.floor((s % 3600) / 60))}:${two(s % 60)}`;
  return `${sign}${two(Math.floor(s / 60))}:${two(s % 60)}`;
}

/** Age in the two largest units: `41 s`, `12 min`, `2 h 41 min`, `3 d 4 h`. */
export function age(ms: number): string {
  const s = Math.max(0, Math.floor(ms / 1000));
  if (s < 60) return `${s} s`;
  const m = Math.floor(s / 60);
  if (m < 60) return `${m} min`;
  const h = Math.floor(m / 60);
  if (h < 48) return m % 60 ? `${h} h ${m % 60} min` : `${h} h`;
  return `${Math.floor(h / 24)} d ${h % 24} h`;
}
