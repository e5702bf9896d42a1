"""Applies updates of patients: their images are entered again as if the archive had sent them."""

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

import structlog

from dicom_node.errors import OutOfResourcesError, RefusedError
from dicom_node.hl7.corrected_file import corrected_file
from dicom_node.hl7.listener import Hl7Listener, kept_updates
from dicom_node.hl7.messages import Message, MessageError
from dicom_node.hl7.patient_updates import PatientUpdate, update_in
from dicom_node.receive.files.file_intake import file_intake
from dicom_node.settings.settings import Settings
from dicom_node.spool.local_disk import Spool
from dicom_node.spool.messages.kept_messages import KeptMessage
from dicom_node.studies.installation_key import installation_key
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.queries.of_patient import images_of_patient
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance, Study
from dicom_node.studies.reach import Reach, UnreachedSpoolError

log = structlog.get_logger("dicom_node.hl7")

_SENDER: Final = "HL7"
_LONGEST_WAIT: Final = timedelta(minutes=10)


class PatientCorrections:
    """The step of the node's thread that applies what the listener has kept.

    Each image whose patient is corrected comes into the spool once more, with the new identity. The
    registrar then does as with a corrected copy that an archive sends: the former one gives way,
    and the study is analysed again. A message is deleted once all copies are safe; after a crash
    it is applied again, and finds those that are corrected already under their new ID.
    """

    def __init__(
        self, settings: Settings, spool: Spool, database: Database, is_ready: Callable[[], bool]
    ) -> None:
        self._settings = settings
        self._spool = spool
        self._database = database
        self._is_ready = is_ready
        self._kept = kept_updates(spool.root)
        self._listener = Hl7Listener(settings.hl7, spool.root)
        self._reach = Reach(spool, settings.other_spools, settings.store)

    def start(self) -> None:
        """Listen, if the settings say so.

        Raises
        ------
        AddressError
        """
        if self._settings.hl7.enabled:
            self._listener.start()

    def stop(self) -> None:
        """Close the port."""
        self._listener.stop()

    def step(self) -> None:
        """Apply what waits, the oldest first.

        Raises
        ------
        OutOfResourcesError
            The disk is full; the message waits.
        """
        if not self._is_ready():
            return
        for message in self._kept.waiting():
            if self._images_still_come(message):
                return  # the next message may be about the same patient
            try:
                update = update_in(
                    Message.parse(message.content),
                    authorities=self._settings.hl7.assigning_authorities,
                )
                if update is not None and not self._applied(update):
                    return
            except MessageError as error:  # the settings have changed since it was taken
                log.warning("hl7_message_dropped", detail=str(error))
            self._kept.drop(message.file)

    def _images_still_come(self, message: KeptMessage) -> bool:
        """Return whether something older waits to be registered, which may be the patient's."""
        is_old = datetime.now(UTC) - message.came_at > _LONGEST_WAIT
        return not is_old and any(
            one.received_at <= message.came_at for one in self._spool.incoming()
        )

    def _applied(self, update: PatientUpdate) -> bool:
        authorities = self._settings.hl7.assigning_authorities
        with self._database.reading() as session:
            self._reach.look(session)
            found = images_of_patient(
                session,
                [(one.value, one.authority) for one in update.former],
                installation_key(self._spool, self._database),
                compares_issuer=not authorities,
            )
        if any(row.state is InstanceState.RECEIVED for _, row in found):
            return False
        corrected, failed = 0, 0
        for study, row in found:
            try:
                corrected += self._correct(study, row, update)
            except OutOfResourcesError as error:
                if not isinstance(error, UnreachedSpoolError):
                    raise
                failed += 1
            except (RefusedError, FileNotFoundError):
                failed += 1
        if corrected:
            log.info("hl7_images_corrected", count=corrected)
        if failed:
            log.warning(
                "hl7_images_not_corrected",
                count=failed,
                detail="their files were removed, or cannot be written anew: have the archive "
                "send the studies again",
            )
        return True

    def _correct(self, study: Study, row: Instance, update: PatientUpdate) -> bool:
        if row.state is InstanceState.REMOVED:
            raise FileNotFoundError(row.sop_instance_uid)
        with corrected_file(self._reach.image(row), update.attributes) as opened:
            if opened is None:
                return False
            meta, stream = opened
            with file_intake(
                self._settings.receive,
                self._spool,
                origin="hl7",
                calling_ae_title=row.calling_ae_title or _SENDER,
            ) as intake:
                intake.take_described(meta, stream, study.study_instance_uid)
        return True
