"""The requests that a result answers: every one that its sources name, with who issued them."""

from collections.abc import Iterable
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset

from dicom_node.objects.elements.header_values import element_of
from dicom_node.objects.elements.legal_items import legal_element

_OPTIONAL: Final = (
    "IssuerOfAccessionNumberSequence",
    "ReasonForTheRequestedProcedure",
    "ReasonForRequestedProcedureCodeSequence",
)
_TAKEN: Final = (
    "RequestedProcedureID",
    "StudyInstanceUID",
    "RequestedProcedureDescription",
    "RequestedProcedureCodeSequence",
    *_OPTIONAL,
)
_ORDER: Final = (
    "OrderPlacerIdentifierSequence",
    "OrderFillerIdentifierSequence",
    "PlacerOrderNumberImagingServiceRequest",
    "FillerOrderNumberImagingServiceRequest",
)


def request_attributes(source: Dataset) -> list[Dataset]:
    """Return Request Attributes Sequence for the series of an image's result (PS3.3 C.7.3.1)."""
    return [request for request in map(_legal, _requests_in(source)) if _has_an_id(request)]


def referenced_requests(report: Dataset, sources: Iterable[Dataset]) -> list[Dataset]:
    """Return Referenced Request Sequence of a report, each request once (PS3.3 C.17.2).

    An image names its requests, or it names none and answers the one of its accession number.

    Parameters
    ----------
    report : with the study's attributes already copied

    Returns
    -------
    list of Dataset
        Empty where neither an accession number nor a requested procedure is known.
    """
    items: dict[tuple[str, str, str], Dataset] = {}
    for source in sources:
        for request in _requests_in(source) or [Dataset()]:
            item = _item(report, source, request)
            # As text: a backslash in an illegal accession number makes two values of it.
            key = (
                str(item.StudyInstanceUID),
                str(item.AccessionNumber or ""),
                str(item.RequestedProcedureID or ""),
            )
            if any(key[1:]):
                items.setdefault(key, item)
    named = [item for item in items.values() if item.RequestedProcedureID]
    # An image without Request Attributes repeats a request that another one names in full.
    numbers = {str(item.AccessionNumber) for item in named}
    return [
        item
        for item in items.values()
        if item.RequestedProcedureID or str(item.AccessionNumber) not in numbers
    ]


def _item(report: Dataset, source: Dataset, request: Dataset) -> Dataset:
    item = _legal(request)
    for keyword in _ORDER:
        element = legal_element(request, keyword) or legal_element(source, keyword)
        if element is not None and element.value:
            item.add(element)
    accession = str(request.get("AccessionNumber") or "").strip()
    is_the_studys = accession in {"", str(report.AccessionNumber or "").strip()}
    if is_the_studys:
        item.AccessionNumber = report.AccessionNumber
        issuer = report.get("IssuerOfAccessionNumberSequence")
        if issuer and "IssuerOfAccessionNumberSequence" not in item:
            item.IssuerOfAccessionNumberSequence = issuer
    if not item.get("StudyInstanceUID"):
        item.StudyInstanceUID = report.StudyInstanceUID
    item.ReferencedStudySequence = []
    for keyword in (
        "AccessionNumber",
        "PlacerOrderNumberImagingServiceRequest",
        "FillerOrderNumberImagingServiceRequest",
        "RequestedProcedureID",
        "RequestedProcedureDescription",
    ):
        if keyword not in item:
            setattr(item, keyword, "")
    if "RequestedProcedureCodeSequence" not in item:
        item.RequestedProcedureCodeSequence = []
    return item


def _legal(request: Dataset) -> Dataset:
    kept = Dataset()
    for keyword in ("AccessionNumber", *_TAKEN):
        element = legal_element(request, keyword)
        if element is not None and element.value:
            kept.add(element)
    return kept


def _has_an_id(request: Dataset) -> bool:
    return bool(request.get("RequestedProcedureID") or request.get("AccessionNumber"))


def _requests_in(source: Dataset) -> list[Dataset]:
    element: DataElement | None = element_of(source, "RequestAttributesSequence")
    return list(element.value) if element is not None and element.VR == "SQ" else []
