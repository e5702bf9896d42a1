"""What made a result: this software, and the algorithm that it ran."""

from datetime import datetime
from typing import Final

from pydicom.dataelem import DataElement
from pydicom.dataset import Dataset
from pydicom.sr.coding import Code

from dicom_node.facts.own_result import MANUFACTURER, MODEL_NAME
from dicom_node.objects.identity import ResultIdentity
from dicom_node.objects.terms import codes
from dicom_node.objects.terms.codes import coded
from dicom_node.objects.terms.wording import RESEARCH_MARK, to_ascii, weights_text

PROCESSING_ALGORITHM: Final = Code("Newcode1", "99IHE", "Processing Algorithm")
"""Purpose of an algorithm's item by IHE AI Results: DICOM has no code of its own for it (CID 7005).

The profile's scheme 99IHE_1630 is written without its last part, since a private designator is
alphanumeric: the newest dciodvfy refuses any other sign."""

_WARNING_LENGTH: Final = 480
_WEIGHTS_LENGTH: Final = 400
"""Characters of what a bundle says of itself: with mark and digest both fit into an ST of 1024."""


def contributing_equipment(identity: ResultIdentity, created_at: datetime) -> list[Dataset]:
    """Return an item for the software of this installation and one for the bundle that it ran.

    Parameters
    ----------
    created_at : in the offset from UTC that the object states

    References
    ----------
    PS3.3 C.12.1.1.5; IHE RAD AI Results, Contributing Equipment.
    """
    weights = to_ascii(weights_text(identity), _WEIGHTS_LENGTH)
    warning = to_ascii(identity.warning, _WARNING_LENGTH).rstrip(".")
    statements = (RESEARCH_MARK, warning, weights)
    software = _item(codes.PROCESSING_EQUIPMENT, identity, created_at)
    software.ManufacturerModelName = MODEL_NAME
    software.DeviceSerialNumber = identity.device_serial_number
    software.SoftwareVersions = software_versions(identity)
    software.ContributionDescription = (
        f"{'. '.join(filter(None, statements))} SHA-256 {to_ascii(identity.bundle.sha256, 64)}"
    )
    algorithm = _item(PROCESSING_ALGORITHM, identity, created_at)
    algorithm.ManufacturerModelName = to_ascii(identity.bundle.name, 64)
    algorithm.DeviceSerialNumber = to_ascii(identity.weights_number)
    algorithm.SoftwareVersions = to_ascii(identity.bundle.version, 64)
    algorithm.ContributionDescription = f"{RESEARCH_MARK}. {weights}"
    return [software, algorithm]


def software_versions(identity: ResultIdentity) -> list[str]:
    """Return the versions of software and weights, each within 64 characters."""
    return [
        to_ascii(identity.software_version, 64),
        to_ascii(f"{identity.bundle.name} {identity.bundle.version}", 64),
    ]


def _item(purpose: Code, identity: ResultIdentity, created_at: datetime) -> Dataset:
    item = Dataset()
    item.PurposeOfReferenceCodeSequence = [coded(purpose)]
    item.Manufacturer = MANUFACTURER
    item.add(DataElement("DeviceUID", "UI", identity.device_uid))
    # In the object's own offset from UTC: dcmtk 3.6.7 refuses a time that states one itself.
    item.ContributionDateTime = created_at.strftime("%Y%m%d%H%M%S.%f")
    return item
