"""Whether a request calls the node by a name of its own, which no foreign web page can make."""

import ipaddress
from collections.abc import Collection
from typing import Final

_LOCAL_NAMES: Final = frozenset({"localhost"})


def is_own_name(host: str, names: Collection[str]) -> bool:
    """Return whether a request calls the node by one of its names, or by an IP address.

    Otherwise a web page could have a browser read from the node under a name of its own.

    Parameters
    ----------
    host : the header of this name
    names : those of the settings
    """
    name = host.strip().lower()
    name = name[1:].partition("]")[0] if name.startswith("[") else name.partition(":")[0]
    if name in _LOCAL_NAMES or name in {known.lower() for known in names}:
        return True
    try:
        ipaddress.ip_address(name)
    except ValueError:
        return False
    return True
