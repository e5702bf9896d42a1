"""Checks an ID token: signature, issuer, audience, times, nonce (OpenID Connect Core 3.1.3.7)."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

from authlib.oidc.core import CodeIDToken
from joserfc import jwt
from joserfc.errors import ExpiredTokenError, InvalidClaimError, InvalidKeyIdError, JoseError
from joserfc.jwk import KeySet
from joserfc.jws import JWSRegistry

from dicom_node.errors import NodeError
from dicom_node.settings.operation.oidc import OidcSettings

ALGORITHMS: Final = (
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA",
    "Ed25519",
)  # fmt: skip
"""Signatures with a key that only the provider has: not ``none``, and none with a shared key."""

_KEY_TYPES: Final = frozenset({"RSA", "EC", "OKP"})
_LONGEST_TOKEN: Final = 65_536
_LONGEST_SUBJECT: Final = 255


class WrongTokenError(NodeError):
    """The provider's ID token is not one for this node, this sign-in and this moment."""

    reason = "wrong-id-token"


class OtherClockError(WrongTokenError):
    """The ID token has ended or is of the future."""

    reason = "other-clock"


class UnknownKeyError(WrongTokenError):
    """The ID token is signed with a key that the provider does not publish."""

    reason = "unknown-key"


def checked_claims(
    id_token: object,
    keys: Mapping[str, Any],
    settings: OidcSettings,
    *,
    nonce: str,
    access_token: str | None,
    at: float,
) -> dict[str, Any]:
    """Return what an ID token says, once it is found to be right.

    Parameters
    ----------
    id_token : as the provider gave it
    keys : the provider's published keys, a JSON Web Key Set (RFC 7517)
    nonce : of the sign-in that was begun
    access_token : that came with it; where the token holds its hash, it must be that one's
    at : seconds since 1970, by the clock of this machine

    Raises
    ------
    OtherClockError, UnknownKeyError, WrongTokenError
    """
    if not isinstance(id_token, str) or not 0 < len(id_token) <= _LONGEST_TOKEN:
        raise WrongTokenError("the provider gave no ID token: is openid among its scopes?")
    try:
        token = jwt.decode(
            id_token,
            key=_key_set(keys.get("keys")),
            registry=JWSRegistry(algorithms=list(ALGORITHMS), strict_check_header=False),
        )
        claims = CodeIDToken(
            token.claims,
            token.header,
            {
                "iss": {"essential": True, "value": settings.issuer},
                "aud": {"essential": True, "value": settings.client_id},
            },
            {"nonce": nonce, "client_id": settings.client_id, "access_token": access_token},
        )
        claims.validate(now=int(at), leeway=settings.clock_skew_seconds)
    except InvalidKeyIdError as error:
        raise UnknownKeyError(
            "the provider's ID token is signed with a key that it does not publish"
        ) from error
    except ExpiredTokenError as error:
        raise _other_clock("has ended already") from error
    except JoseError as error:
        if isinstance(error, InvalidClaimError) and error.claim in {"iat", "nbf"}:
            raise _other_clock("is of the future") from error
        what = getattr(error, "claim", "") or error.error
        raise WrongTokenError(f"the provider's ID token is not right: {what}") from error
    except (ValueError, TypeError, KeyError, OverflowError) as error:
        raise WrongTokenError("the provider's ID token cannot be read") from error
    subject = claims["sub"]
    if not isinstance(subject, str) or not 0 < len(subject) <= _LONGEST_SUBJECT:
        raise WrongTokenError("the provider's ID token names nobody (sub)")
    return dict(claims)


def _key_set(published: object) -> KeySet:
    """Return the keys that can sign; others, of kinds yet unknown too, are left out."""
    keys: Sequence[object] = published if isinstance(published, list) else []
    fitting = [
        key
        for key in keys
        if isinstance(key, dict) and key.get("kty") in _KEY_TYPES and key.get("use") != "enc"
    ]
    if not fitting:
        raise WrongTokenError("the provider publishes no key that could sign an ID token")
    return KeySet.import_key_set({"keys": fitting})


def _other_clock(how: str) -> OtherClockError:
    return OtherClockError(
        f"the provider's ID token {how}: compare the clocks of this machine and of the provider "
        "(clock_skew_seconds under [console.oidc] says by how much they may differ)"
    )
