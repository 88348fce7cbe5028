"""OpenID Connect: tokens of a provider of identities checked by its keys, and signing in there with PKCE.

Keys are fetched by discovery and kept; a key that is not known is looked for once in half a minute at most, so that
foreign tokens cannot have us ask without end. Signatures are those of the settings: never `none` or a shared secret.
"""

from __future__ import annotations

import base64
import hashlib
import json
import logging
import secrets
import threading
import time
import urllib.error
import urllib.parse
import urllib.request
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import jwt

from citytwin.config import ConfigError, is_local
from citytwin.dashboards.people import Person
from citytwin.models.desk.rights import EVERYWHERE, Rights
from citytwin.people_config import Oidc as Settings

_log = logging.getLogger(__name__)
_TIMEOUT_S, _BYTES_MAX, _TOKEN_MAX = 5.0, 1 << 20, 16_384
#: Keys are fetched anew after an hour; without an answer they are good for a day. Unknown ones are looked for so often.
FRESH_S, STALE_S, LOOK_S = 3600.0, 86_400.0, 30.0
#: Tokens that were checked, and for how long nobody checks them again.
_KNOWN, _KNOWN_S = 10_000, 60.0
#: Sign-ins that were begun, and how long they may take.
_BEGUN, _BEGUN_S = 1_000, 600.0
_KINDS = ("RSA", "EC", "OKP")
Fetch = Callable[[str, bytes | None, Mapping[str, str]], bytes]


class NotVouched(Exception):
    """A token or a sign-in is not taken; the text is for the log, and holds nothing of the token."""


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    def redirect_request(self, *_: Any) -> None:
        """Follow nothing: a provider answers itself."""


def fetch(url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
    """GET, or POST where there is a body. Raises OSError."""
    opener = urllib.request.build_opener(_NoRedirect)
    with opener.open(urllib.request.Request(url, body, dict(headers)), timeout=_TIMEOUT_S) as answer:
        found: bytes = answer.read(_BYTES_MAX + 1)
    if len(found) > _BYTES_MAX:
        raise OSError(f"{url} answered more than {_BYTES_MAX} bytes")
    return found


@dataclass(frozen=True, slots=True)
class _Begun:
    nonce: str
    verifier: str
    at: float


class Oidc:
    """One provider. Safe for threads."""

    def __init__(
        self, settings: Settings, *, ask: Fetch = fetch, clock: Callable[[], float] = time.monotonic,
    ) -> None:  # fmt: skip
        """Raises ConfigError where the settings make no sense; asks nobody yet."""
        self.settings, self._ask, self._clock = settings, ask, clock
        self._secure(settings.issuer)
        if not (settings.audience or settings.client_id):
            raise ConfigError("oidc.audience is not set: name what tokens for this city are made out to")
        self._grants = {value: _grants(said) for value, said in settings.roles.items()}
        self._lock, self._looking = threading.Lock(), threading.Lock()
        self._about: Mapping[str, Any] = {}
        self._keys: dict[str, Mapping[str, Any]] = {}
        self._fetched = self._looked = -STALE_S
        self._known: OrderedDict[bytes, tuple[Person, float]] = OrderedDict()
        self._begun: OrderedDict[str, _Begun] = OrderedDict()

    def _secure(self, url: str) -> None:
        parts = urllib.parse.urlsplit(url)
        if parts.scheme != "https" and not (parts.scheme == "http" and is_local(parts.hostname or "")):
            raise ConfigError(f"oidc: {url} is not https; what is asked there decides who may come in")

    # -- tokens ----------------------------------------------------------------------------------------------------

    def known(self, token: str) -> Person | None:
        """The person of a token as far as the keys at hand tell; asks nobody."""
        return self._person(token, look=False)

    def check(self, token: str) -> Person | None:
        """The person of a token; keys are fetched where that may help."""
        return self._person(token, look=True)

    def _person(self, token: str, *, look: bool) -> Person | None:
        name, now = hashlib.sha256(token.encode("utf-8", "replace")).digest(), self._clock()
        with self._lock:
            held = self._known.get(name)
        if held is not None and now < held[1]:
            return held[0]
        try:
            claims = self.claims(token, self.settings.audience or self.settings.client_id, look=look)
            person = self.person(claims, token.encode())
        except NotVouched as why:
            if look:
                _log.info("a bearer token is not taken: %s", why)
            return None
        with self._lock:
            self._known[name] = (person, now + _KNOWN_S)
            while len(self._known) > _KNOWN:
                self._known.popitem(last=False)
        return person

    def claims(self, token: str, audience: str, *, look: bool) -> Mapping[str, Any]:
        """Claims of a token that is right in every respect. Raises NotVouched."""
        if len(token) > _TOKEN_MAX or token.count(".") != 2:
            raise NotVouched("it is no signed JSON web token")
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise NotVouched("its header cannot be read") from error
        algorithm = header.get("alg")
        if algorithm not in self.settings.algorithms:
            raise NotVouched("its algorithm is not among oidc.algorithms")
        key = self._key(header.get("kid"), look=look)
        if "crit" in header or key.get("alg", algorithm) != algorithm:
            raise NotVouched("its header asks for what the key is not for")
        try:
            claims: Mapping[str, Any] = jwt.decode(
                token, jwt.PyJWK(dict(key), algorithm=algorithm), algorithms=[algorithm], audience=audience,
                issuer=self.settings.issuer, leeway=self.settings.skew_seconds,
                options={"require": ["exp", "iss", "aud"]},
            )  # fmt: skip
        except (jwt.PyJWTError, ValueError, TypeError) as error:
            raise NotVouched(f"{type(error).__name__}") from error
        return claims

    def person(self, claims: Mapping[str, Any], key: bytes) -> Person:
        """The person that claims tell of, with the roles that the settings give to them. Raises NotVouched."""
        user = claims.get(self.settings.user_claim)
        if not isinstance(user, str) or not 0 < len(user) <= 200 or not user.isprintable():
            raise NotVouched(f"it has no usable claim {self.settings.user_claim}")
        name = claims.get("name") or claims.get("preferred_username") or user
        found: Any = claims
        for part in self.settings.claim.split("."):
            found = found.get(part) if isinstance(found, Mapping) else None
        told = [found] if isinstance(found, str) else found if isinstance(found, list) else []
        grants = frozenset(g for value in told if isinstance(value, str) for g in self._grants.get(value, ()))
        return Person(user, str(name)[:200], Rights(grants), "oidc", int(claims["exp"]) * 1000, key=key)

    # -- keys ------------------------------------------------------------------------------------------------------

    def _key(self, kid: Any, *, look: bool) -> Mapping[str, Any]:
        """The key of that name; one look at the provider when it is not there. Raises NotVouched."""
        if look:
            self._look(kid)
        with self._lock:
            keys, age = self._keys, self._clock() - self._fetched
        if age > (STALE_S if look else FRESH_S):
            raise NotVouched("the keys of the provider are not at hand")
        if kid is None and len(keys) == 1:
            return next(iter(keys.values()))
        if not isinstance(kid, str) or kid not in keys:
            raise NotVouched("its key is none of the provider's")
        return keys[kid]

    def _look(self, kid: Any = None) -> None:
        """Fetch discovery and keys where they are old or lack this one; trouble leaves what was there.

        One thread asks while others wait here; who needs no fetching does not.
        """
        with self._looking:
            now = self._clock()
            have = bool(self._keys) if kid is None else kid in self._keys
            if (have and now - self._fetched <= FRESH_S) or now - self._looked < LOOK_S:
                return
            self._looked = now
            try:
                about = self._discover()
                told = json.loads(self._ask(str(about["jwks_uri"]), None, {}))
                keys = {str(k.get("kid", "")): k for k in told["keys"] if _signs(k)}
            except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
                _log.warning("the provider of identities did not give its keys: %s", error)
                return
            with self._lock:
                self._about, self._keys, self._fetched = about, keys, self._clock()
                self._known.clear()  # who was vouched for by a key that went is looked at anew

    def _discover(self) -> Mapping[str, Any]:
        issuer = self.settings.issuer
        about = json.loads(self._ask(issuer.rstrip("/") + "/.well-known/openid-configuration", None, {}))
        if about.get("issuer") != issuer:
            raise ValueError(f"it calls itself {about.get('issuer')}, and oidc.issuer is {issuer}")
        self._secure(str(about["jwks_uri"]))
        found: Mapping[str, Any] = about
        return found

    # -- signing in ------------------------------------------------------------------------------------------------

    @property
    def signs_in(self) -> bool:
        """Whether people can sign in there by a page."""
        return bool(self.settings.client_id and self.settings.redirect_uri)

    def begin(self) -> tuple[str, str]:
        """Address of the provider's page, and the state that comes back from it. Raises NotVouched."""
        about, given = self._at_hand(), self.settings
        state, begun = (
            secrets.token_urlsafe(24),
            _Begun(secrets.token_urlsafe(24), secrets.token_urlsafe(48), self._clock()),
        )
        with self._lock:
            self._begun[state] = begun
            while len(self._begun) > _BEGUN:
                self._begun.popitem(last=False)
        challenge = base64.urlsafe_b64encode(hashlib.sha256(begun.verifier.encode()).digest()).rstrip(b"=").decode()
        query = {
            "response_type": "code", "client_id": given.client_id, "redirect_uri": given.redirect_uri,
            "scope": given.scopes, "state": state, "nonce": begun.nonce, "code_challenge": challenge,
            "code_challenge_method": "S256",
        }  # fmt: skip
        return f"{about['authorization_endpoint']}?{urllib.parse.urlencode(query)}", state

    def finish(self, state: str, code: str) -> Person:
        """The person that the provider vouches for by a code; a state can be used once. Raises NotVouched."""
        with self._lock:
            begun = self._begun.pop(state, None)
        if begun is None or self._clock() - begun.at > _BEGUN_S:
            raise NotVouched("the sign-in was not begun here, or took too long")
        given = self.settings
        form = {
            "grant_type": "authorization_code", "code": code, "redirect_uri": given.redirect_uri,
            "client_id": given.client_id, "code_verifier": begun.verifier,
        }  # fmt: skip
        headers = {"Content-Type": "application/x-www-form-urlencoded"}
        if given.client_secret:
            pair = ":".join(map(urllib.parse.quote_plus, (given.client_id, given.client_secret)))
            headers["Authorization"] = "Basic " + base64.b64encode(pair.encode()).decode()
        try:
            address = str(self._at_hand()["token_endpoint"])
            self._secure(address)
            told = json.loads(self._ask(address, urllib.parse.urlencode(form).encode(), headers))
            token = str(told["id_token"])
        except (OSError, ValueError, KeyError, TypeError, ConfigError) as error:
            raise NotVouched(f"the provider gave no token for the code ({type(error).__name__})") from error
        claims = self.claims(token, given.client_id, look=True)
        if not secrets.compare_digest(str(claims.get("nonce", "")), begun.nonce):
            raise NotVouched("the token is of another sign-in")
        return self.person(claims, b"")

    def _at_hand(self) -> Mapping[str, Any]:
        self._look()
        if not self._about:
            raise NotVouched("the provider of identities does not answer")
        return self._about


def _grants(said: list[str]) -> frozenset[tuple[str, str]]:
    pairs = [(role, scope or EVERYWHERE) for role, _, scope in (s.partition("@") for s in said)]
    try:
        return Rights.of(pairs).grants
    except ValueError as error:
        raise ConfigError(f"oidc.roles: {error}") from error


def _signs(key: Mapping[str, Any]) -> bool:
    """Whether a key of the set may verify: a public one, for signatures."""
    return key.get("kty") in _KINDS and key.get("use", "sig") == "sig"
