"""The people of one server: guests, local accounts, those that a provider of identities vouches for."""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections.abc import Callable, Mapping
from typing import Any, Protocol

from citytwin.accounts import Accounts, Session
from citytwin.dashboards.people import LOCAL, Person, SignedIn
from citytwin.dashboards.problems import Trouble
from citytwin.lockout import Lockout
from citytwin.models.desk.rights import EVERYWHERE, Rights

_log = logging.getLogger(__name__)
#: People of the demo by user: its titles, and their roles. The first is signed in by itself; the others by their name.
DEMO: dict[str, tuple[str, tuple[str, ...]]] = {
    "demo": (
        "演示派遣员 Demo dispatcher",
        ("acceptance_clerk", "shift_leader", "dispatcher", "operator", "modeler", "gateway"),
    ),
    "demo-handler": ("演示处置员 Demo handler", ("handler",)),
    "demo-verifier": ("演示核查员 Demo verifier", ("verifier", "evaluator")),
    "demo-commander": ("演示指挥长 Demo commander", ("commander", "supervisor")),
}


Note = Callable[[str, str, str, str, str, Mapping[str, Any]], None]


class Provider(Protocol):
    """A provider of identities: what it vouches for."""

    def known(self, token: str) -> Person | None:
        """The person of a token that was checked before and still holds; quick."""

    def check(self, token: str) -> Person | None:
        """The person of a token, checked now; may fetch keys."""


def demo_person(user: str) -> Person:
    """One of the people of the demo."""
    name, roles = DEMO[user]
    return Person(user, name, Rights.of((role, EVERYWHERE) for role in roles), "demo")


class Staff:
    """Implements dashboards.people.People over accounts, a provider of identities and the demo."""

    def __init__(
        self, accounts: Accounts, *, loopback: bool, demo: bool = False, provider: Provider | None = None,
        note: Note = lambda *_: None, now_ms: Callable[[], int] = lambda: time.time_ns() // 1_000_000,
    ) -> None:  # fmt: skip
        """`note(who, how, action, subject, scope, detail)` is told of attempts that failed."""
        self._note = note
        self._version = 0
        self.accounts, self.loopback, self.demo, self.provider = accounts, loopback, demo and loopback, provider
        self._now, self._lockout, self._lock = now_ms, Lockout(), threading.Lock()

    def version(self) -> int:
        """A number that changes whenever somebody's rights may have changed.

        While the file cannot be read it stays: frames go on, and a change acts once the file is back.
        """
        try:
            self._version = self.accounts.version()
        except sqlite3.Error as error:
            _log.error("the accounts cannot be read: %s", error)
        return self._version

    def guest(self) -> Person | None:
        """On loopback the demo's dispatcher, or whoever sits here while there are no accounts; else nobody."""
        if not self.loopback:
            return None
        if self.demo:
            return demo_person(next(iter(DEMO)))
        return LOCAL if self.provider is None and not self.accounts.any() else None

    def by_cookie(self, token: str) -> Person | None:
        """The person of a session."""
        return self._person(self.accounts.by_token(token))

    def _person(self, found: Session | None) -> Person | None:
        if found is None:
            return None
        if found.how == "demo":
            known = self.demo and found.user in DEMO
            return self._session(found, demo_person(found.user).rights) if known else None
        return self._session(found, found.rights)

    def vouched(self, person: Person) -> SignedIn:
        """Begin a session of who signed in at the provider. Raises Trouble (403) where the accounts do not let them."""
        if self._vouched(person) is None:
            raise Trouble(403, "forbidden", "this user may not come in here")
        token, session = self.accounts.open(person.user, person.name, "oidc", person.rights.grants)
        found = self._person(session)
        assert found is not None
        return SignedIn(found, token, max(1, (session.until - self._now()) // 1000))

    def _session(self, found: Session, rights: Rights) -> Person:
        seconds = max(1, (found.until - self._now()) // 1000) if found.renewed else 0
        return Person(
            found.user, found.name, rights, found.how, found.until, found.unit, key=found.key, renewed=seconds
        )  # fmt: skip

    def by_bearer(self, token: str) -> Person | None:
        """The person of a bearer token that was checked before."""
        return self._vouched(self.provider.known(token)) if self.provider is not None else None

    def check(self, token: str) -> Person | None:
        """The person of a bearer token, checked by the provider's keys."""
        return self._vouched(self.provider.check(token)) if self.provider is not None else None

    def _vouched(self, person: Person | None) -> Person | None:
        """With the roles that the accounts give besides; nobody when they say that this user is disabled."""
        if person is None or 0 < person.until <= self._now():
            return None
        account = self.accounts.get(person.user)
        if account is None:
            return person
        if account.disabled or account.local:
            return None  # a provider does not vouch for who has a password here
        rights = Rights(person.rights.grants | account.grants)
        return Person(person.user, person.name, rights, person.how, person.until, account.unit, key=person.key)

    def again(self, person: Person) -> Person | None:
        """The person with the rights of now; None when they may no longer be here."""
        if person.how == "token":
            return person
        if person.key and person.how in ("session", "demo"):
            return self._person(self.accounts.session(person.key))
        if person.how == "oidc":
            if (found := self.accounts.session(person.key)) is not None:
                return self._person(found)
            return self._vouched(self.provider.known(person.key.decode())) if self.provider is not None else None
        found_guest = self.guest()
        return found_guest if found_guest is not None and found_guest.user == person.user else None

    def sign_in(self, user: str, password: str, address: str) -> SignedIn:
        """Begin a session. Raises Trouble."""
        if self.demo and user in DEMO and not password:
            token, session = self.accounts.open(user, DEMO[user][0], "demo")
        else:
            self._wait(user, address)
            account = self.accounts.check(user, password)
            if account is None:
                with self._lock:
                    self._lockout.failed(user, address, self._now())
                # a name that nobody has may be a password in the wrong field
                named = user if self.accounts.get(user) is not None else ""
                self._note("", "session", "session.refused", named, "", {"address": address})
                raise Trouble(401, "sign_in", "user or password is wrong")
            with self._lock:
                self._lockout.succeeded(user, address)
            token, session = self.accounts.open(user, account.name, "session")
        person = self._person(session)
        assert person is not None
        return SignedIn(person, token, max(1, (session.until - self._now()) // 1000))

    def _wait(self, user: str, address: str) -> None:
        with self._lock:
            wait = self._lockout.wait_ms(user, address, self._now())
        if wait > 0:
            raise Trouble(429, "locked", "too many wrong attempts; wait a few minutes", retry_after=-(-wait // 1000))

    def sign_out(self, token: str) -> None:
        """End a session."""
        self.accounts.end(token)
