"""Why a demonstration ends without success."""


class DemonstrationError(Exception):
    """The demonstration cannot go on; the message says why in words for its user."""
