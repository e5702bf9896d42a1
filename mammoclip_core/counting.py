"""Numbers of things in words: 1 image, 2 images."""


def counted(number: int, noun: str, plural: str = "") -> str:
    """Return a number with its noun, for example ``1 image`` or ``2 studies``.

    Parameters
    ----------
    plural : where it is not the noun with an s
    """
    return f"{number} {noun if number == 1 else plural or noun + 's'}"
