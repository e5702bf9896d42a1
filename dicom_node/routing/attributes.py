"""The attributes of images that conditions speak of, by DICOM keyword, and their values."""

import math
import warnings
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final

from pydicom.datadict import dictionary_VM, dictionary_VR, keyword_dict
from pydicom.dataset import Dataset
from pydicom.filereader import read_file_meta_info
from pydicom.multival import MultiValue

from dicom_node.facts.bounded_header import bounded_header
from dicom_node.facts.instance import content_offset
from dicom_node.facts.presentation_address import address_in
from dicom_node.routing.conditions import Kind
from mammoclip_core.images.header.views import VALUE_ERRORS

AGE: Final = "age"
"""Years of the patient at the time of the study, as an attribute of an image."""

CALLED: Final = "called"
"""Title under which the node was called, as an attribute of an image."""

ADDRESS: Final = "address"
"""IP address from which it came, as an attribute of an image."""

OF_FILES: Final = frozenset({AGE, CALLED, ADDRESS})
"""What headers tell besides the attributes of DICOM."""

MAXIMUM_VALUES: Final = 100
"""Values of one attribute that conditions see."""

MAXIMUM_CHARACTERS: Final = 1000
"""Characters of one value that conditions see: longer texts are cut."""

_NUMBERS: Final = frozenset({"DS", "IS", "FL", "FD", "US", "SS", "UL", "SL", "UV", "SV"})
_TEXTS: Final = frozenset(
    {"AE", "AS", "CS", "DA", "DT", "LO", "LT", "PN", "SH", "ST", "TM", "UC", "UI", "UR", "UT"}
)
_FIRST_GROUP: Final = 0x0008
_DAYS: Final = {"D": 1.0, "W": 7.0, "M": 30.4375, "Y": 365.25}

AttributeValue = str | float | list[str] | list[float]


def kind_of(keyword: str) -> Kind | None:
    """Return the type of an attribute in conditions; None if it is none that they may speak of."""
    tag = keyword_dict.get(keyword)
    if tag is None or tag >> 16 < _FIRST_GROUP:
        return None
    vr = dictionary_VR(tag)
    is_single = dictionary_VM(tag) == "1"
    if vr in _TEXTS:
        return Kind.TEXT if is_single else Kind.TEXTS
    if vr in _NUMBERS or vr == "US or SS":
        return Kind.NUMBER if is_single else Kind.NUMBERS
    return None


def empty(kind: Kind) -> AttributeValue:
    """Return the value of an attribute that is absent: a number that compares with none."""
    match kind:
        case Kind.TEXT:
            return ""
        case Kind.NUMBER:
            return math.nan
    return []


def is_keyword(name: str) -> bool:
    """Return whether the dictionary of DICOM has this keyword, whatever its values are."""
    return name in keyword_dict


def keywords() -> Iterator[str]:
    """Yield the keywords of every attribute that conditions may speak of."""
    return (keyword for keyword in keyword_dict if kind_of(keyword) is not None)


def values_of(
    dataset: Dataset, names: Iterable[str], *, meta: Dataset | None = None
) -> dict[str, AttributeValue]:
    """Return attributes of an image, absent and unreadable ones as empty.

    Parameters
    ----------
    names : keywords, and any of `OF_FILES`
    meta : file meta information, as the node writes it
    """
    held = Dataset() if meta is None else meta
    with warnings.catch_warnings():
        # The library quotes values that are none.
        warnings.simplefilter("ignore")
        return {name: _known(dataset, held, name) for name in names}


def read_attributes(
    file: Path, names: Iterable[str], *, maximum_bytes: int
) -> dict[str, AttributeValue]:
    """Read attributes of an image's file, in a process that may end at it.

    Parameters
    ----------
    names : keywords, and any of `OF_FILES`
    maximum_bytes : largest size of a deflated data set

    Raises
    ------
    SetAsideError
        The header is beyond a bound.
    """
    meta = read_file_meta_info(file)
    with bounded_header(
        file, meta, content_offset=content_offset(file), maximum_bytes=maximum_bytes
    ) as (dataset, _):
        return values_of(dataset, names, meta=meta)


def _known(dataset: Dataset, meta: Dataset, name: str) -> AttributeValue:
    match name:
        case "age":
            return _years(dataset)
        case "called":
            return str(meta.get("ReceivingApplicationEntityTitle", "")).strip()
        case "address":
            return address_in(str(meta.get("SourcePresentationAddress", "")))
    return _value(dataset, name)


def _value(dataset: Dataset, keyword: str) -> AttributeValue:
    kind = kind_of(keyword)
    assert kind is not None, "rules were checked"
    try:
        value = dataset.get(keyword)
        values = [] if value is None or value == "" else _listed(value)
        if kind in {Kind.NUMBER, Kind.NUMBERS}:
            numbers = [float(one) for one in values]
            return numbers if kind is Kind.NUMBERS else next(iter(numbers), math.nan)
        texts = [_text(one) for one in values]
        return texts if kind is Kind.TEXTS else next(iter(texts), "")
    except VALUE_ERRORS:
        return empty(kind)


def _listed(value: Any) -> list[Any]:
    # A name of a person is iterable too, letter by letter.
    return list(value)[:MAXIMUM_VALUES] if isinstance(value, MultiValue | list) else [value]


def _text(value: object) -> str:
    # What no condition can compare is nothing that another system would take for equal either.
    text = str(value).replace("\0", "").strip()[:MAXIMUM_CHARACTERS]
    return text.encode("utf-8", errors="replace").decode("utf-8")


def _years(dataset: Dataset) -> float:
    """Return whole years by Patient's Age (0010,1010), else from birth to the study."""
    age = str(_value(dataset, "PatientAge"))
    if len(age) == 4 and age[:3].isdecimal() and age[3] in _DAYS:
        return float(int(int(age[:3]) * _DAYS[age[3]] / _DAYS["Y"] + 1e-9))
    born, studied = str(_value(dataset, "PatientBirthDate")), str(_value(dataset, "StudyDate"))
    if not all(len(one) == 8 and one.isdecimal() for one in (born, studied)) or born > studied:
        return math.nan
    return float(int(studied[:4]) - int(born[:4]) - (studied[4:] < born[4:]))
