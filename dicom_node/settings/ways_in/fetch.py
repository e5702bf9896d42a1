"""The section [fetch]: what holds for studies that the node fetches by lists and polls."""

from typing import Annotated

from pydantic import Field

from dicom_node.settings.section import Section


class FetchSettings(Section):
    """What holds for studies that the node fetches by lists and polls."""

    pseudonyms: bool = False
    """Write pseudonyms for all UIDs into the tables of runs, as with --pseudonyms."""
    priors: Annotated[int, Field(ge=0, le=20)] = 0
    """Former mammograms of the patient that are fetched with each study, the newest ones; 0: none.
    They are kept and marked as prior, and not analysed."""
    prior_years: Annotated[int, Field(ge=1, le=50)] = 5
    """How many years before the study a former one may be."""
    analyse_priors: bool = False
    """Analyse former mammograms too, as if they had been sent."""
