"""Translates the settings' profiles into what the builders make and a delivery sends."""

from collections.abc import Iterable
from typing import Final

from pydicom.uid import JPEGBaseline8Bit, RLELossless

from dicom_node.errors import SettingsError
from dicom_node.facts.result_kinds import (
    COMPREHENSIVE_3D_SR,
    COMPREHENSIVE_SR,
    ResultKind,
    Variant,
)
from dicom_node.network import UNCOMPRESSED
from dicom_node.objects.cad_sr.options import CadOptions, CompositionForm, PlainMark, SpacingUnit
from dicom_node.objects.cad_sr.snomed_rt import CodingScheme
from dicom_node.objects.drawing.heat_colors import PictureStyle
from dicom_node.objects.products import PROFILES, RETRACTION, Product, Profile
from dicom_node.objects.sc.pixel_encoding import Compression, PictureForm
from dicom_node.routing.route import Recipient
from dicom_node.settings.settings import Settings
from dicom_node.settings.ways_out.reporting import MessageDestination
from dicom_node.settings.ways_out.results import DEFAULT_PROFILE, ProfileSettings

RETRACTION_PROFILE: Final = "retraction"
"""That no site asks for: of a study of which every image was rejected, the note alone."""

_COMPRESSED_SYNTAX: Final = {
    Compression.NONE: frozenset[str](),
    Compression.RLE: frozenset({str(RLELossless)}),
    Compression.JPEG: frozenset({str(JPEGBaseline8Bit)}),
}


def profile_named(name: str, settings: Settings | None = None) -> Profile:
    """Return a built-in profile, or one of the settings.

    Raises
    ------
    SettingsError
        The name is unknown.
    """
    own = settings.profiles if settings is not None else {}
    if name == RETRACTION_PROFILE:
        return RETRACTION
    if name in PROFILES:
        return PROFILES[name]
    if name in own:
        return _profile_from(own[name])
    raise SettingsError(
        f"unknown profile {name}: choose one of {', '.join(sorted([*PROFILES, *own]))}"
    )


def profiles_in_use(
    settings: Settings, recipients: Iterable[Recipient] | None = None
) -> tuple[Profile, ...]:
    """Return the profile of each recipient, each once; without recipients the default one.

    Parameters
    ----------
    recipients : by default every destination of the settings
    """
    if recipients is None:
        recipients = map(Recipient, settings.default_recipients)
    names = [name for one in recipients if (name := _profile_of(one, settings))]
    found = (profile_named(name, settings) for name in names or [DEFAULT_PROFILE])
    return tuple(dict.fromkeys(found))


def products_wanted_by(
    destination: str, settings: Settings, profile: str = ""
) -> set[tuple[str, str]]:
    """Return kind and variant of what a destination is sent; nothing if it is not configured.

    Parameters
    ----------
    profile : that a rule says; empty for the destination's own
    """
    products = products_of(Recipient(destination, profile), settings)
    return {(product.kind.value, product.variant) for product in products}


def products_of(recipient: Recipient, settings: Settings) -> frozenset[Product]:
    """Return what a recipient is sent, or its messages are made of; nothing if not configured.

    Raises
    ------
    SettingsError
        The profile is unknown, or has no report to make a message of.
    """
    name = _profile_of(recipient, settings)
    if name is None:
        return frozenset()
    products = frozenset(profile_named(name, settings).products)
    if not isinstance(settings.destination(recipient.name), MessageDestination):
        return products
    reports = {one for one in products if one.kind is ResultKind.MEASUREMENT_REPORT}
    if not reports:
        raise SettingsError(
            f"profile {name} has no measurement report, of which the messages to {recipient.name} "
            "are made: name another profile in the rule or under [[destinations]]"
        )
    return frozenset(reports)


def is_sent_uncompressed(recipient: Recipient, settings: Settings) -> bool:
    """Return whether pictures go to a recipient decompressed, whatever it would accept.

    Raises
    ------
    SettingsError
        The profile is unknown.
    """
    name = _profile_of(recipient, settings)
    if name is None:
        return False
    return profile_named(name, settings).form.compression is Compression.NONE


def presentation_contexts_of(profile: Profile) -> set[tuple[str, str]]:
    """Return the (SOP Class UID, transfer syntax) pairs that objects of a profile are sent in."""
    contexts = set()
    for kind in profile.objects:
        row = kind.row
        sop_classes = (
            (profile.report_sop_class_uid,)
            if row.variant is Variant.EVIDENCE
            else row.sop_class_uids
        )
        syntaxes = set(UNCOMPRESSED)
        if row.variant is Variant.PICTURE_FORM:
            syntaxes |= _COMPRESSED_SYNTAX[profile.form.compression]
        contexts |= {(sop_class, syntax) for sop_class in sop_classes for syntax in syntaxes}
    return contexts


def _profile_of(recipient: Recipient, settings: Settings) -> str | None:
    """Return the name of what a recipient is sent; None if it is not in the settings."""
    configured = settings.destination(recipient.name)
    return None if configured is None else recipient.profile or configured.profile


def _profile_from(own: ProfileSettings) -> Profile:
    return Profile(
        objects=frozenset(ResultKind(kind) for kind in own.objects),
        report_sop_class_uid=(
            COMPREHENSIVE_3D_SR if own.report == "comprehensive_3d" else COMPREHENSIVE_SR
        ),
        cad=CadOptions(
            coding=CodingScheme(own.coding),
            spacing_unit=SpacingUnit(own.spacing_unit),
            composition=CompositionForm(own.composition),
            plain_mark=PlainMark(own.plain_mark),
        ),
        form=PictureForm(
            style=PictureStyle(own.picture_style),
            compression=Compression(own.picture_compression),
        ),
    )
