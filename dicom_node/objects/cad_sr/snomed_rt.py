"""The SNOMED-RT twins of our SNOMED CT codes, for workstations of before 2018."""

from collections.abc import Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Final

from pydicom.dataset import Dataset
from pydicom.sequence import Sequence


class CodingScheme(StrEnum):
    """How anatomy and findings are coded in a report."""

    SCT = "SCT"
    SRT = "SRT"


LEGACY_VALUES: Final[Mapping[str, str]] = MappingProxyType(
    {
        # Marks (CID 6014)
        "129793001": "F-01796",
        "129770007": "F-01776",
        "129788004": "F-01791",
        "129769006": "F-01775",
        "129792006": "F-01795",
        "129794007": "F-01797",
        "443808008": "T-C430B",
        # Breast composition (CID 6000) and its analysis (CID 6043)
        "129715009": "F-01710",
        "129716005": "F-01711",
        "129717001": "F-01712",
        "129718006": "F-01713",
        "129719003": "F-01714",
        "133890006": "P5-B3414",
        # Laterality (CID 6022)
        "272741003": "G-C171",
        "80248007": "T-04030",
        "73056007": "T-04020",
        "63762007": "T-04080",
        # Views (CID 4014)
        "399162004": "R-10242",
        "399368009": "R-10226",
        "399260004": "R-10224",
        "399352003": "R-10228",
        "399099002": "R-10230",
        "399196006": "R-10244",
        "399188001": "R-102D0",
        "441555000": "R-40AAA",
        "399192008": "R-1024A",
        "399101009": "R-1024B",
        # View modifiers (CID 4015)
        "399055006": "R-102D7",
        "399163009": "R-102D6",
        "399209000": "R-102D5",
        "399011000": "R-102D1",
        "399161006": "R-102D2",
        "399197002": "R-102D3",
        "399226006": "R-102D4",
        "414493004": "R-102CA",
        "415670009": "R-102C9",
        "399110001": "R-102C2",
        "442581004": "R-40AB3",
        "441752004": "P2-00161",
        "442593008": "R-40ABE",
        "442580003": "R-40AB2",
    }
)
"""SNOMED-RT value by SNOMED CT value; their meanings are the same."""


def use_legacy_codes(dataset: Dataset) -> None:
    """Replace every SNOMED CT code of a content tree that has a twin, in place."""
    if dataset.get("CodingSchemeDesignator") == CodingScheme.SCT:
        twin = LEGACY_VALUES.get(dataset.get("CodeValue", ""))
        if twin is not None:
            dataset.CodeValue, dataset.CodingSchemeDesignator = twin, CodingScheme.SRT.value
    for element in dataset:
        if isinstance(element.value, Sequence):
            for item in element.value:
                use_legacy_codes(item)
