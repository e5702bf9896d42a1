"""ID tokens that are not for this sign-in let nobody in."""

import base64
import hashlib
import hmac
import json
from collections.abc import Callable
from typing import Any

import pytest
from cryptography.hazmat.primitives.serialization import Encoding, PublicFormat
from identity_provider import Claims, Provider
from joserfc import jwt
from joserfc.jwk import ECKey, OctKey
from provider_desk import Desk, problem_of


def hs256_with_the_public_key(provider: Provider, claims: Claims) -> str:
    public = provider.key.public_key.public_bytes(Encoding.PEM, PublicFormat.SubjectPublicKeyInfo)
    header = part({"alg": "HS256", "kid": provider.key.kid, "typ": "JWT"})
    signed = f"{header}.{part(claims)}"
    mac = hmac.new(public, signed.encode(), hashlib.sha256).digest()
    return f"{signed}.{base64.urlsafe_b64encode(mac).rstrip(b'=').decode()}"


def part(document: dict[str, Any]) -> str:
    return base64.urlsafe_b64encode(json.dumps(document).encode()).rstrip(b"=").decode()


def without_signature(provider: Provider, claims: Claims) -> str:
    header = part({"alg": "none", "kid": provider.key.kid})
    return f"{header}.{part(claims)}."


def signature_cut_off(provider: Provider, claims: Claims) -> str:
    return provider.signed(claims).rpartition(".")[0] + "."


def with_a_key_of_its_own(provider: Provider, claims: Claims) -> str:
    """Name the attacker's key within the token (RFC 7515 4.1.3)."""
    key = ECKey.generate_key("P-256")
    header = {"alg": "ES256", "kid": provider.key.kid, "jwk": key.as_dict(private=False)}
    return jwt.encode(header, claims, key)


def with_a_shared_key(_provider: Provider, claims: Claims) -> str:
    return jwt.encode({"alg": "HS256"}, claims, OctKey.import_key("x" * 32))


def saying(**others: Any) -> Callable[[Provider, Claims], str]:
    def forged(provider: Provider, claims: Claims) -> str:
        return provider.signed({**claims, **others})

    return forged


def later(name: str, seconds: int) -> Callable[[Provider, Claims], str]:
    def forged(provider: Provider, claims: Claims) -> str:
        return provider.signed({**claims, name: claims["iat"] + seconds})

    return forged


def lacking(name: str) -> Callable[[Provider, Claims], str]:
    def forged(provider: Provider, claims: Claims) -> str:
        return provider.signed({key: value for key, value in claims.items() if key != name})

    return forged


FORGED = [
    pytest.param(without_signature, "unsupported_algorithm", id="no signature"),
    pytest.param(signature_cut_off, "bad_signature", id="signature cut off"),
    pytest.param(hs256_with_the_public_key, "unsupported_algorithm", id="public key as a secret"),
    pytest.param(with_a_shared_key, "unsupported_algorithm", id="a shared key"),
    pytest.param(with_a_key_of_its_own, "not right", id="a key within the token"),
    pytest.param(saying(nonce="another"), "nonce", id="another nonce"),
    pytest.param(lacking("nonce"), "nonce", id="no nonce"),
    pytest.param(saying(iss="https://other.example"), "iss", id="another issuer"),
    pytest.param(saying(aud="another-client"), "aud", id="another audience"),
    pytest.param(saying(aud=["mammoclip-node", "b"], azp="b"), "azp", id="for another party"),
    pytest.param(saying(aud=["mammoclip-node", "b"]), "azp", id="for several, and none named"),
    pytest.param(saying(at_hash="AAAAAAAAAAAAAAAAAAAAAA"), "at_hash", id="another access token"),
    pytest.param(later("exp", -61), "compare the clocks", id="expired"),
    pytest.param(later("iat", 3600), "compare the clocks", id="of the future"),
    pytest.param(later("nbf", 3600), "compare the clocks", id="not valid yet"),
    pytest.param(lacking("exp"), "exp", id="without an end"),
    pytest.param(lacking("sub"), "sub", id="of nobody"),
    pytest.param(saying(sub=""), "sub", id="of an empty subject"),
    pytest.param(saying(sub=7), "sub", id="of a number"),
    pytest.param(saying(exp=1e400), "exp", id="of an endless time"),
    pytest.param(lambda *_: "no token", "not right", id="no token"),
]


@pytest.mark.parametrize(("forge", "told"), FORGED)
def test_token_that_is_not_for_this_sign_in_is_refused(
    desk: Desk, provider: Provider, forge: Callable[[Provider, Claims], str], told: str
) -> None:
    provider.forge = lambda claims: forge(provider, claims)

    answer = desk.sign_in()

    assert answer.status_code == 401
    assert told in problem_of(answer)
    assert not desk.is_signed_in()


@pytest.mark.parametrize("seconds", [-50, 50])
def test_clocks_may_differ_a_little(desk: Desk, provider: Provider, seconds: int) -> None:
    provider.forge = lambda claims: provider.signed(
        {**claims, "iat": claims["iat"] + seconds, "exp": claims["iat"] + seconds + 1}
    )

    assert desk.sign_in().status_code == 303
