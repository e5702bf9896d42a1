"""By what a canary study is known: a phantom of the node's own, and no patient's."""

from typing import Final

CANARY_STUDY: Final = "2.25.234291063943125727255877829905159996401"
"""Study Instance UID of every canary study: nothing accumulates where its results are sent."""

CANARY_PATIENT: Final = "MAMMOCLIP-CANARY"
"""Patient ID of the phantom."""
