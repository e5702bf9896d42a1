"""Has a destination asked by C-FIND or QIDO-RS for the objects of some deliveries."""

from collections.abc import Sequence

from dicom_node.errors import DestinationDownError, NotOfferedError
from dicom_node.proof.verdicts import Judge, Word
from dicom_node.send.asking import Asker, ObjectToFind
from dicom_node.studies.ledger.proof.proofs import ProofClaim
from dicom_node.studies.ledger.states import DeliveryState


def confirm_by_query(asker: Asker, judge: Judge, claims: Sequence[ProofClaim]) -> None:
    """Ask for all objects of the deliveries, and record what is said of each delivery."""
    words = {
        held.delivery_id: Word(state=DeliveryState.CONFIRMED, by=asker.name) for held in claims
    }
    # A retraction is no proof of anything: archives may hide the note once they have heeded it.
    asked = [
        (words[held.delivery_id], held, one)
        for held in claims
        for one in held.objects
        if not one.is_retraction
    ]
    objects = [
        ObjectToFind(
            key=number,
            sop_class_uid=one.sop_class_uid,
            sop_instance_uid=one.sop_instance_uid,
            series_instance_uid=one.series_instance_uid,
            study_instance_uid=held.study_instance_uid,
        )
        for number, (_, held, one) in enumerate(asked)
    ]
    answered = 0
    try:
        for found in asker.ask(objects) if objects else ():
            word, _, one = asked[found.key]
            answered += 1
            if found.is_held:
                word.proven[one.id] = f"found by {asker.name}"
            else:
                word.missing.add(one.id)
                word.elsewhere += found.is_elsewhere
    except (DestinationDownError, NotOfferedError) as error:
        for word, _, _ in asked[answered:]:
            word.trouble = str(error)
    for held in claims:
        judge.settle(held, words[held.delivery_id])
