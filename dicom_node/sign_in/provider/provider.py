"""The provider of identities: what it publishes, where browsers go, and what a code is worth."""

import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlencode, urlsplit

import requests
from authlib.integrations.base_client import OAuthError
from authlib.integrations.requests_client import OAuth2Session

from dicom_node.errors import NodeError
from dicom_node.settings.operation.oidc import OidcSettings, is_safe_address
from dicom_node.settings.tls import TlsSettings
from dicom_node.sign_in.provider.begun import Begun
from dicom_node.sign_in.provider.id_token import UnknownKeyError, checked_claims
from dicom_node.sign_in.provider.people import KnownPerson, claim_of, person_of
from dicom_node.web_requests import BoundedAdapter

_LONGEST_BYTES: Final = 1_000_000
_FRESH_SECONDS: Final = 3600.0
"""What the provider publishes is asked for so often."""
_KEYS_AGAIN_SECONDS: Final = 30.0
"""Keys are asked for again no sooner, whatever keys are named by tokens."""


_AWAY_SECONDS: Final = 5.0
"""A provider that is away is not asked for so long: nobody else waits for it."""


class ProviderAwayError(NodeError):
    """The provider cannot be reached, or answers with what it should not."""

    reason = "provider-away"


class ProviderRefusedError(NodeError):
    """The provider signs nobody in by this."""

    reason = "provider-refused"


@dataclass(frozen=True, slots=True)
class _Published:
    document: Mapping[str, Any]
    keys: Mapping[str, Any]
    at: float


class Provider:
    """The provider of one site.

    Parameters
    ----------
    clock : seconds that only grow
    wall_clock : seconds since 1970, by which tokens are judged
    """

    def __init__(
        self,
        settings: OidcSettings,
        tls: TlsSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        self._settings = settings
        self._tls = tls
        self._clock = clock
        self._wall_clock = wall_clock
        self._lock = threading.Lock()
        self._published: _Published | None = None
        self._away_at = -_AWAY_SECONDS

    def address_for(self, begun: Begun) -> str:
        """Return where a browser signs in.

        Raises
        ------
        ProviderAwayError
        """
        document = self._current().document
        with self._session() as session:
            address, _ = session.create_authorization_url(
                document["authorization_endpoint"],
                state=begun.state,
                nonce=begun.nonce,
                code_verifier=begun.code_verifier,
            )
        return str(address)

    def person_by(self, code: str, begun: Begun, *, answered_as: str | None) -> KnownPerson:
        """Return who has signed in, by the code that the provider gave their browser.

        Parameters
        ----------
        answered_as : issuer that the answer names (RFC 9207), if it names one

        Raises
        ------
        ProviderAwayError, ProviderRefusedError, WrongTokenError, NoNameError, NoRoleError
        """
        published = self._current()
        self._require_own_answer(published.document, answered_as)
        with self._session() as session:
            token = self._token(session, published.document, code, begun)
            claims = self._claims(token, published, begun)
            wanted = (self._settings.name_claim, self._settings.role_claim)
            if any(claim_of(claims, name) is None for name in wanted):
                claims = self._user_info(session, published.document, claims) | claims
        return person_of(claims, self._settings)

    @staticmethod
    def require_success(code: str, error: str) -> None:
        """Raise ProviderRefusedError if an answer brings no code (RFC 6749 4.1.2)."""
        if error or not code:
            raise ProviderRefusedError(
                f"the sign-in provider signed nobody in ({in_words(error)}): begin again"
            )

    def sign_out_address(self) -> str | None:
        """Return where a browser signs out at the provider too; None if it has no such place."""
        # Nobody who only signs out waits for a provider that is away.
        known = self._published
        address = None if known is None else known.document.get("end_session_endpoint")
        if not isinstance(address, str) or not is_safe_address(address):
            return None
        query = urlencode(
            {
                "client_id": self._settings.client_id,
                "post_logout_redirect_uri": f"{self._settings.address.rstrip('/')}/sign-in",
            }
        )
        return f"{address}{'&' if urlsplit(address).query else '?'}{query}"

    def _session(self) -> OAuth2Session:
        secret = self._settings.client_secret
        session = OAuth2Session(
            client_id=self._settings.client_id,
            client_secret=None if secret is None else secret.get_secret_value(),
            scope=" ".join(self._settings.scopes),
            redirect_uri=self._settings.redirect_uri,
            code_challenge_method="S256",
            **self._authentication(),
        )
        # A secret of ~/.netrc would take the place of the registration's.
        session.trust_env = False
        # The node's own certificate is for its peers, not for the provider; nor are their
        # authorities the provider's.
        adapter = BoundedAdapter(
            certificate_authorities=self._settings.certificate_authorities,
            seconds=self._settings.timeout_seconds,
            longest_bytes=_LONGEST_BYTES,
            is_tls=self._settings.issuer.startswith("https:"),
            minimum_version=self._tls.minimum_version,
        )
        for scheme in ("http://", "https://"):
            session.mount(scheme, adapter)
        return session

    def _authentication(self) -> dict[str, str]:
        """Return how the node shows its secret, where the provider does not take the usual way."""
        offered = self._published.document if self._published is not None else {}
        methods = offered.get("token_endpoint_auth_methods_supported")
        is_by_form = (
            self._settings.client_secret is not None
            and isinstance(methods, list)
            and "client_secret_basic" not in methods
            and "client_secret_post" in methods
        )
        return {"token_endpoint_auth_method": "client_secret_post"} if is_by_form else {}

    def _current(self) -> _Published:
        with self._lock:
            known = self._published
            if known is not None and self._clock() - known.at < _FRESH_SECONDS:
                return known
            if self._clock() - self._away_at >= _AWAY_SECONDS:
                try:
                    self._published = known = self._asked_for()
                except ProviderAwayError:
                    self._away_at = self._clock()
                    if known is None:
                        raise
            # What it published before is as good, until it answers again.
            if known is None:
                raise self._away_error("a moment ago")
            return known

    def _asked_for(self) -> _Published:
        with self._session() as session:
            document = self._read(
                session, f"{self._settings.issuer.rstrip('/')}/.well-known/openid-configuration"
            )
            if document.get("issuer") != self._settings.issuer:
                raise ProviderAwayError(
                    f"the sign-in provider calls itself {str(document.get('issuer'))[:200]!r}: "
                    "issuer under [console.oidc] must be the same, letter by letter"
                )
            for name in ("authorization_endpoint", "token_endpoint", "jwks_uri"):
                address = document.get(name)
                if not isinstance(address, str) or not is_safe_address(address):
                    raise ProviderAwayError(f"the sign-in provider publishes no safe {name}")
            return _Published(document, self._read(session, document["jwks_uri"]), self._clock())

    def _read(self, session: OAuth2Session, address: str) -> dict[str, Any]:
        try:
            answer = session.get(address, withhold_token=True, allow_redirects=False)
            found = answer.json() if answer.status_code == 200 else None
        except (requests.RequestException, OSError, ValueError) as error:
            raise self._away_error(type(error).__name__) from error
        if not isinstance(found, dict):
            raise self._away_error(f"HTTP status {answer.status_code}")
        return found

    def _token(
        self, session: OAuth2Session, document: Mapping[str, Any], code: str, begun: Begun
    ) -> Mapping[str, Any]:
        try:
            token = session.fetch_token(
                document["token_endpoint"],
                grant_type="authorization_code",
                code=code,
                code_verifier=begun.code_verifier,
                redirect_uri=self._settings.redirect_uri,
                allow_redirects=False,
            )
        except OAuthError as error:
            raise ProviderRefusedError(
                f"the sign-in provider refuses ({in_words(error.error)}): begin again; if it stays "
                "so, check client_id and client_secret under [console.oidc]"
            ) from error
        except (requests.RequestException, OSError, ValueError, TypeError) as error:
            raise self._away_error(type(error).__name__) from error
        if not isinstance(token, Mapping):
            raise self._away_error("no token")
        return token

    def _claims(
        self, token: Mapping[str, Any], published: _Published, begun: Begun
    ) -> dict[str, Any]:
        access = token.get("access_token")

        def checked(keys: Mapping[str, Any]) -> dict[str, Any]:
            return checked_claims(
                token.get("id_token"),
                keys,
                self._settings,
                nonce=begun.nonce,
                access_token=access if isinstance(access, str) else None,
                at=self._wall_clock(),
            )

        try:
            return checked(published.keys)
        except UnknownKeyError:
            if self._clock() - published.at < _KEYS_AGAIN_SECONDS:
                raise
        # The provider may have taken another key since.
        with self._lock:
            self._published = renewed = self._asked_for()
        return checked(renewed.keys)

    def _user_info(
        self, session: OAuth2Session, document: Mapping[str, Any], claims: Mapping[str, Any]
    ) -> dict[str, Any]:
        address = document.get("userinfo_endpoint")
        if not isinstance(address, str) or not is_safe_address(address):
            return {}
        try:
            answer = session.get(address, allow_redirects=False)
            found = answer.json() if answer.status_code == 200 else None
        except (OAuthError, requests.RequestException, OSError, ValueError) as error:
            raise self._away_error(type(error).__name__) from error
        # What is said of somebody else counts for nothing (OpenID Connect Core 5.3.2).
        return found if isinstance(found, dict) and found.get("sub") == claims["sub"] else {}

    def _require_own_answer(self, document: Mapping[str, Any], answered_as: str | None) -> None:
        is_named = document.get("authorization_response_iss_parameter_supported") is True
        if answered_as is None and not is_named:
            return
        if answered_as != self._settings.issuer:
            raise ProviderRefusedError("this answer is of another provider: begin again")

    def _away_error(self, why: str) -> ProviderAwayError:
        host = urlsplit(self._settings.issuer).netloc
        return ProviderAwayError(
            f"the sign-in provider {host} does not answer as it should ({why}): use an account of "
            "the node, or try again in a moment"
        )


def in_words(code: object) -> str:
    """Return a provider's error code (RFC 6749 4.1.2.1), or that it has none that can be shown."""
    is_one = isinstance(code, str) and code.isascii() and code.replace("_", "").isalpha()
    return str(code)[:60] if is_one else "without a known reason"
