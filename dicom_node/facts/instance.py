"""Reads a received object: facts for the ledger, or the reason why it is set aside."""

import hashlib
import re
import stat
from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import pydicom
from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.errors import SetAsideError
from dicom_node.facts.bounded_header import SlowHeaderError, bounded_header
from dicom_node.facts.identifiers import Identifiers
from dicom_node.facts.identity import PatientDigest
from dicom_node.facts.instance_facts import InstanceFacts
from dicom_node.facts.priority import (
    Priority,
    is_written_as_prior,
    priority_of_sender,
    requested_priority_of,
    written_priority_of,
)
from dicom_node.facts.rejection_note import MOST_IMAGES, REASONS, rejection_in
from dicom_node.facts.storage_classes import SECONDARY_CAPTURE_CLASSES
from mammoclip_core.counting import counted
from mammoclip_core.images.header.image_kind import (
    MAMMOGRAM_CLASSES,
    RADIOGRAPH_CLASSES,
    TOMOSYNTHESIS_CLASSES,
    image_facts_of,
    is_breast_radiograph,
)
from mammoclip_core.images.header.own_result import is_own_result
from mammoclip_core.images.header.views import contradictions_of, view_position_of

# Leading zeros are forbidden by PS3.5 9.1 and sent all the same; anything but digits is not a UID.
_UID_PATTERN: Final = re.compile(r"^[0-9]+(\.[0-9]+)+$")
_LONGEST_UID: Final = 64
_UIDS: Final = ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID", "SOPClassUID")


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """What was read of one object.

    Attributes
    ----------
    facts : None if the object cannot be identified
    problem : why it is set aside; None for a mammogram
    priority : how urgent whoever brought it has said it is, see `write_priority`
    """

    facts: InstanceFacts | None
    problem: SetAsideError | None
    calling_ae_title: str = ""
    priority: Priority | None = None

    def kept_facts(self, *, identifiers: bool) -> InstanceFacts | None:
        """Return the facts that the ledger keeps, with or without identifiers."""
        if self.facts is None or identifiers:
            return self.facts
        return replace(self.facts, identifiers=None)

    def with_priority(self, *, stat: Collection[str], off_peak: Collection[str]) -> "Reading":
        """Let whoever brought it decide, then the settings for a sender, then the image itself.

        Parameters
        ----------
        stat, off_peak : AE titles whose studies are such, whatever their images state
        """
        if self.facts is None:
            return self
        priority = priority_of_sender(
            self.calling_ae_title, stat=stat, off_peak=off_peak, otherwise=self.facts.priority
        )
        if self.priority is not None:
            priority = int(self.priority)
        return replace(self, facts=replace(self.facts, priority=priority))


def read_header(
    file: Path,
    *,
    identity_key: bytes,
    secondary_capture_senders: frozenset[str],
    maximum_bytes: int,
    takes_tomosynthesis: bool = False,
    radiograph_senders: frozenset[str] = frozenset(),
    may_take_long: bool = True,
    calling_ae_title: str | None = None,
) -> Reading:
    """Read one received file; raises nothing for what is in it but MemoryError.

    Parameters
    ----------
    identity_key : secret of the installation, under which patients are digested
    secondary_capture_senders : AE titles whose Secondary Captures are mammograms
    maximum_bytes : largest size of a deflated data set
    takes_tomosynthesis : whether Breast Tomosynthesis is analysed
    radiograph_senders : AE titles whose CR and DX images of the breast are mammograms
    may_take_long : whether the header may take its time
    calling_ae_title : counts instead of the one in the file, which is not the node's

    Raises
    ------
    SlowHeaderError
        Not `may_take_long`, and the header takes long to read.
    """
    calling, priority = "", None
    try:
        if not is_plain_file(file):
            raise SetAsideError("foreign-file", "the node did not put this into the spool")  # noqa: TRY301
        meta = pydicom.filereader.read_file_meta_info(file)
        calling = calling_ae_title or str(meta.get("SendingApplicationEntityTitle", "")).strip()
        priority = written_priority_of(meta)
        with bounded_header(
            file,
            meta,
            content_offset=content_offset(file),
            maximum_bytes=maximum_bytes,
            may_take_long=may_take_long,
        ) as (dataset, has_pixels):
            facts, problem = _identity(dataset, identity_key)
            try:
                if facts is not None and problem is None:
                    facts = replace(facts, is_prior=is_written_as_prior(meta))
                    facts = _with_rejection(dataset, facts)
                    analysed = MAMMOGRAM_CLASSES
                    if takes_tomosynthesis or not _is_whole_volume(dataset):
                        analysed |= TOMOSYNTHESIS_CLASSES
                    if calling in secondary_capture_senders:
                        analysed |= SECONDARY_CAPTURE_CLASSES
                    if calling in radiograph_senders and is_breast_radiograph(dataset):
                        analysed |= RADIOGRAPH_CLASSES
                    facts = _described(dataset, facts, analysed)
            except SetAsideError as error:
                problem = error
        if problem is None and not has_pixels:
            problem = SetAsideError("no-pixel-data", "the image has no pixel data")
    except SetAsideError as error:
        return Reading(facts=None, problem=error, calling_ae_title=calling)
    except SlowHeaderError:
        raise
    except MemoryError:
        raise  # the process that reads is at its limit, and ends: header_process
    except Exception as error:  # noqa: BLE001  damaged files can raise any error
        detail = f"not a readable DICOM data set ({type(error).__name__})"
        problem = SetAsideError("unreadable-object", detail)
        return Reading(facts=None, problem=problem, calling_ae_title=calling)
    return Reading(facts=facts, problem=problem, calling_ae_title=calling, priority=priority)


def is_plain_file(path: Path) -> bool:
    """Return whether a path is a file itself, and not a link, a folder, a pipe or a device."""
    return stat.S_ISREG(path.lstat().st_mode)


def content_offset(file: Path) -> int:
    """Return where the data set starts in a file of the spool, after its file meta information."""
    with file.open("rb") as stream:
        stream.seek(140)
        length = int.from_bytes(stream.read(4), "little")
    return 144 + length


def content_sha256(file: Path) -> str:
    """Return the SHA-256 of the data set, without the file meta information of its transfer.

    It is empty for what is no file, such as a pipe, which nobody may ever write to.
    """
    digest = hashlib.sha256()
    if not is_plain_file(file):
        return ""
    with file.open("rb") as stream:
        stream.seek(content_offset(file))
        while chunk := stream.read(1 << 20):
            digest.update(chunk)
    return digest.hexdigest()


def _identity(dataset: Dataset, key: bytes) -> tuple[InstanceFacts | None, SetAsideError | None]:
    """Read the UIDs and the patient digest; without a Study Instance UID return no facts."""
    uids: dict[str, str] = {}
    problem: SetAsideError | None = None
    if len(dataset) and not any(keyword in dataset for keyword in _UIDS):
        # The library makes elements of any bytes, and warns of them at most.
        raise SetAsideError("unreadable-object", "not a readable DICOM data set (without a UID)")
    for keyword in _UIDS:
        try:
            uids[keyword] = _uid(dataset, keyword)
        except SetAsideError as error:
            uids[keyword], problem = "", problem or error
    requested = str(dataset.file_meta.get("MediaStorageSOPInstanceUID", ""))
    if problem is None and requested != uids["SOPInstanceUID"]:
        problem = SetAsideError(
            "mismatched-uid", "the SOP Instance UID differs between C-STORE request and data set"
        )
    if not uids["StudyInstanceUID"]:
        return None, problem
    facts = InstanceFacts(
        study_instance_uid=uids["StudyInstanceUID"],
        series_instance_uid=uids["SeriesInstanceUID"],
        sop_instance_uid=uids["SOPInstanceUID"],
        sop_class_uid=uids["SOPClassUID"],
        transfer_syntax_uid=str(dataset.file_meta.TransferSyntaxUID),
        patient=PatientDigest.of(dataset, key),
        priority=requested_priority_of(dataset),
        identifiers=Identifiers.of(dataset),
    )
    return facts, problem


def _uid(dataset: Dataset, keyword: str) -> str:
    value = str(dataset.get(keyword) or "").strip()
    if not value:
        raise SetAsideError("missing-uid", f"{keyword} is missing")
    if len(value) > _LONGEST_UID or not _UID_PATTERN.match(value):
        raise SetAsideError("invalid-uid", f"{keyword} is not a UID")
    return value


def _with_rejection(dataset: Dataset, facts: InstanceFacts) -> InstanceFacts:
    if is_own_result(dataset):
        return facts
    code, rejected = rejection_in(dataset, facts.study_instance_uid)
    return replace(facts, rejection=code, rejected=rejected if len(rejected) <= MOST_IMAGES else ())


def _described(
    dataset: Dataset, facts: InstanceFacts, analysed_classes: frozenset[str]
) -> InstanceFacts:
    if is_own_result(dataset):
        raise SetAsideError("own-result", "a result object of this software came back")
    if facts.sop_class_uid in TOMOSYNTHESIS_CLASSES - analysed_classes:
        raise SetAsideError(
            "tomosynthesis", "Breast Tomosynthesis is not analysed unless the settings say how"
        )
    if facts.sop_class_uid not in analysed_classes and is_breast_radiograph(dataset):
        raise SetAsideError(
            "radiograph",
            f"a mammogram in {UID(facts.sop_class_uid).name} is not analysed unless the settings "
            "name its sender",
        )
    if facts.rejection:
        _, named = rejection_in(dataset, facts.study_instance_uid)
        followed = f"it rejects {counted(len(named), 'object')}: {REASONS[facts.rejection]}"
        if len(named) > MOST_IMAGES:
            followed = (
                f"it names {len(named)} objects of its study, more than {MOST_IMAGES}: none of "
                "them was taken out. Have the archive send notes with fewer, or erase the study"
            )
        raise SetAsideError("rejection-note", followed)
    if facts.sop_class_uid not in analysed_classes:
        detail = f"{UID(facts.sop_class_uid).name} is kept, but not analysed"
        if facts.sop_class_uid in SECONDARY_CAPTURE_CLASSES and view_position_of(dataset):
            # A film that was digitised, or another program's picture of a mammogram.
            detail += " unless the settings name its sender"
        raise SetAsideError("not-a-mammogram", detail)
    return _as_mammogram(dataset, facts)


def _is_whole_volume(dataset: Dataset) -> bool:
    """Tell a tomosynthesis from its slices and from a 2D image, which share its class."""
    image = image_facts_of(dataset)
    return image.is_tomosynthesis and not image.left_out_reason


def _as_mammogram(dataset: Dataset, facts: InstanceFacts) -> InstanceFacts:
    image = image_facts_of(dataset)
    described = replace(
        facts,
        laterality=image.laterality,
        view_position=image.view_position,
        presentation_intent=image.presentation_intent,
        acquisition=image.acquisition,
        left_out_reason=image.left_out_reason,
    )
    if described.left_out_reason:
        return described
    if not described.laterality:
        detail = "; ".join(contradictions_of(dataset))
        raise SetAsideError(
            "no-laterality", detail or "the image does not say which breast it shows"
        )
    if not described.view_position:
        raise SetAsideError("no-view", "the image does not say which view it is")
    return described
