"""Settings of people: sessions, a provider of identities (OpenID Connect), the audit trail."""

from __future__ import annotations

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from citytwin.sections import Count, Section


class Accounts(Section):
    """Local accounts lie in accounts.db of the data folder; a session ends so long after its last use."""

    session_hours: Annotated[float, Meta(gt=0, le=168)] = 12.0


class Oidc(Section):
    """A provider of identities: tokens of `issuer` for `audience` are taken, where they are signed by its keys.

    `roles` maps a value of the claim `claim` (a dotted path to a text or a list) to `role` or `role@scope`. With
    `client_id` people sign in at /login; `redirect_uri` is the address of /callback as browsers see it.
    """

    issuer: str = ""
    audience: str = ""
    client_id: str = ""
    client_secret: str = ""
    client_secret_file: str = ""
    redirect_uri: str = ""
    scopes: str = "openid profile"
    claim: str = "roles"
    user_claim: str = "sub"
    algorithms: list[
        Literal["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"]
    ] = msgspec.field(default_factory=lambda: ["RS256", "PS256", "ES256", "EdDSA"])
    skew_seconds: Annotated[int, Meta(ge=0, le=120)] = 30
    roles: dict[str, list[str]] = msgspec.field(default_factory=dict)


class Audit(Section):
    """The audit trail in `audit/` of the data folder: rows to a sealed file, and where its head is put by the hour.

    Without `anchor_file` anchors lie beside the trail, where they vouch for nothing: name a file of another machine.
    """

    seal_rows: Count = 100_000
    anchor_file: str = ""
    anchor_url: str = ""
    anchor_minutes: Annotated[float, Meta(gt=0, le=1440)] = 60.0
