"""Who gives a command: the account of the operating system."""

import getpass


def account() -> str:
    """Return the account of the person, also where the machine has no entry for it."""
    try:
        return getpass.getuser()
    except (KeyError, OSError):
        return "unknown account"
