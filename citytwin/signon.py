"""Signing in at a provider of identities: a person that it vouches for gets a session here."""

from __future__ import annotations

import logging

from citytwin.dashboards.people import SignedIn
from citytwin.dashboards.problems import Trouble
from citytwin.oidc import NotVouched, Oidc
from citytwin.people import Staff

_log = logging.getLogger(__name__)


class ProviderSignOn:
    """Implements dashboards.people.SignOn over one provider."""

    def __init__(self, provider: Oidc, staff: Staff) -> None:
        self._provider, self._staff = provider, staff

    def begin(self) -> tuple[str, str]:
        """Address of the provider's page, and a state. Raises Trouble."""
        try:
            return self._provider.begin()
        except NotVouched as why:
            raise Trouble(503, "provider", str(why), retry_after=30) from why

    def finish(self, state: str, code: str) -> SignedIn:
        """The session of who comes back. Raises Trouble."""
        try:
            person = self._provider.finish(state, code)
        except NotVouched as why:
            _log.warning("a sign-in at the provider is not taken: %s", why)
            raise Trouble(
                401, "sign_in", "the provider does not vouch for this sign-in; begin again at /login"
            ) from why
        return self._staff.vouched(person)
