"""Writes the result objects of an analysis to the spool while the next ones are made."""

import hashlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from io import BytesIO
from typing import TYPE_CHECKING

from dicom_node.spool.names import result_place
from dicom_node.spool.stored_spool import SpoolFiles
from dicom_node.studies.ledger.due.outcomes import MadeResult
from dicom_node.studies.ledger.due.work import Claim
from dicom_node.studies.ledger.queries.former_objects import FormerObject
from mammoclip_core.background import map_ahead

if TYPE_CHECKING:
    from dicom_node.objects.analysed_study import ResultObject


@dataclass(frozen=True, slots=True, kw_only=True)
class _Encoded:
    """A result object as a file, and the row that will name it.

    Attributes
    ----------
    content : None for an object that is in the spool already
    """

    made: MadeResult
    content: memoryview | None = None
    name: str = ""


def kept_results(
    spool: SpoolFiles,
    held: Claim,
    former: Mapping[str, FormerObject],
    results: "Iterable[ResultObject]",
) -> Iterator[MadeResult]:
    """Write each result object to the spool, while the next is made, except what is there already.

    Each is flushed to disk before its row is yielded.

    Parameters
    ----------
    former : objects of earlier revisions by SOP Instance UID

    Raises
    ------
    OutOfResourcesError
        The disk does not take one; whoever drops the results finds nothing written later.
    """

    def keep(encoded: _Encoded) -> MadeResult:
        if encoded.content is None:
            return encoded.made
        spool.keep_result(encoded.content, held.id, held.version, encoded.name)
        return encoded.made

    # One thread: the disk is waited for while the next object is made, and no more than two are
    # in memory.
    return map_ahead(
        _encoded(spool, held, former, results), keep, threads=1, ahead=1, name="results"
    )


def _encoded(
    spool: SpoolFiles,
    held: Claim,
    former: Mapping[str, FormerObject],
    results: "Iterable[ResultObject]",
) -> Iterator[_Encoded]:
    # Imported here: it loads pydicom, which the parent process does not need.
    from dicom_node.objects.writing import write_object

    number = -1
    for result in results:
        number += 1
        dataset, kind = result.dataset, result.kind.value
        # A UID names one content: an equal UID is an equal object, if its file is still there.
        earlier = former.get(str(dataset.SOPInstanceUID))
        if earlier is not None and spool.holds(earlier.made.place):
            yield _Encoded(made=earlier.made)
            continue
        buffer = BytesIO()
        write_object(dataset, buffer)
        name = f"{number:03d}-{kind}"
        content = buffer.getbuffer()
        made = MadeResult(
            kind=kind,
            variant=result.product.variant,
            sop_class_uid=str(dataset.SOPClassUID),
            sop_instance_uid=str(dataset.SOPInstanceUID),
            series_instance_uid=str(dataset.SeriesInstanceUID),
            place=result_place(held.id, held.version, name),
            sha256=hashlib.sha256(content).hexdigest(),
            stored=spool.results_are,
        )
        # Not held while the next one is made: its pixels are large.
        del result, dataset, buffer
        yield _Encoded(made=made, content=content, name=name)
        del content
