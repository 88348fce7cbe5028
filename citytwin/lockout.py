"""Failed sign-ins by user, by address and by both: beyond a bound one has to wait; what is remembered is bounded."""

from __future__ import annotations

from collections import OrderedDict, deque

WINDOW_MS = 5 * 60_000
#: Failures within the window until one waits: of a user from one address, from one address, of a user.
PAIR, ADDRESS, USER = 5, 30, 50
_KEYS = 10_000


class Lockout:
    """Remembers failures of the last five minutes. Not safe for threads."""

    def __init__(self, keys: int = _KEYS) -> None:
        self._keys = keys
        self._failed: OrderedDict[tuple[str, ...], deque[int]] = OrderedDict()

    def wait_ms(self, user: str, address: str, now: int) -> int:
        """Milliseconds until another attempt is let through; 0 for at once."""
        return max(self._wait(key, most, now) for key, most in _limits(user, address))

    def _wait(self, key: tuple[str, ...], most: int, now: int) -> int:
        times = self._failed.get(key)
        if times is None:
            return 0
        while times and times[0] <= now - WINDOW_MS:
            times.popleft()
        return times[-most] + WINDOW_MS - now if len(times) >= most else 0

    def failed(self, user: str, address: str, now: int) -> None:
        """An attempt failed."""
        for key, most in _limits(user, address):
            times = self._failed.setdefault(key, deque(maxlen=most))
            times.append(now)
            self._failed.move_to_end(key)
        while len(self._failed) > self._keys:
            self._failed.popitem(last=False)

    def succeeded(self, user: str, address: str) -> None:
        """An attempt was right: the failures of this user from there are forgotten."""
        self._failed.pop((user, address), None)

    def __len__(self) -> int:
        return len(self._failed)


def _limits(user: str, address: str) -> tuple[tuple[tuple[str, ...], int], ...]:
    user = user[:100]
    return ((user, address), PAIR), (("", address), ADDRESS), ((user,), USER)
