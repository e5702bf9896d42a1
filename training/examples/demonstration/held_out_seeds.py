"""Seeds of phantoms that nobody can have looked at before the weights were finished."""

_DIGITS = 8


def held_out_seeds(weights_sha256: str, count: int = 3) -> tuple[int, ...]:
    """Return seeds from the digest of finished weights: each is eight of its digits.

    Parameters
    ----------
    weights_sha256 : 64 hexadecimal digits
    count : at most eight
    """
    return tuple(
        int(weights_sha256[_DIGITS * place : _DIGITS * (place + 1)], 16) for place in range(count)
    )
