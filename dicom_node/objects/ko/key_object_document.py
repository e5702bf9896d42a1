"""What every Key Object Selection of ours is made of, around its title and its references."""

from collections.abc import Sequence

from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.facts.result_kinds import KEY_OBJECT_SELECTION, ResultKind
from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Relationship
from dicom_node.objects.context import ResultContext
from dicom_node.objects.modules.requested_procedures import referenced_requests
from dicom_node.objects.modules.shared_modules import stamp
from dicom_node.objects.sr.observation_items import device_observer, language
from dicom_node.objects.terms import codes


def key_object_document(
    source: Dataset,
    kind: ResultKind,
    context: ResultContext,
    *,
    title: Code,
    description: str,
    references: Sequence[Item],
    evidence: Sequence[Dataset],
    variant: str = "",
) -> Dataset:
    """Write a document of references under a title.

    Parameters
    ----------
    source : whose patient and study are copied
    evidence : items of an evidence sequence that list what is referred to

    References
    ----------
    PS3.3 A.35.4, C.17.6; PS3.16 TID 2010.
    """
    text = content_tree.text(Relationship.CONTAINS, codes.KEY_OBJECT_DESCRIPTION, description)
    root = content_tree.container(
        Relationship.CONTAINS,
        title,
        [language(), *device_observer(context.identity), text, *references],
        template="2010",
    )
    document = content_tree.assembled(root)
    # Key Object Document Series (PS3.3 C.17.6.1)
    document.Modality = "KO"
    document.ReferencedPerformedProcedureStepSequence = []
    # Key Object Document (PS3.3 C.17.6.2)
    document.InstanceNumber = 1
    document.CurrentRequestedProcedureEvidenceSequence = list(evidence)
    # SOP Common (PS3.3 C.12.1)
    document.SOPClassUID = KEY_OBJECT_SELECTION
    document.SOPInstanceUID = context.uids.sop_instance_uid(kind, variant)
    stamp(document, source, kind, context, variant)
    requests = referenced_requests(document, [source])
    if requests:
        document.ReferencedRequestSequence = requests
    return document
