"""What every object of one answer says of software, model, device and site."""

from datetime import UTC, datetime
from importlib.metadata import version
from typing import TYPE_CHECKING

from dicom_node.spool.identity_key import serial_number_of
from dicom_node.studies.installation_key import serial_number
from worker.runtime import Runtime

if TYPE_CHECKING:
    from dicom_node.objects.identity import ResultIdentity
    from mammoclip_core.findings import BundleIdentity


def result_identity(
    node: Runtime, revision: int, bundle: "BundleIdentity", *, warning: str
) -> "ResultIdentity":
    """Return what results made now say of what made them.

    Parameters
    ----------
    warning : of the weights; empty without one
    """
    from dicom_node.facts.result_kinds import series_numbers_from
    from dicom_node.objects.elements.local_time import site_time_zone
    from dicom_node.objects.identity import ResultIdentity

    settings = node.settings.results
    return ResultIdentity(
        bundle=bundle,
        warning=warning,
        software_version=version("mammoclip-dicom"),
        revision=revision,
        created_at=datetime.now(UTC),
        device_serial_number=settings.device_serial_number or _serial_number(node),
        time_zone=site_time_zone(settings.time_zone),
        series_numbers=series_numbers_from(settings.series_number_base),
    )


def _serial_number(node: Runtime) -> str:
    # From the key itself only where an earlier release's node has not told the ledger.
    return serial_number(node.database) or serial_number_of(node.spool)
