"""Gives finished objects their UIDs, revision and times: equal objects keep what they were given.

Builders are told neither the revision nor the time, and an object is named only once it is
complete. So its UIDs cannot but follow from all that it says, and from nothing else.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta, timezone
from itertools import groupby
from typing import Final

from pydicom.dataset import Dataset
from pydicom.uid import UID

from dicom_node.objects.elements.content_digest import content_digest
from dicom_node.objects.former_results import FormerResult, newest_of, predecessor_of
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.modules.shared_modules import write_creation_times
from dicom_node.objects.products import Product
from dicom_node.objects.references import references_to_former
from dicom_node.objects.terms.wording import to_ascii
from dicom_node.objects.uids import uid_of

_STAND_IN_TIME: Final = datetime(1999, 9, 9, 9, tzinfo=UTC)
_DESCRIPTION_LENGTH: Final = 64


@dataclass(frozen=True, slots=True, kw_only=True)
class _Names:
    """The UIDs of one series and its objects, and the revision that they are of."""

    series_instance_uid: str
    sop_instance_uids: tuple[str, ...]
    revision: int
    predecessor: FormerResult | None = None


def unnamed(identity: ResultIdentity) -> ResultIdentity:
    """Return what builders are told: all but the revision and the time of creation.

    Of that time they are told the offset from UTC on the site: objects of a source without a date
    state it.
    """
    at_site = identity.created_at.astimezone(identity.time_zone)
    offset = timezone(at_site.utcoffset() or timedelta(0))
    return replace(identity, revision=1, created_at=_STAND_IN_TIME.astimezone(offset))


def name_objects(
    product: Product,
    datasets: Sequence[Dataset],
    identity: ResultIdentity,
    former: Sequence[FormerResult],
) -> None:
    """Name all objects of one product, in place.

    A series that is as in the newest former revision keeps its UIDs and its revision. Where
    anything in it is new, all of it is: a viewer never mixes the pictures of two answers.

    Parameters
    ----------
    datasets : as built with the identity that `unnamed` returns
    """
    by_series = groupby(
        sorted(datasets, key=lambda one: str(one.SeriesInstanceUID)),
        key=lambda one: str(one.SeriesInstanceUID),
    )
    for lineage, members in by_series:
        series = list(members)
        digests = list(map(content_digest, series))
        if product.kind.row.is_report:
            (digest,) = digests
            names = _names_of_report(product, lineage, digest, identity.revision, former)
        else:
            names = _names_of_series(product, lineage, digests, identity.revision, former)
        for dataset, sop_instance_uid in zip(series, names.sop_instance_uids, strict=True):
            _write(dataset, product, names, sop_instance_uid, identity.created_at)


def _names_of_series(
    product: Product,
    lineage: str,
    digests: Sequence[str],
    revision: int,
    former: Sequence[FormerResult],
) -> _Names:
    newest = newest_of(former, product)
    known = {one.series_instance_uid for one in newest}
    kept_from = (
        made_in
        for made_in in sorted({one.made_in for one in newest})
        if _series_uid(lineage, digests, made_in) in known
    )
    made_in = next(kept_from, revision)
    series = _series_uid(lineage, digests, made_in)
    return _Names(
        series_instance_uid=series,
        sop_instance_uids=tuple(uid_of("instance", series, digest) for digest in digests),
        revision=made_in,
    )


def _series_uid(lineage: str, digests: Sequence[str], revision: int) -> str:
    return uid_of("series", lineage, str(revision), *digests)


def _names_of_report(
    product: Product, lineage: str, digest: str, revision: int, former: Sequence[FormerResult]
) -> _Names:
    """Name a report, of which all revisions share a series: it tells which one it replaces."""
    earlier = [one for one in former if one.product == product]
    for newest in newest_of(former, product):
        for predecessor in (None, *earlier):
            uid = _report_uid(lineage, digest, newest.made_in, predecessor)
            if uid == newest.sop_instance_uid:
                return _Names(
                    series_instance_uid=lineage,
                    sop_instance_uids=(uid,),
                    revision=newest.made_in,
                    predecessor=predecessor,
                )
    predecessor = predecessor_of(former, product)
    return _Names(
        series_instance_uid=lineage,
        sop_instance_uids=(_report_uid(lineage, digest, revision, predecessor),),
        revision=revision,
        predecessor=predecessor,
    )


def _report_uid(lineage: str, digest: str, revision: int, predecessor: FormerResult | None) -> str:
    replaced = predecessor.sop_instance_uid if predecessor is not None else ""
    return uid_of("instance", lineage, digest, str(revision), replaced)


def _write(
    dataset: Dataset,
    product: Product,
    names: _Names,
    sop_instance_uid: str,
    created_at: datetime,
) -> None:
    """Write what is not content. Whatever is written here is in the key of the UIDs, or a time."""
    dataset.SeriesInstanceUID = names.series_instance_uid
    dataset.SOPInstanceUID = sop_instance_uid
    dataset.file_meta.MediaStorageSOPInstanceUID = UID(sop_instance_uid)
    if product.kind.row.is_report:
        dataset.InstanceNumber = names.revision
    else:
        dataset.SeriesDescription = _with_revision(dataset.SeriesDescription, names.revision)
    if names.predecessor is not None:
        dataset.PredecessorDocumentsSequence = references_to_former(
            str(dataset.StudyInstanceUID), [names.predecessor]
        )
    write_creation_times(dataset, created_at)


def _with_revision(description: str, revision: int) -> str:
    end = f", rev {revision}"
    return f"{to_ascii(description, _DESCRIPTION_LENGTH - len(end))}{end}"
