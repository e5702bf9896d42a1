"""The process of the DICOMweb service: python -m dicom_node.dicomweb.web_process DESCRIPTOR."""

from typing import Final

from dicom_node.dicomweb.application import Service
from dicom_node.dicomweb.reading import Shelf
from dicom_node.dicomweb.web_server import Order
from dicom_node.receive.files.file_intake import prepare_spool
from dicom_node.serving.http_process import Bounds, order_of_the_node, serve
from dicom_node.spool.local_disk import Spool
from dicom_node.studies.ledger.database import Database

MAXIMUM_MEMORY_BYTES: Final = 2**30
"""Data of the process; a request that needs more fails."""


def main() -> None:
    """Serve until the node ends this process."""
    order: Order = order_of_the_node(memory_bytes=MAXIMUM_MEMORY_BYTES)
    spool = Spool(order.spool, minimum_free_bytes=order.receive.minimum_free_bytes)
    prepare_spool(spool)
    service = Service(
        settings=order.settings,
        receive=order.receive,
        spool=spool,
        shelf=Shelf(Database(order.ledger_url), spool),
    )
    serve(
        service.application(),
        Bounds(
            tls=order.tls if order.settings.tls else None,
            asks_for_certificate=order.settings.require_client_certificate,
            maximum_connections=order.settings.maximum_connections,
            request_timeout_seconds=order.receive.request_timeout_seconds,
        ),
    )


if __name__ == "__main__":
    main()
