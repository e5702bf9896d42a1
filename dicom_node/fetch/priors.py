"""Which former mammograms of a patient are fetched with a study."""

from collections.abc import Callable, Collection
from contextlib import AbstractContextManager
from dataclasses import dataclass
from datetime import date, timedelta
from typing import Final

from dicom_node.fetch.found_objects import FoundStudy
from dicom_node.fetch.study_list import WantedStudy
from dicom_node.receive.files.file_intake import FileIntake
from dicom_node.settings.ways_in.fetch import FetchSettings

_WILD: Final = "*?\\"
_DAYS_OF_A_YEAR: Final = 365.25


@dataclass(frozen=True, slots=True, kw_only=True)
class Priors:
    """How many former studies are fetched, and into what.

    Attributes
    ----------
    count : of each patient, the newest ones
    years : before the study
    held : returns which of some objects of a study the node has, analysed or not
    open_intake : opens the way into the spool that marks them as former; None: a dry run
    of_known : whether those of studies are looked for, too, that the node has already
    """

    count: int
    years: int
    held: Callable[[str, Collection[str]], Collection[str]]
    open_intake: Callable[[], AbstractContextManager[FileIntake]] | None
    of_known: bool = True

    def wanted(self, study: FoundStudy, *, line: int) -> WantedStudy | None:
        """Return what to search for; None where patient or date of the study are not known."""
        patient = study.patient_id
        if not patient or any(char in _WILD or not char.isprintable() for char in patient):
            return None
        try:
            day = date.fromisoformat(study.study_date)
            first = day - timedelta(days=round(self.years * _DAYS_OF_A_YEAR))
        except (ValueError, OverflowError):
            return None
        return WantedStudy(
            line=line,
            patient_id=patient,
            first_date=first.strftime("%Y%m%d"),
            last_date=(day - timedelta(days=1)).strftime("%Y%m%d"),
        )

    def chosen(self, study: FoundStudy, found: Collection[FoundStudy]) -> list[FoundStudy]:
        """Return the newest of the studies that were found."""
        others = [
            one
            for one in found
            if one.study_instance_uid != study.study_instance_uid and one.study_date
        ]
        newest = sorted(others, key=lambda one: (one.study_date, one.study_instance_uid))
        return newest[::-1][: self.count]


def priors_of(
    settings: FetchSettings,
    held: Callable[[str, Collection[str]], Collection[str]],
    open_intake: Callable[[], AbstractContextManager[FileIntake]] | None,
    *,
    of_known: bool = True,
) -> Priors | None:
    """Return which former studies the settings want; None if none."""
    if not settings.priors:
        return None
    return Priors(
        count=settings.priors,
        years=settings.prior_years,
        held=held,
        open_intake=open_intake,
        of_known=of_known,
    )
