"""The impressions of a CAD report: a container for each lesion (TID 4003, 4004, 4006, 4021)."""

from collections.abc import Mapping, Sequence

from dicom_node.objects.cad_sr import codes as cad_codes
from dicom_node.objects.cad_sr.marks import Mark, composite_concept_of
from dicom_node.objects.content import content_tree
from dicom_node.objects.content.content_tree import Item, Reference, Relationship
from dicom_node.objects.context import ResultContext
from dicom_node.objects.frames import ImageKey, key_of, name_of
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.scores import percent_of, threshold_text
from dicom_node.objects.terms.wording import (
    method_of,
    score_owner_text,
    to_ascii,
    tracking_id_of,
    words_of,
)
from mammoclip_core.findings import Finding, LocalisationMethod, ScoreOf


def algorithm_items(context: ResultContext, *parameters: str) -> list[Item]:
    """Name the weights and their version, as every result must, and parameters (TID 4019)."""
    bundle = context.identity.bundle
    return [
        content_tree.text(
            Relationship.HAS_PROPERTIES, codes.ALGORITHM_NAME, to_ascii(bundle.name, 64)
        ),
        content_tree.text(
            Relationship.HAS_PROPERTIES, codes.ALGORITHM_VERSION, to_ascii(bundle.version, 64)
        ),
        *(
            content_tree.text(
                Relationship.HAS_PROPERTIES, codes.ALGORITHM_PARAMETERS, to_ascii(parameter)
            )
            for parameter in parameters
        ),
    ]


def mark_impression(mark: Mark, entries: Mapping[ImageKey, Item], context: ResultContext) -> Item:
    """Write one mark in a container of its own, since PixelMed judges each by its siblings."""
    return _impression(
        # Workstations draw a mark only if every level above it says so (PS3.4 O.2.2.1).
        content_tree.code(Relationship.HAS_CONCEPT_MOD, codes.RENDERING_INTENT, mark.intent),
        _single_image_finding(Relationship.CONTAINS, mark, entries, context),
    )


def lesion_impression(
    marks: Sequence[Mark], entries: Mapping[ImageKey, Item], context: ResultContext
) -> Item:
    """Write what several images show of one lesion as a composite feature (TID 4004).

    Parameters
    ----------
    marks : two or more, of one number
        The composite is drawn where all of them are.
    """
    optional = [mark.intent for mark in marks if mark.intent == codes.PRESENTATION_OPTIONAL]
    intent = optional[0] if optional else cad_codes.PRESENTATION_REQUIRED
    feature = content_tree.code(
        Relationship.CONTAINS,
        cad_codes.COMPOSITE_FEATURE,
        composite_concept_of(marks),
        [
            content_tree.code(Relationship.HAS_CONCEPT_MOD, codes.RENDERING_INTENT, intent),
            content_tree.code(
                Relationship.HAS_PROPERTIES, cad_codes.COMPOSITE_TYPE, cad_codes.RELATED_SPATIALLY
            ),
            content_tree.code(
                Relationship.HAS_PROPERTIES,
                cad_codes.SCOPE_OF_FEATURE,
                cad_codes.ON_MULTIPLE_IMAGES,
            ),
            *algorithm_items(context),
            *(
                _single_image_finding(Relationship.INFERRED_FROM, mark, entries, context)
                for mark in marks
            ),
        ],
    )
    return _impression(
        content_tree.code(Relationship.HAS_CONCEPT_MOD, codes.RENDERING_INTENT, intent), feature
    )


def _single_image_finding(
    relationship: Relationship,
    mark: Mark,
    entries: Mapping[ImageKey, Item],
    context: ResultContext,
) -> Item:
    children = [
        content_tree.code(
            Relationship.HAS_CONCEPT_MOD,
            codes.RENDERING_INTENT,
            mark.intent,
            _operating_point(mark),
        ),
        content_tree.text(
            Relationship.HAS_OBS_CONTEXT,
            codes.TRACKING_IDENTIFIER,
            tracking_id_of(mark.image, mark.finding, mark.index),
        ),
        content_tree.uid(
            Relationship.HAS_OBS_CONTEXT,
            codes.TRACKING_UID,
            context.uids.tracking_uid(name_of(mark.image), mark.finding, mark.index),
        ),
        *algorithm_items(context, *_parameters(mark)),
        _score(mark),
        *_geometry(mark, entries[key_of(mark.image)]),
    ]
    if mark.concept == cad_codes.SELECTED_REGION:
        children.append(_description(mark))
    return content_tree.code(relationship, cad_codes.SINGLE_IMAGE_FINDING, mark.concept, children)


def certainty_of_impression(finding: Finding) -> Item:
    """Write the score of a finding without a place beside the words that name it (TID 4002)."""
    return content_tree.number(
        Relationship.HAS_PROPERTIES,
        cad_codes.CERTAINTY_OF_IMPRESSION,
        percent_of(finding),
        codes.PERCENT,
    )


def composition_impression(category: str, context: ResultContext) -> Item:
    """Write the composition of the breasts as a coded finding (TID 4007).

    Parameters
    ----------
    category : ``A`` to ``D``
    """
    intent = cad_codes.PRESENTATION_REQUIRED
    return _impression(
        content_tree.code(Relationship.HAS_CONCEPT_MOD, codes.RENDERING_INTENT, intent),
        content_tree.code(
            Relationship.CONTAINS,
            cad_codes.SINGLE_IMAGE_FINDING,
            codes.BREAST_COMPOSITION,
            [
                content_tree.code(Relationship.HAS_CONCEPT_MOD, codes.RENDERING_INTENT, intent),
                *algorithm_items(context),
                content_tree.code(
                    Relationship.HAS_PROPERTIES,
                    codes.BREAST_COMPOSITION,
                    codes.BREAST_COMPOSITIONS[category],
                ),
            ],
        ),
    )


def _impression(intent: Item, finding: Item) -> Item:
    return content_tree.container(
        Relationship.INFERRED_FROM, cad_codes.INDIVIDUAL_IMPRESSION, [intent, finding]
    )


def _parameters(mark: Mark) -> list[str]:
    """Tell a detector's box from a model's attention, and a score that is the mark's own."""
    box = [f"region by {method_of(mark.finding)}"] if _is_box(mark.finding) else []
    if mark.finding.threshold is not None:
        box.append(threshold_text(mark.finding.threshold))
    is_own = mark.region.score_of is ScoreOf.REGION
    return [*box, score_owner_text(mark.region)] if is_own else box


def _is_box(finding: Finding) -> bool:
    return finding.method is LocalisationMethod.BOX and bool(finding.regions)


def _operating_point(mark: Mark) -> list[Item]:
    if mark.operating_point is None:
        return []
    return [
        content_tree.number(
            Relationship.HAS_PROPERTIES,
            cad_codes.OPERATING_POINT,
            mark.operating_point,
            cad_codes.RANGE_FROM_1,
        )
    ]


def _score(mark: Mark) -> Item:
    # A selected region may have a certainty but no probability (TID 4006 row 7).
    concept = (
        codes.CERTAINTY_OF_FINDING
        if mark.concept == cad_codes.SELECTED_REGION
        else codes.score_name_of(mark.finding, mark.region)
    )
    percent = percent_of(mark.finding, mark.region)
    return content_tree.number(Relationship.HAS_PROPERTIES, concept, percent, codes.PERCENT)


def _geometry(mark: Mark, entry: Item) -> list[Item]:
    image = Reference(Relationship.SELECTED_FROM, entry)
    outline = mark.outline.ravel().tolist()
    return [
        content_tree.coordinates(
            Relationship.HAS_PROPERTIES, cad_codes.CENTER, "POINT", mark.center, image
        ),
        content_tree.coordinates(
            Relationship.HAS_PROPERTIES, cad_codes.OUTLINE, "POLYLINE", outline, image
        ),
    ]


def _description(mark: Mark) -> Item:
    words = words_of(mark.finding.name)
    place = "AI detector box" if _is_box(mark.finding) else "AI attention region"
    return content_tree.text(
        Relationship.HAS_PROPERTIES,
        cad_codes.SELECTED_REGION_DESCRIPTION,
        to_ascii(f"{words}, {place}"),
    )
