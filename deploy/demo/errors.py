"""Why a demonstration ends without success."""


class DemonstrationError(Exception):
    """The demonstration cannot continue; the message gives the reason."""
