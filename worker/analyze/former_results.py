"""What an analysis is told of the results of earlier revisions, from ledger, spool and settings."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.routing.route import Recipient
from dicom_node.settings.ways_out.reporting import MessageDestination
from dicom_node.spool.stored_spool import SpoolFiles
from dicom_node.studies.ledger.queries.former_objects import FormerObject
from worker.runtime import Runtime

if TYPE_CHECKING:
    from dicom_node.objects.former_results import FormerResult
    from dicom_node.objects.products import Product


def former_results(
    node: Runtime,
    spool: SpoolFiles,
    objects: Mapping[str, FormerObject],
    recipients: Sequence[Recipient],
) -> "Iterator[FormerResult]":
    """Yield every result of the earlier revisions.

    Parameters
    ----------
    spool : in which they lie
    objects : by SOP Instance UID
    recipients : of the present answer
    """
    from dicom_node.objects.former_results import FormerResult
    from dicom_node.objects.products import Product

    takers = _takers(node, recipients)
    retracted = set(_retracted(spool, objects))
    for former in objects.values():
        made = former.made
        product = Product(kind=ResultKind(made.kind), variant=made.variant)
        yield FormerResult(
            product=product,
            sop_class_uid=made.sop_class_uid,
            sop_instance_uid=made.sop_instance_uid,
            series_instance_uid=made.series_instance_uid,
            made_in=former.made_in,
            kept_until=former.kept_until,
            held_for=frozenset(one for one, names in takers.items() if names <= former.accepted_by),
            is_retracted=made.sop_instance_uid in retracted,
        )


def _takers(node: Runtime, recipients: Sequence[Recipient]) -> "dict[Product, set[str]]":
    """Return the names of the archives that are sent each product."""
    from dicom_node.destination_profiles import products_of, profiles_in_use

    profiles = profiles_in_use(node.settings, recipients)
    takers: dict[Product, set[str]] = {
        product: set() for profile in profiles for product in profile.products
    }
    for one in recipients:
        # A receiver of messages holds no object, and is waited for by none.
        if not isinstance(node.settings.destination(one.name), MessageDestination):
            for product in products_of(one, node.settings):
                takers[product].add(one.name)
    return takers


def _retracted(spool: SpoolFiles, objects: Mapping[str, FormerObject]) -> Iterator[str]:
    """Yield the SOP Instance UIDs that accepted rejection notes name, as far as these are kept."""
    import pydicom

    for former in objects.values():
        is_note = former.made.kind == ResultKind.REJECTION_NOTE and former.accepted_by
        if is_note and spool.holds(former.made.place):
            note = pydicom.dcmread(spool.file(former.made.place))
            for study in note.CurrentRequestedProcedureEvidenceSequence:
                for series in study.ReferencedSeriesSequence:
                    for instance in series.ReferencedSOPSequence:
                        yield str(instance.ReferencedSOPInstanceUID)
