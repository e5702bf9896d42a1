"""Reads results out of FHIR resources with the models of another project (fhir.resources)."""

from typing import Any

from fhir.resources.bundle import Bundle
from told_results import SIDES, Score, ToldRegion, ToldScore


class ReadBundle:
    """The resources of a transaction, found by the address that others refer to them by."""

    def __init__(self, content: bytes) -> None:
        bundle = Bundle.model_validate_json(content)
        self.entries = bundle.entry
        self._by_name = {one.fullUrl: one.resource for one in bundle.entry}

    def of(self, kind: str) -> list[Any]:
        return [one.resource for one in self.entries if one.resource.get_resource_type() == kind]

    def at(self, reference: Any) -> Any:
        return self._by_name[reference.reference]

    def all_at(self, references: Any) -> list[Any]:
        return [self.at(one) for one in references or []]


def values_in(resource: Any) -> set[Any]:
    """Return every text and number of JSON; an identifier without what says that it is a UID."""
    if isinstance(resource, dict | list):
        below = resource.values() if isinstance(resource, dict) else resource
        return set().union(*map(values_in, below))
    return {resource.removeprefix("urn:oid:") if isinstance(resource, str) else resource}


def code_of(concept: Any) -> str:
    return concept.coding[0].code


def regions_of_bundle(bundle: ReadBundle) -> list[ToldRegion]:
    """Return the measurement groups, each with its image region."""
    told = []
    for group in bundle.of("Observation"):
        if not group.category or code_of(group.category[0]) != "125007":
            continue
        site = bundle.at(group.bodyStructure)
        (region,) = [
            one for one in bundle.all_at(group.derivedFrom) if code_of(one.code) == "111030"
        ]
        (instance,) = region.instance
        (outline,) = instance.imageRegion2D
        assert outline.regionType == "polyline"
        told.append(
            ToldRegion(
                tracking_uid=_tracking_uid(site),
                finding=code_of(group.valueCodeableConcept),
                side=_side(site),
                scores=_scores(bundle, group),
                image=instance.uid,
                outline=tuple(float(one) for one in outline.coordinate),
            )
        )
    return sorted(told)


def scores_of_bundle(bundle: ReadBundle) -> list[ToldScore]:
    """Return the qualitative evaluations of the report that have a score."""
    (report,) = bundle.of("DiagnosticReport")
    told = []
    for one in bundle.all_at(report.result):
        if code_of(one.category[0]) != "C0034375" or not _scores(bundle, one):
            continue
        images = [
            it.instance[0].uid
            for it in bundle.all_at(one.derivedFrom)
            if code_of(it.code) == "121112"
        ]
        told.append(
            ToldScore(
                concept=code_of(one.code),
                value=code_of(one.valueCodeableConcept),
                side=_side(bundle.at(one.bodyStructure)) if one.bodyStructure else "",
                scores=_scores(bundle, one),
                images=tuple(sorted(images)),
            )
        )
    return sorted(told)


def _scores(bundle: ReadBundle, observation: Any) -> tuple[Score, ...]:
    return tuple(
        (code_of(one.code), float(one.valueQuantity.value), one.valueQuantity.code)
        for one in bundle.all_at(observation.hasMember)
        if one.valueQuantity is not None
    )


def _side(site: Any) -> str:
    (structure,) = site.includedStructure
    return SIDES[code_of(structure.laterality)] if structure.laterality else ""


def _tracking_uid(site: Any) -> str:
    (uid,) = [
        one.value
        for one in site.identifier
        if one.type is not None and code_of(one.type) == "112040"
    ]
    return uid.removeprefix("urn:oid:")
