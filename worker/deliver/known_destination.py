"""A destination as a worker reaches it: that of canary studies is where the node listens now."""

from dicom_node.settings.operation.canary import CANARY_DESTINATION
from dicom_node.settings.ways_out.destinations import AnyDestination
from dicom_node.studies.ledger.canary_runs import canary_address
from worker.runtime import Runtime


def known_destination(node: Runtime, name: str) -> AnyDestination | None:
    """Return a destination by its name; None if the settings do not have it."""
    found = node.settings.destination(name)
    if found is None or name != CANARY_DESTINATION:
        return found
    with node.database.reading() as session:
        address = canary_address(session)
    if address is None:
        return found
    host, port = address
    return found.model_copy(update={"host": host, "port": port})
