/** Small pieces of the desk: icons, a sheet over the page, who must sign in. */

import { useSignal } from '@preact/signals';
import type { ComponentChildren, JSX } from 'preact';
import { useEffect, useRef } from 'preact/hooks';
import { t } from '../i18n';
import { identify } from './store';
import { signIn } from './send';

const ICONS = {
  check: 'm5 12 5 5L19 7', cross: 'M6 6l12 12M18 6 6 18', loud: 'M4 9v6h4l5 4V5L8 9zM16 8.500a5 5 0 0 1 0 7M18.500 6a8.500 8.500 0 0 1 0 12', mute: 'M4 9v6h4l5 4V5L8 9zM16 9.500l5 5M21 9.500l-5 5',
  go: 'M12 3 19 21l-7-4-7 4z', call: 'M6 3h4l1.500 5-2.500 2a12 12 0 0 0 5 5l2-2.500 5 1.500v4a2 2 0 0 1-2 2A16 16 0 0 1 4 5a2 2 0 0 1 2-2z',
  photo: 'M4 8h3l2-3h6l2 3h3v11H4zM12 10a3.500 3.500 0 1 0 0 7 3.500 3.500 0 1 0 0-7', back: 'M14 5l-7 7 7 7', pin: 'M12 5a7 7 0 1 0 0 14 7 7 0 1 0 0-14M12 1v6M12 17v6M1 12h6M17 12h6', eye: 'M2 12s3.500-6 10-6 10 6 10 6-3.500 6-10 6-10-6-10-6zM12 9a3 3 0 1 0 0 6 3 3 0 1 0 0-6', note: 'M5 4h14v16H5zM8 9h8M8 13h8M8 17h5',
} as const;

export function Sign({ name, size = 0.875 }: { name: keyof typeof ICONS; size?: number }): JSX.Element {
  return <svg class="ic" viewBox="0 0 24 24" style={{ width: `${size}rem`, height: `${size}rem` }} aria-hidden="true"><path d={ICONS[name]} /></svg>;
}

/** Something over the page: it takes the focus, keeps it inside, and gives it back by Esc. */
export function Over({ label, close, wide = false, children, testid }: { label: string; close: () => void; wide?: boolean; children: ComponentChildren; testid: string }): JSX.Element {
  const box = useRef<HTMLDivElement>(null);
  useEffect(() => { if (!box.current?.contains(document.activeElement)) (box.current?.querySelector<HTMLElement>('[data-first]') ?? box.current)?.focus(); }, []);
  const hold = (e: KeyboardEvent): void => {
    if (e.key !== 'Tab' || !box.current) return;
    const list = [...box.current.querySelectorAll<HTMLElement>('button:not(:disabled),input,select,textarea,a[href],[tabindex="0"]')];
    const [first] = list;
    const last = list.at(-1);
    if (e.shiftKey && (document.activeElement === first || document.activeElement === box.current)) { e.preventDefault(); last?.focus(); }
    if (!e.shiftKey && document.activeElement === last) { e.preventDefault(); first?.focus(); }
  };
  return (
    <div class="veil desk" onClick={(e) => { if (e.target === e.currentTarget) close(); }}>
      <div ref={box} class={`sheet${wide ? ' big' : ''}`} role="dialog" aria-modal="true" aria-label={label} tabIndex={-1} onKeyDown={hold} data-testid={testid}>
        <header class="sh1"><h2>{label}</h2><button class="btn" onClick={close}>{t('desk.done')} <kbd>Esc</kbd></button></header>
        {children}
      </div>
    </div>
  );
}

/** Name and password, where the server wants them. */
export function SignIn(): JSX.Element {
  const user = useSignal('');
  const secret = useSignal('');
  const trouble = useSignal('');
  const go = async (e: Event): Promise<void> => {
    e.preventDefault();
    const answer = await signIn(user.value, secret.value);
    if (answer.how !== 'done') { trouble.value = answer.words || t('desk.noAnswer'); return; }
    secret.value = '';
    await identify();
    location.reload(); // the line is opened anew, as this person
  };
  return (
    <main class="signin">
      <form onSubmit={(e) => void go(e)}>
        <h1>CityTwin</h1>
        <label>{t('desk.user')}<input value={user.value} onInput={(e) => (user.value = e.currentTarget.value)} autocomplete="username" required autofocus /></label>
        <label>{t('desk.password')}<input type="password" value={secret.value} onInput={(e) => (secret.value = e.currentTarget.value)} autocomplete="current-password" required /></label>
        {trouble.value && <p role="alert">{trouble.value}</p>}
        <button class="btn pri">{t('desk.signIn')}</button>
      </form>
    </main>
  );
}
