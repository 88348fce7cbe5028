"""Opening what belongs to people: accounts, a provider of identities, the audit trail with its anchors."""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from citytwin.accounts import Accounts
from citytwin.anchors import Anchors
from citytwin.audit import Audit
from citytwin.config import Config, check_exposure, is_local
from citytwin.dashboards.access import Access
from citytwin.people import Staff

ACCOUNTS = "accounts.db"
AUDIT = "audit"
ANCHORS = "anchors.ndjson"


@dataclass(frozen=True, slots=True)
class Staffed:
    """What a server needs of people; `audit` for whoever writes rows."""

    access: Access
    staff: Staff
    audit: Audit


def audit_of(folder: Path, config: Config) -> Audit:
    """The audit trail of a data folder. Raises sqlite3.Error, OSError."""
    return Audit(folder / AUDIT, seal_rows=config.audit.seal_rows)


def accounts_of(folder: Path, config: Config, audit: Audit, who: str, how: str) -> Accounts:
    """The accounts of a data folder; changes go into the trail as made by `who`. Raises sqlite3.Error, OSError."""

    def note(action: str, user: str, detail: Mapping[str, Any]) -> None:
        audit.write(user if action.startswith("session.") else who, how, action, user, "", detail)

    return Accounts(folder / ACCOUNTS, session_ms=round(config.accounts.session_hours * 3_600_000), note=note)


def known(config: Config, folder: Path) -> bool:
    """Whether somebody could sign in: there is an account, or a provider of identities. Makes nothing."""
    if config.oidc.issuer:
        return True
    if not (folder / ACCOUNTS).is_file():
        return False
    with Accounts(folder / ACCOUNTS) as accounts:
        return accounts.any()


def check(config: Config, folder: Path) -> None:
    """Raise ConfigError where others could reach the port and nobody could be told from anybody."""
    check_exposure(config.server, known=known(config, folder))


def staffed(config: Config, folder: Path, stack: ExitStack, *, demo: bool = False) -> Staffed:
    """Open what a server needs; `stack` closes it. Raises ConfigError, sqlite3.Error, OSError."""
    check(config, folder)
    audit = stack.enter_context(audit_of(folder, config))
    given = config.audit
    file = Path(given.anchor_file) if given.anchor_file else folder / AUDIT / ANCHORS
    anchors = Anchors(audit, file, given.anchor_url, every_s=given.anchor_minutes * 60)
    stack.callback(anchors.close)
    accounts = stack.enter_context(accounts_of(folder, config, audit, "server", "auto"))
    anchors.start()
    provider = sign_on = None
    if config.oidc.issuer:
        from citytwin.oidc import Oidc  # its package comes with an extra

        provider = Oidc(config.oidc)
    local = is_local(config.server.host)
    staff = Staff(accounts, loopback=local, demo=demo, provider=provider, note=audit.write)
    if provider is not None and provider.signs_in:
        from citytwin.signon import ProviderSignOn

        sign_on = ProviderSignOn(provider, staff)
    return Staffed(Access(config.server.token or None, people=staff, trail=audit, sign_on=sign_on), staff, audit)
