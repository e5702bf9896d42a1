"""A process with an engine of its own, which answers units of studies as they are sent to it."""

import multiprocessing
import signal
from collections.abc import Sequence
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Literal

from mammoclip_core.analysis.engine import Engine, StudyRequest
from mammoclip_core.analysis.study_files import is_wanted, requests_of
from mammoclip_core.engines.choice import load_engine, require_torch
from mammoclip_core.engines.computing_options import ComputingOptions, EngineName
from mammoclip_core.errors import CoreError, PixelError
from mammoclip_core.findings import StudyFindings
from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from mammoclip_core.images.folder import ImageFile, PassedOver, header_of
from mammoclip_core.images.selection import Generated2D
from mammoclip_core.images.tomosynthesis import Tomosynthesis
from mammoclip_core.many_studies.journal import Rows, StudyToDo, as_text, packed
from mammoclip_core.many_studies.rows import identity_of, rows_of


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineOrder:
    """What an engine process computes, and how.

    Attributes
    ----------
    prompts : file of prompts to use instead of the bundle's, or None
    device : as torch names it, or ``auto``
    mode : of the pixel preparation; None for the bundle's
    """

    bundle: Path
    device: str = "auto"
    engine: EngineName = EngineName.AUTO
    options: ComputingOptions = field(default_factory=ComputingOptions)
    prompts: Path | None = None
    mode: Literal["published", "clinical"] | None = None
    tomosynthesis: Tomosynthesis = Tomosynthesis.REFUSE
    generated_2d: Generated2D = Generated2D.IF_ALONE


@dataclass(frozen=True, slots=True, kw_only=True)
class Ready:
    """The engine is loaded: what every row says of it."""

    identity: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Failed:
    """The engine does not load, or a unit could not be answered."""

    reason: str


Done = list[tuple[int, bytes]]
"""The rows of each study by its number, as `mammoclip_core.many_studies.journal.packed`."""


class EngineProcess:
    """The near end of one process.

    It ends when its connection does: no kill of this process leaves it behind.
    """

    def __init__(self, order: EngineOrder) -> None:
        context = multiprocessing.get_context("spawn")
        self.connection, far = context.Pipe()
        self.order = order
        self.unit: tuple[StudyToDo, ...] = ()
        self._process = context.Process(target=_serve, args=(far, order), name="engine")
        self._process.start()
        far.close()

    def send(self, unit: tuple[StudyToDo, ...]) -> None:
        """Have studies answered."""
        self.unit = unit
        # A process that has just died is noticed when its answer is waited for.
        try:
            self.connection.send(unit)
        except BrokenPipeError:
            return

    def receive(self) -> Ready | Failed | Done:
        """Wait for an answer; a process that has died is a failure, too."""
        try:
            answer: Ready | Failed | Done = self.connection.recv()
        except (EOFError, ConnectionResetError):
            self._process.join()
            return Failed(reason=f"the process ended with status {self._process.exitcode}")
        return answer

    def close(self) -> None:
        """End the process, in the middle of its work too."""
        self.connection.close()
        self._process.terminate()
        self._process.join()
        self._process.close()


def _serve(connection: Connection, order: EngineOrder) -> None:
    # Ctrl-C goes to all processes of a terminal: the one that asks ends this one.
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        engine = _loaded(order)
    except CoreError as error:
        connection.send(Failed(reason=str(error)))
        return
    with DecodingPool(doubts=0) as decoding:
        engine.read_by(decoding.read_image)
        connection.send(Ready(identity=_identity(engine, order)))
        while True:
            try:
                unit: tuple[StudyToDo, ...] = connection.recv()
            except EOFError:
                return
            try:
                answer: Done | Failed = answered(engine, unit, order)
            except (CoreError, OSError) as error:
                answer = Failed(reason=str(error))
            try:
                connection.send(answer)
            except BrokenPipeError:
                return


def _loaded(order: EngineOrder) -> Engine:
    if order.prompts is None:
        engine = load_engine(
            order.bundle, engine=order.engine, device=order.device, options=order.options
        )
    else:
        require_torch("asking other prompts than the bundle's")
        from mammoclip_core.bundles.prompt_file import read_prompt_file
        from mammoclip_core.engines.prompted_engine import load_prompted_engine

        prompts = read_prompt_file(order.prompts)
        engine = load_prompted_engine(order.bundle, prompts, order.device, order.options)
    if order.mode is not None:
        engine.prepare_as(order.mode)
    return engine


def _identity(engine: Engine, order: EngineOrder) -> dict[str, str]:
    nothing = StudyRequest(study_instance_uid="", images=(), tomosynthesis=order.tomosynthesis)
    return identity_of(engine.analyze(nothing).findings)


def answered(engine: Engine, unit: Sequence[StudyToDo], order: EngineOrder) -> Done:
    """Answer a unit of studies; its images share batches with no other unit's."""
    requests: list[StudyRequest] = []
    places: list[tuple[StudyToDo, int, Rows]] = []
    for study in unit:
        found, lost = _request(study, order)
        places.append((study, len(found), lost))
        requests.extend(found)
    analyses = engine.analyze_studies(requests)
    paths = {
        image.sop_instance_uid: as_text(str(image.path))
        for request in requests
        for image in request.images
    }
    done: Done = []
    for study, count, lost in places:
        rows: Rows = []
        for _ in range(count):
            findings: StudyFindings = next(analyses).findings
            rows += rows_of(as_text(study.study), findings, paths)
        done.append((study.number, packed(rows + lost)))
    return done


def _request(study: StudyToDo, order: EngineOrder) -> tuple[tuple[StudyRequest, ...], Rows]:
    """Choose a study's images, and say which files are not among them any more."""
    images: list[ImageFile] = []
    lost: list[PassedOver] = []
    for name, is_named in study.files:
        path = Path(name)
        try:
            file = ImageFile(path=path, header=header_of(path), is_named=is_named)
        except (PixelError, OSError) as error:
            lost.append(PassedOver(path=path, reason=str(error)))
            continue
        if is_wanted(file):
            images.append(file)
        else:
            lost.append(PassedOver(path=path, reason="a file that has changed since it was found"))
    found = requests_of(images, order.tomosynthesis, order.generated_2d)
    return found.requests, [
        {
            "study": as_text(study.study),
            "level": "file",
            "file": as_text(str(one.path)),
            "status": "passed_over",
            "reason": one.reason,
        }
        for one in (*lost, *found.passed_over)
    ]
