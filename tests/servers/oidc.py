"""A real provider of identities (OpenID Connect) as a server of the tests: npm's oidc-provider."""

from __future__ import annotations

import base64
import json
import urllib.request
from pathlib import Path
from typing import Any

from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.servers.process import Server, free_ports, installed, listens


def _b64(number: int, size: int = 0) -> str:
    data = number.to_bytes(size or (number.bit_length() + 7) // 8, "big")
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()


def rsa_key(kid: str) -> tuple[rsa.RSAPrivateKey, dict[str, Any]]:
    """A private key, and the same as a JSON web key."""
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    n = key.private_numbers()
    parts = {"n": n.public_numbers.n, "e": n.public_numbers.e, "d": n.d, "p": n.p, "q": n.q}
    parts |= {"dp": n.dmp1, "dq": n.dmq1, "qi": n.iqmp}
    numbers = {name: _b64(value) for name, value in parts.items()}
    return key, {"kty": "RSA", "use": "sig", "alg": "RS256", "kid": kid, **numbers}


def ec_key(kid: str) -> tuple[ec.EllipticCurvePrivateKey, dict[str, Any]]:
    """The same on the curve P-256."""
    key = ec.generate_private_key(ec.SECP256R1())
    n = key.private_numbers()
    numbers = {"x": n.public_numbers.x, "y": n.public_numbers.y, "d": n.private_value}
    return key, {
        "kty": "EC", "crv": "P-256", "use": "sig", "alg": "ES256", "kid": kid,
        **{name: _b64(value, 32) for name, value in numbers.items()},
    }  # fmt: skip


class Provider(Server):
    """oidc-provider on a port of its own; `rotate` starts it anew with other keys."""

    def __init__(
        self, home: Path, keys: list[dict[str, Any]], redirect_uri: str = "http://127.0.0.1:9/callback"
    ) -> None:
        super().__init__("oidc-provider", home)
        self.port = free_ports(1)[0]
        self.issuer = f"http://127.0.0.1:{self.port}"
        library = installed("oidc") / "node_modules" / "oidc-provider" / "lib" / "index.js"
        self.settings: dict[str, Any] = {
            "issuer": self.issuer, "port": self.port, "redirect_uri": redirect_uri, "token_s": 600,
            "library": str(library), "jwks": {"keys": keys}, "alg": keys[0]["alg"],
        }  # fmt: skip

    def command(self) -> list[str]:
        """Node with the settings of now."""
        settings = self.home / "settings.json"
        settings.write_text(json.dumps(self.settings), "utf-8")
        return ["node", str(Path(__file__).with_name("oidc.mjs")), str(settings)]

    def answers(self) -> bool:
        """Whether it tells of itself."""
        return listens(self.port)

    def rotate(self, keys: list[dict[str, Any]]) -> None:
        """Begin to sign with the first of these keys; those that are left out are known no more."""
        self.stop()
        self.settings |= {"jwks": {"keys": keys}, "alg": keys[0]["alg"]}
        self.start()

    def token(self, audience: str = "urn:city") -> str:
        """An access token for a program, made out to an audience."""
        body = f"grant_type=client_credentials&scope=read&resource={audience}".encode()
        pair = base64.b64encode(b"machine:machine-secret").decode()
        headers = {"Authorization": f"Basic {pair}", "Content-Type": "application/x-www-form-urlencoded"}
        with urllib.request.urlopen(
            urllib.request.Request(f"{self.issuer}/token", body, headers), timeout=20
        ) as answer:
            return str(json.load(answer)["access_token"])
