"""Shows a lesion under the number that it had in earlier revisions of its study."""

from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING

from mammoclip_core.errors import FindingsFormatError
from mammoclip_core.findings_document import from_json

if TYPE_CHECKING:
    from mammoclip_core.findings import ImageFindings, StudyAnalysis


def with_kept_lesions(answer: "StudyAnalysis", documents: Iterable[str]) -> "StudyAnalysis":
    """Return an answer in whose regions each lesion has its former number.

    Parameters
    ----------
    documents : findings of the earlier revisions, the newest last
        Those of another model count for nothing, as its regions are tracked by other names.
    """
    from mammoclip_core.lesion_numbers import with_kept_numbers

    findings = answer.findings
    former = list(_images_by(findings.bundle.sha256, documents))
    images = with_kept_numbers(findings.images, former)
    return replace(answer, findings=replace(findings, images=images))


def _images_by(sha256: str, documents: Iterable[str]) -> Iterator[tuple["ImageFindings", ...]]:
    for document in documents:
        try:
            findings = from_json(document)
        except FindingsFormatError:  # of a version whose documents this one does not read
            continue
        if findings.bundle.sha256 == sha256:
            yield findings.images
