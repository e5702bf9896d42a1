"""The SCP of performed procedure steps (MPPS) and of instance availability (IAN)."""

from collections.abc import Callable
from pathlib import Path
from typing import Final

import structlog
from pynetdicom import build_context
from pynetdicom.presentation import PresentationContext

from dicom_node.errors import OutOfResourcesError
from dicom_node.network import UNCOMPRESSED
from dicom_node.receive.announcing.announced_content import (
    MalformedError,
    notification_in,
    step_in,
)
from dicom_node.receive.upper_layer.association import StoreRequest
from dicom_node.receive.upper_layer.commands import CommandField
from dicom_node.receive.upper_layer.negotiation import Request
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.spool.identity_key import IdentityKeyError, identity_key_in
from dicom_node.spool.messages.announced_steps import (
    IN_PROGRESS,
    AnnouncedStep,
    AnnouncedSteps,
    DoubledStepError,
    EndedStepError,
    UnknownStepError,
)

log = structlog.get_logger("dicom_node.listener")

PROCEDURE_STEP: Final = "1.2.840.10008.3.1.2.3.3"
AVAILABILITY: Final = "1.2.840.10008.5.1.4.33"

SUCCESS: Final = 0x0000
INVALID_VALUE: Final = 0x0106
PROCESSING_FAILURE: Final = 0x0110
DUPLICATE_INSTANCE: Final = 0x0111
NO_SUCH_INSTANCE: Final = 0x0112
NO_SUCH_CLASS: Final = 0x0118
MISSING_ATTRIBUTE: Final = 0x0120
RESOURCE_LIMITATION: Final = 0x0213
"""Statuses of N-CREATE and N-SET (PS3.7 10.1.3.1.9 and 10.1.5.1.6, PS3.4 F.7.2)."""

_STATES: Final = {
    "IN PROGRESS": IN_PROGRESS,
    "COMPLETED": "completed",
    "DISCONTINUED": "discontinued",
}

Service = Callable[[StoreRequest, bytes], int]


class Announcing:
    """Takes what peers of the settings announce, and answers once it is safe on disk.

    Parameters
    ----------
    spool : folder
    """

    def __init__(self, settings: ReceiveSettings, spool: Path) -> None:
        self._titles = frozenset(settings.announcers)
        self._spool = spool
        self._steps = AnnouncedSteps(spool)

    def contexts_for(self, request: Request) -> list[PresentationContext]:
        """Return the presentation contexts for those who may announce."""
        if request.calling_ae_title not in self._titles:
            return []
        return [build_context(one, list(UNCOMPRESSED)) for one in (PROCEDURE_STEP, AVAILABILITY)]

    def services_for(self, request: Request) -> dict[int, Service]:
        """Return what answers the requests of a caller; empty for those who may not announce."""
        calling = request.calling_ae_title
        if calling not in self._titles:
            return {}

        def answered(take: Callable[[StoreRequest, bytes, str], int]) -> Service:
            def service(asked: StoreRequest, content: bytes) -> int:
                status = self._guarded(take, asked, content, calling)
                if status != SUCCESS:
                    log.warning(
                        "announcement_refused",
                        calling_ae_title=calling,
                        status=f"0x{status:04X}",
                        sop_class=asked.abstract_syntax,
                    )
                return status

            return service

        return {
            CommandField.N_CREATE: answered(self._create),
            CommandField.N_SET: answered(self._set),
        }

    def _guarded(
        self,
        take: Callable[[StoreRequest, bytes, str], int],
        asked: StoreRequest,
        content: bytes,
        calling: str,
    ) -> int:
        named = asked.command.sop_class_uid.decode("ascii", errors="replace")
        if named != asked.abstract_syntax or named not in {PROCEDURE_STEP, AVAILABILITY}:
            return NO_SUCH_CLASS
        try:
            return take(asked, content, calling)
        except DoubledStepError:
            return DUPLICATE_INSTANCE
        except UnknownStepError:
            return NO_SUCH_INSTANCE
        except (EndedStepError, MalformedError):
            # "Performed Procedure Step Object may no longer be updated" (PS3.4 F.7.2.2.2).
            return PROCESSING_FAILURE
        except OutOfResourcesError:
            return RESOURCE_LIMITATION

    def _create(self, asked: StoreRequest, content: bytes, calling: str) -> int:
        is_step = asked.abstract_syntax == PROCEDURE_STEP
        read = step_in if is_step else notification_in
        said = read(content, asked.transfer_syntax, self._key())
        if not said.studies or (is_step and not said.status):
            return MISSING_ATTRIBUTE
        if is_step and said.status != "IN PROGRESS":
            return INVALID_VALUE
        self._steps.create(
            AnnouncedStep(
                sop_instance_uid=_instance(asked),
                kind="mpps" if is_step else "ian",
                state=_STATES[said.status],
                calling_ae_title=calling,
                studies=said.studies,
                images=said.images or [],
            )
        )
        return SUCCESS

    def _set(self, asked: StoreRequest, content: bytes, _calling: str) -> int:
        if asked.abstract_syntax != PROCEDURE_STEP:
            return NO_SUCH_CLASS
        said = step_in(content, asked.transfer_syntax, None)
        if said.status and said.status not in _STATES:
            return INVALID_VALUE
        state = _STATES[said.status] if said.status else None
        self._steps.change(_instance(asked), state=state, images=said.images)
        return SUCCESS

    def _key(self) -> bytes | None:
        try:
            return identity_key_in(self._spool)
        except IdentityKeyError:
            return None


def _instance(asked: StoreRequest) -> str:
    return asked.command.sop_instance_uid.decode("ascii", errors="replace")
