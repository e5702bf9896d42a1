"""Which text from the network is taken for a UID."""

from typing import Final

_LONGEST: Final = 64


def is_taken_for_uid(text: str) -> bool:
    """Return whether text is one that the node keeps and sends back as a UID.

    Length and characters are those of PS3.5 9.1 and 6.1.2; components with leading zeros, which
    are common, pass.
    """
    return 0 < len(text) <= _LONGEST and text.isascii() and text.isprintable() and "\\" not in text
