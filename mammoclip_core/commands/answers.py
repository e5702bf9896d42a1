"""What mammoclip-predict gives of each study: a table or a document, heatmaps, pictures."""

from collections.abc import Sequence
from pathlib import Path

import typer

from mammoclip_core.analysis.engine import Engine, StudyRequest
from mammoclip_core.analysis.heatmap_files import write_heatmaps
from mammoclip_core.commands.progress_bar import counted
from mammoclip_core.commands.tables import findings_table, show
from mammoclip_core.errors import CoreError
from mammoclip_core.findings import StudyAnalysis
from mammoclip_core.findings_document import to_json


class Answers:
    """The answers for studies, given as they come.

    Parameters
    ----------
    warning : words of the bundle
    heatmaps, overlay : folder or None
        Of one study the folder itself is written to, of several its ``study-N``.
    as_json : whether tables are left away

    Attributes
    ----------
    failures : list of str
        What went wrong, each with its study; it was printed to standard error.
    """

    def __init__(
        self,
        requests: Sequence[StudyRequest],
        warning: str,
        *,
        heatmaps: Path | None,
        overlay: Path | None,
        as_json: bool,
    ) -> None:
        self._requests = requests
        self._warning = warning
        self._heatmaps = heatmaps
        self._overlay = overlay
        self._as_json = as_json
        self._documents: list[str] = []
        self.failures: list[str] = []

    def give(self, engine: Engine) -> None:
        """Analyse all studies; one that fails does not stop the next."""
        with counted(sum(len(one.images) for one in self._requests), "images") as on_image:
            analyses = engine.analyze_studies(self._requests, on_image)
            for number, (request, analysis) in enumerate(
                zip(self._requests, analyses, strict=True), start=1
            ):
                try:
                    self._give_one(request, analysis, number)
                except (CoreError, OSError) as error:
                    self._fail(request, str(error))

    def document(self) -> str:
        """Return the findings document, or a JSON list of one for each of several studies."""
        if len(self._requests) == 1:
            return self._documents[0]
        return "[" + ",\n".join(self._documents) + "]"

    def _give_one(self, request: StudyRequest, analysis: StudyAnalysis, number: int) -> None:
        self._documents.append(to_json(analysis.findings))
        if not self._as_json:
            if len(self._requests) > 1:
                typer.echo(f"Study {number}: {request.study_instance_uid}")
            show(findings_table(analysis.findings, self._warning))
        if not analysis.findings.analysed:
            self._fail(request, "no image could be analysed: the findings give each one's reason")
        if self._heatmaps is not None:
            write_heatmaps(analysis.heatmaps, self._folder(self._heatmaps, number))
        if self._overlay is not None:
            from mammoclip_core.commands.overlays import write_overlays

            paths = {image.sop_instance_uid: image.path for image in request.images}
            folder = self._folder(self._overlay, number)
            write_overlays(paths, analysis, self._warning, folder)

    def _folder(self, folder: Path, number: int) -> Path:
        return folder / f"study-{number}" if len(self._requests) > 1 else folder

    def _fail(self, request: StudyRequest, reason: str) -> None:
        which = f"study {request.study_instance_uid}: " if len(self._requests) > 1 else ""
        self.failures.append(f"{which}{reason}")
        typer.echo(self.failures[-1], err=True)
