"""The DICOMweb service beside the node: its order, and the process that serves it."""

from dataclasses import dataclass
from pathlib import Path

from dicom_node.serving.child_server import ChildServer
from dicom_node.settings.tls import TlsSettings
from dicom_node.settings.ways_in.dicomweb import DicomwebSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.local_disk import Spool
from dicom_node.tls import server_context


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """What the process is to do.

    Attributes
    ----------
    spool : folder
    ledger_url : of the ledger, which is only read
    log_format : ``console`` or ``json``
    """

    settings: DicomwebSettings
    receive: ReceiveSettings
    tls: TlsSettings
    spool: Path
    ledger_url: str
    log_format: str


class WebServer(ChildServer):
    """Keeps one process running that serves DICOMweb."""

    def __init__(
        self,
        settings: DicomwebSettings,
        receive: ReceiveSettings,
        spool: Spool,
        *,
        tls: TlsSettings,
        ledger_url: str,
        log_format: str,
    ) -> None:
        order = Order(
            settings=settings,
            receive=receive,
            tls=tls,
            spool=spool.root,
            ledger_url=ledger_url,
            log_format=log_format,
        )
        module = "dicom_node.dicomweb.web_process"
        super().__init__(settings, section="dicomweb", module=module, order=order)
        self._settings = settings
        self._tls = tls

    def start(self) -> None:
        """Open the port and start the process.

        Raises
        ------
        AddressError
            The address is not one of this machine, or the port is in use or privileged.
        SettingsError
            A certificate of [tls] is missing or wrong.
        """
        if self._settings.tls:
            asks = self._settings.require_client_certificate
            server_context(self._tls, asks_for_certificate=asks)
        super().start()
