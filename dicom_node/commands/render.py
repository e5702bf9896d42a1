"""Makes the result objects of a folder of mammograms, without network, services or ledger."""

import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from functools import partial
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from pydicom.dataset import Dataset

from dicom_node.errors import RenderError
from dicom_node.facts.pseudonymised_header import (
    analysis_of,
    may_name_the_patient,
    pseudonymised,
)
from dicom_node.facts.pseudonyms import Pseudonyms
from dicom_node.model_bundle import bundle_folder, warning_of
from dicom_node.objects.elements.local_time import site_time_zone
from dicom_node.objects.identity import UNINSTALLED, ResultIdentity
from dicom_node.objects.products import Profile
from dicom_node.objects.results import build_results
from dicom_node.objects.sc.pixel_encoding import Compression
from dicom_node.objects.sources import SourceInstance
from dicom_node.objects.writing import write_object
from dicom_node.settings.model import ModelSettings
from dicom_node.settings.ways_out.results import ResultSettings
from mammoclip_core.analysis.heatmap_files import read_heatmaps
from mammoclip_core.errors import CoreError
from mammoclip_core.findings import ImageStatus, StudyAnalysis, StudyFindings
from mammoclip_core.findings_document import from_json
from mammoclip_core.images.decoding.data_set import read_dataset
from mammoclip_core.images.decoding.decoding_pool import DecodingPool
from mammoclip_core.images.folder import may_be_file
from mammoclip_core.images.folder_walk import paths_below
from mammoclip_core.images.header.image_kind import image_facts_of, is_mammogram
from mammoclip_core.images.header.own_result import is_own_result
from mammoclip_core.manifest import Manifest, read_manifest

_DEMONSTRATION_USE: Final = "demonstration use"
_REVISION: Final = 1
DEFAULT_RESULTS: Final = ResultSettings()


@dataclass(frozen=True, slots=True, kw_only=True)
class RenderedObject:
    """One result object that was written."""

    file: Path
    kind: str
    variant: str
    sop_class_uid: str
    sop_instance_uid: str
    size_bytes: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """The bundle and how it is run.

    Attributes
    ----------
    bundle : folder, or None for the demonstration bundle
    accept : licence phrase of the bundle; not needed for demonstration use
    tomosynthesis : ``refuse``, ``middle`` or ``max``
        Frames used from a multi-frame image: none, the middle one, or up to 16.
    """

    bundle: Path | None = None
    accept: str | None = None
    device: str = "auto"
    tomosynthesis: str = "refuse"


def render_study(
    study: Path,
    out: Path,
    profile: Profile,
    *,
    model: Model,
    findings_file: Path | None = None,
    results: ResultSettings = DEFAULT_RESULTS,
    pseudonyms: Pseudonyms | None = None,
) -> list[RenderedObject]:
    """Write the result objects of one study into a new or empty folder.

    Parameters
    ----------
    study : folder of DICOM files
    findings_file : a findings document of any model on these images, instead of an analysis
    results : of these the time zone and the serial number of the device hold here too
    pseudonyms : stand in the place of what identifies the patient; None: as the images say

    Raises
    ------
    RenderError
        The study's folder is not there or holds several studies, the folder for the objects is not
        empty, the findings document cannot be read, or no image could be analysed. With
        pseudonyms: words are burnt into an image, which may name the patient.
    ObjectRefusedError
        The findings are not of these images, or no valid object can be made from them.
    """
    if not study.is_dir():
        raise RenderError(
            f"there is no folder {study}. If it was one of the spool, its images were removed "
            "after their time, which 'mammoclip-node show' tells: fetch the study from an "
            "archive, or have it sent to the node again"
        )
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RenderError(f"{out} is not an empty folder: choose a new or empty one")
    sources = _headers_in(study)
    if findings_file is not None:
        analysis = StudyAnalysis(findings=_findings_in(findings_file))
        warning = warning_of(analysis.findings.bundle, _known_bundles(model))
    else:
        _require_one_study(study, sources)
        bundle = bundle_folder(ModelSettings(bundle=model.bundle))
        manifest = _manifest_of(bundle)
        analysis, warning = analyse(study, bundle, manifest, model), manifest.warning
    if not analysis.findings.analysed:
        reasons = sorted({image.reason for image in analysis.findings.images})
        why = "; ".join(reasons) or "the findings document names no image"
        raise RenderError(f"no image of {study} could be analysed: {why}")
    if pseudonyms is not None:
        sources, analysis = _under(pseudonyms, sources, analysis)
    with DecodingPool(doubts=0) as decoding:
        made = build_results(
            list(_sources(sources, analysis.findings, decoding)),
            analysis,
            ResultIdentity(
                bundle=analysis.findings.bundle,
                warning=warning,
                software_version=version("mammoclip-dicom"),
                revision=_REVISION,
                created_at=datetime.now(UTC),
                device_serial_number=results.device_serial_number or UNINSTALLED,
                time_zone=site_time_zone(results.time_zone),
            ),
            profiles=(profile,),
        )
    out.mkdir(parents=True, exist_ok=True)
    written = []
    for number, result in enumerate(made, start=1):
        is_compressed = result.dataset.file_meta.TransferSyntaxUID.is_compressed
        if is_compressed and profile.form.compression is Compression.NONE:
            result.dataset.decompress(generate_instance_uid=False)
        file = out / f"{number:03d}-{result.kind.value}.dcm"
        with file.open("xb") as stream:
            write_object(result.dataset, stream)
        written.append(
            RenderedObject(
                file=file,
                kind=result.kind.value,
                variant=result.product.variant,
                sop_class_uid=str(result.dataset.SOPClassUID),
                sop_instance_uid=str(result.dataset.SOPInstanceUID),
                size_bytes=file.stat().st_size,
            )
        )
    return written


def _under(
    pseudonyms: Pseudonyms, sources: dict[str, tuple[Path, Dataset]], analysis: StudyAnalysis
) -> tuple[dict[str, tuple[Path, Dataset]], StudyAnalysis]:
    if burnt := may_name_the_patient({uid: header for uid, (_, header) in sources.items()}):
        raise RenderError(
            f"{len(burnt)} images say that words are burnt into them (BurnedInAnnotation), which "
            "may name the patient: leave them out, or render without --pseudonyms"
        )
    renamed = {
        pseudonyms.uid(uid): (file, pseudonymised(header, pseudonyms))
        for uid, (file, header) in sources.items()
    }
    return renamed, analysis_of(analysis, pseudonyms)


def _findings_in(file: Path) -> StudyFindings:
    try:
        return from_json(file.read_text(encoding="utf-8"))
    except (CoreError, UnicodeDecodeError) as error:
        raise RenderError(f"{file}: {error}") from error


def _manifest_of(bundle: Path) -> Manifest:
    try:
        return read_manifest(bundle)
    except CoreError as error:
        raise RenderError(str(error)) from error


def _known_bundles(model: Model) -> list[Manifest]:
    folders = dict.fromkeys(
        bundle_folder(ModelSettings(bundle=one)) for one in (model.bundle, None)
    )
    return [_manifest_of(folder) for folder in folders]


def analyse(study: Path, bundle: Path, manifest: Manifest, model: Model) -> StudyAnalysis:
    """Analyse the study in another process: the node never loads the model's libraries."""
    accept = model.accept
    if accept is None and manifest.permitted_use == _DEMONSTRATION_USE:
        accept = manifest.acceptance
    with tempfile.TemporaryDirectory(prefix="mammoclip-render-") as name:
        document, heatmaps = Path(name) / "findings.json", Path(name) / "heatmaps"
        command = [sys.executable, "-m", "mammoclip_core.commands.predict", "image", str(study)]
        command += ["--json-out", str(document), "--heatmaps", str(heatmaps)]
        command += ["--bundle", str(bundle), "--device", model.device]
        command += ["--tomosynthesis", model.tomosynthesis]
        command += ["--accept", accept] if accept else []
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            lines = done.stderr.strip().splitlines()
            silent = f"the analysis of {study} ended with status {done.returncode} and no message"
            raise RenderError(lines[-1] if lines else silent)
        try:
            return StudyAnalysis(
                findings=_findings_in(document), heatmaps=tuple(read_heatmaps(heatmaps))
            )
        except CoreError as error:
            raise RenderError(str(error)) from error


def _headers_in(study: Path) -> dict[str, tuple[Path, Dataset]]:
    """Read the header of each DICOM file in a folder; of equal SOP Instance UIDs the first."""
    headers: dict[str, tuple[Path, Dataset]] = {}
    for file in (path for path in paths_below(study) if may_be_file(path)):
        try:
            header = read_dataset(file)
        # The analysis names what cannot be read.
        except Exception:  # noqa: BLE001, S112  damaged files can raise any error
            continue
        headers.setdefault(str(header.get("SOPInstanceUID", "")), (file, header))
    return headers


def _require_one_study(study: Path, headers: dict[str, tuple[Path, Dataset]]) -> None:
    uids = {
        str(header.get("StudyInstanceUID", ""))
        for _, header in headers.values()
        if is_mammogram(image_facts_of(header)) and not is_own_result(header)
    }
    if len(uids) > 1:
        raise RenderError(
            f"{study} holds images of {len(uids)} studies: choose a folder with one study"
        )


def _sources(
    headers: dict[str, tuple[Path, Dataset]], findings: StudyFindings, decoding: DecodingPool
) -> Iterator[SourceInstance]:
    """Find the images that the findings refer to, each once."""
    wanted = {image.sop_instance_uid: image for image in findings.images}
    for uid, (file, header) in headers.items():
        if uid in wanted:
            analysed = wanted[uid].status is ImageStatus.ANALYSED
            yield SourceInstance(
                dataset=header, pixels=partial(_stored_values, decoding, file) if analysed else None
            )


def _stored_values(decoding: DecodingPool, file: Path, frame: int) -> NDArray[np.integer[Any]]:
    try:
        return decoding.read_image(file, frame).values
    except CoreError as error:
        raise RenderError(str(error)) from error
