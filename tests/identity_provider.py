"""A provider of identities (OpenID Connect Core 1.0) that can be told to cheat."""

import base64
import hashlib
import json
import secrets
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlencode, urlsplit

from joserfc import jwt
from joserfc.jwk import RSAKey
from ports import free_port

CLIENT_ID = "mammoclip-node"
CLIENT_SECRET = "a secret of this registration"

Claims = dict[str, Any]


def rsa_key() -> RSAKey:
    return RSAKey.generate_key(2048, {"use": "sig"}, auto_kid=True)


@dataclass
class Provider:
    """One provider; who signs in next, and how it cheats, is set by tests.

    Attributes
    ----------
    person : claims about whoever signs in next
    user_info : what the userinfo endpoint says besides
    forge : makes the ID token of its claims instead of the provider's own key
    answer : changes what the browser brings back
    """

    issuer: str
    key: RSAKey = field(default_factory=rsa_key)
    person: Claims = field(default_factory=dict)
    user_info: Claims = field(default_factory=dict)
    forge: Callable[[Claims], str] | None = None
    answer: Callable[[dict[str, str]], dict[str, str]] = dict
    requests: list[str] = field(default_factory=list)
    _codes: dict[str, dict[str, str]] = field(default_factory=dict)
    _people: dict[str, Claims] = field(default_factory=dict)

    def honest(self, person: Claims) -> None:
        """Sign in somebody next, without cheating."""
        self.person, self.user_info = person, {}
        self.forge, self.answer = None, dict

    def signed(self, claims: Claims, key: RSAKey | None = None) -> str:
        key = key or self.key
        return jwt.encode({"alg": "RS256", "kid": key.kid}, claims, key)

    def document(self) -> dict[str, Any]:
        return {
            "issuer": self.issuer,
            "authorization_endpoint": f"{self.issuer}/authorize",
            "token_endpoint": f"{self.issuer}/token",
            "userinfo_endpoint": f"{self.issuer}/userinfo",
            "end_session_endpoint": f"{self.issuer}/end",
            "jwks_uri": f"{self.issuer}/keys",
        }

    def keys(self) -> dict[str, Any]:
        return {"keys": [self.key.as_dict(private=False)]}

    def came_back(self, asked: dict[str, str]) -> str:
        """Return where the browser goes, having signed in at once."""
        code = secrets.token_urlsafe(16)
        self._codes[code] = asked
        self._people[code] = self.person
        brought = self.answer({"code": code, "state": asked["state"]})
        return f"{asked['redirect_uri']}?{urlencode(brought)}"

    def token(self, form: dict[str, str], authorization: str) -> tuple[int, dict[str, Any]]:
        basic = base64.b64encode(f"{CLIENT_ID}:{CLIENT_SECRET}".encode()).decode()
        asked = self._codes.pop(form.get("code", ""), None)
        if authorization != f"Basic {basic}":
            return 401, {"error": "invalid_client"}
        if asked is None or form.get("redirect_uri") != asked["redirect_uri"]:
            return 400, {"error": "invalid_grant"}
        digest = hashlib.sha256(form.get("code_verifier", "").encode()).digest()
        challenge = base64.urlsafe_b64encode(digest).rstrip(b"=").decode()
        if asked["code_challenge_method"] != "S256" or challenge != asked["code_challenge"]:
            return 400, {"error": "invalid_grant"}
        now = int(time.time())
        claims = {
            "iss": self.issuer, "aud": CLIENT_ID, "iat": now, "exp": now + 300,
            "nonce": asked["nonce"], **self._people.pop(form["code"]),
        }  # fmt: skip
        id_token = (self.forge or self.signed)(claims)
        return 200, {
            "access_token": "an-access-token",
            "token_type": "Bearer",
            "id_token": id_token,
        }


@contextmanager
def identity_provider() -> Iterator[Provider]:
    """Run a provider on loopback."""
    provider = Provider(issuer=f"http://127.0.0.1:{free_port()}")

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            parts = urlsplit(self.path)
            provider.requests.append(parts.path)
            asked = {key: values[0] for key, values in parse_qs(parts.query).items()}
            match parts.path:
                case "/.well-known/openid-configuration":
                    self._say(200, provider.document())
                case "/keys":
                    self._say(200, provider.keys())
                case "/userinfo" if self.headers["Authorization"] == "Bearer an-access-token":
                    self._say(200, provider.user_info)
                case "/authorize":
                    self.send_response(302)
                    self.send_header("Location", provider.came_back(asked))
                    self.end_headers()
                case _:
                    self._say(404, {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"])).decode()
            form = {key: values[0] for key, values in parse_qs(body).items()}
            self._say(*provider.token(form, self.headers["Authorization"] or ""))

        def _say(self, status: int, document: dict[str, Any]) -> None:
            content = json.dumps(document).encode()
            self.send_response(status)
            self.send_header("Content-Type", "application/json")
            self.send_header("Content-Length", str(len(content)))
            self.end_headers()
            self.wfile.write(content)

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", int(provider.issuer.rpartition(":")[2])), Handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    try:
        yield provider
    finally:
        server.shutdown()
        thread.join()
        server.server_close()
