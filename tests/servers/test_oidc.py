"""Tokens of a real provider of identities, and tokens that it would never make; signing in by its pages."""

from __future__ import annotations

import base64
import contextlib
import hashlib
import hmac
import html
import json
import re
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization

from citytwin.accounts import Accounts, Cost
from citytwin.config import ConfigError
from citytwin.dashboards.access import Access
from citytwin.dashboards.server import Parts, ServerThread, Web
from citytwin.oidc import FRESH_S, LOOK_S, STALE_S, Oidc, fetch
from citytwin.people import Staff
from citytwin.people_config import Oidc as Settings
from citytwin.signon import ProviderSignOn
from tests.dashboards.fakes import FakeBoard, FakeHealth, FakeIngest, FakeReads
from tests.servers.oidc import Provider, ec_key, rsa_key
from tests.servers.process import free_ports

KEY, JWK = rsa_key("first")
ROLES = {"operate": ["operator"], "dispatch-d1": ["dispatcher@D1", "shift_leader@D1"]}


class Clock:
    """A clock that the test sets, and how often the provider was asked."""

    def __init__(self) -> None:
        self.now, self.asked, self.down = 1_000.0, list[str](), False

    def __call__(self) -> float:
        return self.now

    def ask(self, url: str, body: bytes | None, headers: Mapping[str, str]) -> bytes:
        self.asked.append(url)
        if self.down:
            raise OSError("nobody answers")
        return fetch(url, body, headers)


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Provider]:
    (port,) = free_ports(1)
    made = Provider(tmp_path_factory.mktemp("oidc"), [JWK], f"http://127.0.0.1:{port}/callback")
    made.start()
    yield made
    made.close()


@pytest.fixture
def clock() -> Clock:
    return Clock()


def settings(provider: Provider, **more: Any) -> Settings:
    return Settings(issuer=provider.issuer, audience="urn:city", roles=ROLES, **more)


@pytest.fixture
def oidc(provider: Provider, clock: Clock) -> Oidc:
    return Oidc(settings(provider), ask=clock.ask, clock=clock)


def test_a_token_of_the_provider_is_a_person_with_roles(oidc: Oidc, provider: Provider, clock: Clock) -> None:
    token = provider.token()
    assert oidc.known(token) is None, "nobody is asked on the way"
    person = oidc.check(token)
    assert person is not None
    assert (person.user, person.how) == ("machine", "oidc")
    assert person.rights.grants == {("operator", "*"), ("dispatcher", "D1"), ("shift_leader", "D1")}
    assert person.until == jwt.decode(token, options={"verify_signature": False})["exp"] * 1000
    assert oidc.known(token) == person
    assert len(clock.asked) == 2, "discovery and keys, once"


def claims(provider: Provider, **more: Any) -> dict[str, Any]:
    now = int(time.time())
    given = {
        "iss": provider.issuer,
        "aud": "urn:city",
        "sub": "eve",
        "exp": now + 600,
        "iat": now,
        "roles": ["operate"],
    }
    return {name: value for name, value in {**given, **more}.items() if value is not None}


def made(payload: dict[str, Any], key: Any = KEY, algorithm: str = "RS256", **header: Any) -> str:
    return jwt.encode(payload, key, algorithm=algorithm, headers={"kid": "first", **header})


def by_hand(header: dict[str, Any], payload: dict[str, Any], secret: bytes | None) -> str:
    """A token that no library would make."""
    parts = [base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=") for p in (header, payload)]
    said = b".".join(parts)
    mark = b"" if secret is None else hmac.new(secret, said, hashlib.sha256).digest()
    return (said + b"." + base64.urlsafe_b64encode(mark).rstrip(b"=")).decode()


def pem() -> bytes:
    kind = serialization.PublicFormat.SubjectPublicKeyInfo
    return KEY.public_key().public_bytes(serialization.Encoding.PEM, kind)


OTHER = rsa_key("first")[0]
NOW = int(time.time())
BAD: dict[str, Callable[[Provider], str]] = {
    "foreign issuer": lambda p: made(claims(p, iss="http://127.0.0.1:1")),
    "issuer with a slash": lambda p: made(claims(p, iss=p.issuer + "/")),
    "other audience": lambda p: made(claims(p, aud="urn:other")),
    "audiences without ours": lambda p: made(claims(p, aud=["urn:other", "urn:city:2"])),
    "no audience": lambda p: made(claims(p, aud=None)),
    "no issuer": lambda p: made(claims(p, iss=None)),
    "expired": lambda p: made(claims(p, exp=NOW - 31)),
    "never ends": lambda p: made(claims(p, exp=None)),
    "not yet": lambda p: made(claims(p, nbf=int(time.time()) + 300)),
    "no user": lambda p: made(claims(p, sub=None)),
    "a user that is no text": lambda p: by_key(p, sub=7),
    "a user of two lines": lambda p: made(claims(p, sub="a\nb")),
    "other key of that name": lambda p: made(claims(p), OTHER),
    "unknown key": lambda p: made(claims(p), kid="second"),
    "a path as key": lambda p: made(claims(p), kid="../../first"),
    "other algorithm of the key": lambda p: made(claims(p), algorithm="PS256"),
    "not of the list": lambda p: made(claims(p), algorithm="RS512"),
    "critical header": lambda p: made(claims(p), crit=["b64"], b64=True),
    "none": lambda p: by_hand({"alg": "none", "kid": "first"}, claims(p), None),
    "None": lambda p: by_hand({"alg": "None", "kid": "first"}, claims(p), None),
    "public key as secret": lambda p: by_hand({"alg": "HS256", "kid": "first"}, claims(p), pem()),
    "said to be RS256": lambda p: by_hand({"alg": "RS256", "kid": "first"}, claims(p), pem()),
    "no alg": lambda p: by_hand({"kid": "first"}, claims(p), None),
    "key in the header": lambda p: made(claims(p), OTHER, jwk={k: JWK[k] for k in ("kty", "n", "e")}),
    "changed text": lambda p: made(claims(p))[:-30] + "A" * 30,
    "two parts": lambda p: made(claims(p)).rpartition(".")[0],
    "no token": lambda p: "x.y.z",
    "much too long": lambda p: made(claims(p, note="x" * 20_000)),
}


def by_key(provider: Provider, **more: Any) -> str:
    """A token whose claims are wrong and whose signature is right."""
    head, body = (
        base64.urlsafe_b64encode(json.dumps(p).encode()).rstrip(b"=").decode()
        for p in ({"alg": "RS256", "kid": "first"}, claims(provider, **more))
    )
    mark = jwt.algorithms.RSAAlgorithm(jwt.algorithms.RSAAlgorithm.SHA256).sign(f"{head}.{body}".encode(), KEY)
    return f"{head}.{body}.{base64.urlsafe_b64encode(mark).rstrip(b'=').decode()}"


@pytest.mark.parametrize("how", BAD)
def test_what_the_provider_would_never_say_is_not_taken(oidc: Oidc, provider: Provider, how: str) -> None:
    good = oidc.check(made(claims(provider)))
    assert good is not None
    assert good.user == "eve", "the same with nothing wrong is taken"
    assert oidc.check(BAD[how](provider)) is None


def test_clocks_may_differ_by_the_skew_and_no_more(provider: Provider, clock: Clock) -> None:
    for skew, age, taken in ((30, 20, True), (0, 20, False), (120, 100, True)):
        found = Oidc(settings(provider, skew_seconds=skew), ask=clock.ask, clock=clock)
        assert (found.check(made(claims(provider, exp=int(time.time()) - age))) is not None) == taken


def test_a_token_of_the_provider_for_another_audience_or_from_another_provider(
    oidc: Oidc, provider: Provider, tmp_path: Path
) -> None:
    assert oidc.check(provider.token("urn:other")) is None
    twin = Provider(tmp_path, [JWK])  # the same keys, another issuer
    try:
        twin.start()
        assert oidc.check(twin.token()) is None
    finally:
        twin.close()
    assert oidc.check(provider.token()) is not None


def test_keys_rotate_and_a_key_that_went_vouches_for_nobody(oidc: Oidc, provider: Provider, clock: Clock) -> None:
    old = provider.token()
    assert oidc.check(old) is not None
    (key, second), (_, third) = rsa_key("second"), ec_key("third")
    try:
        provider.rotate([second, JWK])
        new = provider.token()
        assert jwt.get_unverified_header(new)["kid"] == "second"
        assert oidc.check(new) is None, "a moment ago it was asked: strangers cannot have it asked again and again"
        asked = len(clock.asked)
        clock.now += LOOK_S
        assert oidc.check(new) is not None
        assert oidc.check(old) is not None
        assert len(clock.asked) == asked + 2
        for i in range(50):
            assert oidc.check(made(claims(provider), key, kid=f"made-up-{i}")) is None
        assert len(clock.asked) == asked + 2
        provider.rotate([third, second])
        clock.now += LOOK_S
        curve = oidc.check(provider.token())
        assert curve is not None, "a curve's key is one too"
        assert oidc.check(old) is None
        assert oidc.known(old) is None
    finally:
        provider.rotate([JWK])


def test_a_provider_that_is_away_is_believed_for_a_day(oidc: Oidc, provider: Provider, clock: Clock) -> None:
    token = provider.token()
    assert oidc.check(token) is not None
    clock.down = True
    clock.now += FRESH_S + 1
    assert oidc.known(token) is None, "it is time to ask"
    assert oidc.check(token) is not None
    clock.now += STALE_S
    assert oidc.check(token) is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"issuer": "http://idp.example"}, "is not https"), ({"audience": ""}, "oidc.audience is not set"),
        ({"roles": {"a": ["boss@*"]}}, "there is no role boss"),
    ],
)  # fmt: skip
def test_settings_that_would_be_dangerous(given: dict[str, Any], said: str) -> None:
    with pytest.raises(ConfigError, match=said):
        Oidc(Settings(**{"issuer": "https://idp.example", "audience": "x", **given}))


def test_a_provider_that_calls_itself_otherwise_is_not_believed(provider: Provider, clock: Clock) -> None:
    token = provider.token()
    found = Oidc(Settings(issuer=provider.issuer + "/", audience="urn:city"), ask=clock.ask, clock=clock)
    assert found.check(token) is None


@contextlib.contextmanager
def city(provider: Provider, folder: Path) -> Iterator[tuple[str, Accounts]]:
    """A server that people sign in to by the provider, on the port of its redirect_uri."""
    callback = str(provider.settings["redirect_uri"])
    given = settings(provider, client_id="city", client_secret="city-secret", redirect_uri=callback)
    with Accounts(folder / "accounts.db", cost=Cost(2, 1, 1)) as accounts:
        known = Oidc(given)
        staff = Staff(accounts, loopback=True, provider=known)
        access = Access(people=staff, sign_on=ProviderSignOn(known, staff))
        parts = Parts(FakeBoard(), FakeReads(), FakeIngest(), FakeHealth(), access=access, static=folder)
        server = ServerThread(Web(parts), port=int(callback.split(":")[2].split("/", maxsplit=1)[0]))
        server.start()
        try:
            yield callback.removesuffix("/callback"), accounts
        finally:
            server.stop()


def test_a_bearer_at_the_door(provider: Provider, tmp_path: Path) -> None:
    with city(provider, tmp_path) as (url, accounts), httpx.Client() as http:

        def me(token: str) -> httpx.Response:
            return http.get(f"{url}/api/v1/me", headers={"Authorization": f"Bearer {token}"})

        token = provider.token()
        said = me(token).json()
        assert (said["how"], said["user"], said["scopes"]) == ("oidc", "machine", ["*", "D1"])
        assert me(BAD["none"](provider)).status_code == 401
        assert http.get(f"{url}/api/v1/me").status_code == 401
        accounts.add("machine", None)
        accounts.grant("machine", "commander", "D2")
        assert "warning.issued" in me(token).json()["may"]
        accounts.disable("machine")
        assert me(token).status_code == 401
        accounts.add("eve", "a long password")
        assert me(made(claims(provider))).status_code == 401, "who has a password here is not vouched for elsewhere"


def walk(http: httpx.Client, answer: httpx.Response, login: str) -> httpx.Response:
    """Go through the provider's pages as a browser would: follow redirects, fill the forms in."""
    for _ in range(20):
        if answer.is_redirect:
            answer = http.get(urljoin(str(answer.url), answer.headers["location"]))
        elif "<form" in answer.text and "/interaction/" in answer.text:
            action = html.unescape(re.findall(r'action="([^"]+)"', answer.text)[0])
            prompt = re.findall(r'name="prompt" value="(\w+)"', answer.text)[0]
            form = {"prompt": prompt, **({"login": login, "password": "x"} if prompt == "login" else {})}
            answer = http.post(urljoin(str(answer.url), action), data=form)
        else:
            return answer
    raise AssertionError("the provider's pages have no end")


def test_people_sign_in_at_the_provider(provider: Provider, tmp_path: Path) -> None:
    with city(provider, tmp_path) as (url, accounts), httpx.Client() as http:
        begun = http.get(f"{url}/login")
        assert "code_challenge_method=S256" in begun.headers["location"]
        assert {"HttpOnly", "SameSite=lax"} <= set(begun.headers["set-cookie"].split("; "))
        ended = walk(http, begun, "anna")
        assert (ended.status_code, str(ended.url).partition("?")[0]) == (200, f"{url}/callback")
        me = http.get(f"{url}/api/v1/me").json()
        assert (me["user"], me["name"], me["how"]) == ("anna", "ANNA", "oidc")
        assert [r["code"] for r in me["roles"]] == ["shift_leader", "dispatcher"]
        again = http.get(str(ended.url))
        assert again.status_code == 400, "the address is of no use a second time"
        stolen = httpx.get(walk(http, http.get(f"{url}/login"), "anna").url)
        assert stolen.status_code == 400, "nor in another browser"
        accounts.add("anna", None)
        accounts.disable("anna")
        assert http.get(f"{url}/api/v1/me").status_code == 401
        assert walk(http, http.get(f"{url}/login"), "anna").status_code == 403


def test_an_unknown_role_gives_nothing(provider: Provider, tmp_path: Path) -> None:
    with city(provider, tmp_path) as (url, _), httpx.Client() as http:
        walk(http, http.get(f"{url}/login"), "carl")
        me = http.get(f"{url}/api/v1/me").json()
        assert (me["user"], me["roles"], me["may"]) == ("carl", [], [])
        assert http.get(f"{url}/api/v1/cases").status_code == 403
