"""Which workitems are the node's to do: by what it asks for, and by what it can do."""

import re
from collections.abc import Collection
from datetime import UTC, datetime
from typing import Final

from pydicom.uid import UID

from dicom_node.fetch.found_objects import is_uid
from dicom_node.settings.ways_in.ups import CodeSettings, UpsSettings
from dicom_node.workitems.workitem import SCHEDULED, Code, Input, Workitem

_READY: Final = "READY"
_STATE, _READINESS, _START = "00741000", "00404041", "00404005"
_WORKITEM_CODE, _STATION_CODE, _LABEL = "00404018", "00404025", "00741202"
_CODE: Final = re.compile(r"[A-Za-z0-9._-]{1,16}")
_VALUE, _SCHEME = "00080100", "00080102"


def code_in(settings: CodeSettings) -> Code:
    """Return a code of the settings."""
    return Code(settings.value, settings.scheme, settings.meaning)


def own_codes(settings: UpsSettings) -> tuple[Code, ...]:
    """Return the codes of the work that the node performs."""
    return tuple(code_in(one) for one in settings.workitem_codes)


def filters_of(settings: UpsSettings, code: Code, at: datetime) -> dict[str, str]:
    """Return what a search for work of one code asks for (RAD-81); nothing that begins later."""
    return {
        _STATE: SCHEDULED,
        _READINESS: _READY,
        _START: f"-{at.astimezone(UTC):%Y%m%d%H%M%S}+0000",
        **subscription_filters(settings, code),
    }


def subscription_filters(settings: UpsSettings, code: Code) -> dict[str, str]:
    """Return what a subscription asks for: whatever of a workitem does not change by itself."""
    filters = _coded(_WORKITEM_CODE, code)
    if len(settings.station_names) == 1:  # of several no search can ask for any of them
        filters |= _coded(_STATION_CODE, code_in(settings.station_names[0]))
    if settings.worklist_label is not None:
        filters[_LABEL] = settings.worklist_label
    return filters


def is_offered(workitem: Workitem, settings: UpsSettings, at: datetime) -> bool:
    """Return whether a workitem is what was asked for: servers may know no such filters."""
    label = settings.worklist_label
    return (
        workitem.state == SCHEDULED
        and workitem.readiness in {_READY, ""}
        and (workitem.starts_at is None or workitem.starts_at <= at)
        and (label is None or workitem.label == label)
        and _is_for(workitem, settings)
    )


def refusal_of(workitem: Workitem, settings: UpsSettings, classes: Collection[str]) -> str:
    """Say why the node cannot do a workitem; empty if it can.

    Parameters
    ----------
    classes : SOP Classes that are analysed
    """
    if not set(workitem.codes) & set(own_codes(settings)):
        named = ", ".join(_in_words(code) for code in workitem.codes) or "none"
        return f"its workitem code is not one under ups.workitem_codes: {named}"
    if fault := _fault_of_inputs(workitem):
        return fault
    if workitem.inputs and not analysable(workitem, classes):
        kinds = sorted({_class_in_words(one.sop_class_uid) for one in workitem.inputs})
        return f"none of its inputs is of a kind that is analysed: {', '.join(kinds)[:200]}"
    return ""


def _fault_of_inputs(workitem: Workitem) -> str:
    if not workitem.studies:
        return "it names no study as its input"
    if not all(is_uid(study) for study in workitem.studies):
        return "it names a study by what is no UID"
    if len(workitem.studies) > 1:
        return f"its inputs are of {len(workitem.studies)} studies; the node analyses one"
    nameless = sum(not is_uid(one.sop_instance_uid) for one in workitem.inputs)
    return f"{nameless} of its {len(workitem.inputs)} inputs have no UID" if nameless else ""


def analysable(workitem: Workitem, classes: Collection[str]) -> list[Input]:
    """Return the inputs that are analysed, and those of which the workitem does not say."""
    return [one for one in workitem.inputs if one.sop_class_uid in {*classes, ""}]


def code_performed(workitem: Workitem, settings: UpsSettings) -> Code:
    """Return the code of a workitem that the node performs."""
    own = own_codes(settings)
    return next((code for code in workitem.codes if code in own), own[0])


def _is_for(workitem: Workitem, settings: UpsSettings) -> bool:
    own = {code_in(one) for one in settings.station_names}
    return bool(own & set(workitem.stations)) if own else not workitem.stations


def _coded(tag: str, code: Code) -> dict[str, str]:
    return {f"{tag}.{_VALUE}": code.value, f"{tag}.{_SCHEME}": code.scheme}


def _class_in_words(uid: str) -> str:
    return UID(uid).name if is_uid(uid) else "no SOP Class"


def _in_words(code: Code) -> str:
    """Name a code in the log, where no text of a server stands that may be about a patient."""
    parts = (code.value, code.scheme)
    return f"({', '.join(one if _CODE.fullmatch(one) else '?' for one in parts)})"
