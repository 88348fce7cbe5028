"""Who asks: a person with rights, and the port that knows people. `person_of(request)` is for every handler."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, Protocol

from starlette.requests import HTTPConnection

from citytwin.dashboards.problems import Trouble
from citytwin.geo.scopes import ScopeTree
from citytwin.models.desk.rights import EVERYWHERE, FULL, Rights, View, inside, is_personal, may, role_for

#: Name of the cookie of a session.
COOKIE = "citytwin_session"
#: Keys of the person and of the audit trail in an ASGI scope.
PERSON, TRAIL = "citytwin.person", "citytwin.trail"
#: Codes that a row of the audit trail names.
_NAMED = 50


@dataclass(frozen=True, slots=True)
class Person:
    """Somebody with rights. `how`: session, token, oidc, local (alone on this machine) or demo.

    `until`: ms UTC at which they must sign in again, 0 = never. `unit`: code of the unit that they belong to.
    """

    user: str
    name: str
    rights: Rights
    how: str
    until: int = 0
    unit: str = ""
    #: What the port that knows people needs to find them again; nothing for others to see.
    key: bytes = field(default=b"", repr=False)
    #: Seconds that the cookie is to live from now on, where the session was renewed by this call.
    renewed: int = field(default=0, compare=False)
    tree: ScopeTree = field(default_factory=ScopeTree, compare=False, repr=False)

    def at(self, tree: ScopeTree) -> Person:
        """The same person, whose scopes are those of this tree."""
        return replace(self, tree=tree)

    def holds(self, op: str) -> bool:
        """Whether a permission is held anywhere."""
        return self.rights.holds(op)

    def may(self, op: str, scope_row: int = -1, lent: Sequence[int] = ()) -> bool:
        """Whether a permission holds for what lies at a scope row (-1: no known place), lent to these scope rows."""
        return may(self.rights, op, scope_row, self.tree, lent)

    def under(self, op: str, scope_row: int = -1) -> str:
        """Code of the role under which this is said for what lies at a scope row; "" where it may not be."""
        return role_for(self.rights, op, scope_row, self.tree)

    def view(self, channel: str) -> View:
        """What is seen of a channel."""
        return self.rights.view(channel)

    def sees(self, channel: str, scope_row: int, lent: Sequence[int] = ()) -> bool:
        """Whether a row of a channel at this scope row is seen."""
        return self.view(channel).sees(scope_row, self.tree, lent)

    def require(self, op: str, scope_row: int = -1, lent: Sequence[int] = ()) -> None:
        """Raise Trouble (403) where a permission does not hold."""
        if not self.may(op, scope_row, lent):
            raise forbidden(op if not self.holds(op) else f"{op} there")


def forbidden(what: str) -> Trouble:
    """The refusal for who is known and may not."""
    return Trouble(403, "forbidden", f"you may not {what}; ask who gives the rights in your city")


#: Whoever sits at this machine, where no token and no accounts are set.
LOCAL = Person("local", "local", FULL, "local")
#: Whoever has the token of the settings: programs that bring events and read, and those that operate the system.
TOKEN = Person("token", "token", Rights.of([("gateway", EVERYWHERE), ("admin", EVERYWHERE)]), "token")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """A session that was begun: the person, and the token for the cookie with its seconds to live."""

    person: Person
    token: str = field(repr=False)
    seconds: int = 0


class People(Protocol):
    """Knows people. Quick, for any thread, but `check` and `sign_in`, which are called on a worker thread."""

    def version(self) -> int:
        """A number that changes whenever somebody's rights may have changed."""

    def guest(self) -> Person | None:
        """Who comes without any credentials; None: nobody."""

    def by_cookie(self, token: str) -> Person | None:
        """The person of a session's cookie."""

    def by_bearer(self, token: str) -> Person | None:
        """The person of a bearer token, as far as it is known without waiting."""

    def check(self, token: str) -> Person | None:
        """The person of a bearer token; may ask a provider of identities."""

    def again(self, person: Person) -> Person | None:
        """The person with the rights of now; None when they may no longer be here."""

    def sign_in(self, user: str, password: str, address: str) -> SignedIn:
        """Begin a session. Raises Trouble: 401 wrong, 429 too many attempts."""

    def sign_out(self, token: str) -> None:
        """End the session of a cookie."""


class SignOn(Protocol):
    """Signs people in at a provider of identities; each call is made on a worker thread."""

    def begin(self) -> tuple[str, str]:
        """Address of the provider's page, and a state. Raises Trouble."""

    def finish(self, state: str, code: str) -> SignedIn:
        """The session of who comes back. Raises Trouble."""


class Trail(Protocol):
    """The audit trail: what people did, and that they read personal data."""

    def note(
        self, person: Person, action: str, subject: str = "", scope: str = "", detail: Mapping[str, Any] | None = None
    ) -> None:
        """Write down what a person did; returns at once. Personal fields of `detail` are emptied."""


def note(
    request: HTTPConnection, action: str, subject: str = "", scope: str = "", detail: Mapping[str, Any] | None = None
) -> None:
    """Write into the audit trail what the person behind a request did; nothing where there is no trail."""
    trail: Trail | None = request.scope.get(TRAIL)
    if trail is not None:
        trail.note(person_of(request), action, subject, scope, detail)


def note_personal(request: HTTPConnection, channel: str, rows: Iterable[Any]) -> None:
    """Write into the audit trail that rows (with `code`) were shown with personal fields; others are passed over."""
    codes = [str(row.get("code", "")) for row in rows if is_personal(row)]
    if codes:
        named = ",".join(codes[:_NAMED])
        note(request, "read.personal", named, detail={"channel": channel, "rows": len(codes)})


def person_or_none(request: HTTPConnection) -> Person | None:
    """Who asks; None for nobody who is known."""
    found = request.scope.get(PERSON)
    assert found is None or isinstance(found, Person)
    return found


def person_of(request: HTTPConnection) -> Person:
    """Who asks. Raises Trouble (401) for nobody who is known."""
    found = person_or_none(request)
    if found is None:
        raise Trouble(401, "token", "sign in, or send the token as Authorization: Bearer <token>")
    return found


def scope_for(person: Person, channel: str, row: int | None) -> int | None:
    """The scope row to read a channel at when `row` (None: all) is asked for: as narrow as the rights are.

    Raises Trouble (403) when nothing at or below it may be seen.
    """
    view, tree = person.view(channel), person.tree
    if view.whole:
        return row
    if row is not None and inside(view.scopes, (row,), tree):
        return row
    below = [r for r in map(tree.row, view.scopes) if r >= 0 and (row is None or row in tree.path(r))]
    if not below:
        where = f" at {tree.code[row]}" if row is not None else ""
        raise forbidden(f"read {channel}{where}")
    return below[0] if len(below) == 1 else row
