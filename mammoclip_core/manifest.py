"""The manifest of a bundle: `bundle.json` as frozen dataclasses, without weights."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Final

from mammoclip_core.errors import BundleError, LicenceError
from mammoclip_core.findings import MAMMOGRAMS, BundleIdentity, FindingSource

FORMAT: Final = 1
MANIFEST_NAME: Final = "bundle.json"
WEIGHTS_NAME: Final = "model.safetensors"
PROMPTS_NAME: Final = "prompts.safetensors"
TOKENIZER_FOLDER: Final = "tokenizer"

PUBLISHED_SCORING: Final = "published"
TEMPERED_SCORING: Final = "tempered"
SCORINGS: Final = (PUBLISHED_SCORING, TEMPERED_SCORING)
"""Softmax over cosines as they are, or over cosines times the model's temperature factor."""

MAX_AGGREGATION: Final = "max"
MEAN_AGGREGATION: Final = "mean"
AGGREGATIONS: Final = (MAX_AGGREGATION, MEAN_AGGREGATION)
PUBLISHED_MODE: Final = "published"
CLINICAL_MODE: Final = "clinical"
PREPROCESSING_MODES: Final = (PUBLISHED_MODE, CLINICAL_MODE)
"""The header's display ignored, as the published weights were trained; or respected."""

UNRESTRICTED_USE: Final = "unrestricted use"
"""The one permitted use that needs no acceptance in the settings."""


@dataclass(frozen=True, slots=True, kw_only=True)
class EncoderEntry:
    """One image encoder of the bundle.

    Attributes
    ----------
    name : name in the bundle, for example ``image``
    architecture : timm model name, for example ``tf_efficientnet_b5``
    padding : ``published`` or ``dynamic``
        Whether stride-2 convolutions pad as the published weights expect.
    """

    name: str
    architecture: str
    padding: str


@dataclass(frozen=True, slots=True, kw_only=True)
class HeadEntry:
    """A fine-tuned linear classifier of the bundle.

    Attributes
    ----------
    name : name in the bundle, for example ``cancer``
    encoder : name of its image encoder
        Fine-tuning changes the encoder, so each head brings its own.
    outputs : 1 or 4
        One logit, or one a density category.
    """

    name: str
    encoder: str
    outputs: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class DetectorEntry:
    """A detector of the bundle, of one class, with an encoder of its own.

    Attributes
    ----------
    name : name in the bundle, for example ``mass``
    finding : name of the finding whose boxes it reports
    mean_average_precision : as its file states, or None
        Measured by its authors on images that all show the finding: rates location, not presence.
    """

    name: str
    finding: str
    architecture: str
    mean_average_precision: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class FactorEntry:
    """Mammo-FActOR weights of one finding, on the feature map of the first encoder.

    Attributes
    ----------
    rows, columns : cells of the feature map
    size : dimensions in which channels and attribute are compared
    top_channels : channels whose maps make the heatmap
    """

    finding: str
    rows: int
    columns: int
    size: int = 512
    top_channels: int = 3


@dataclass(frozen=True, slots=True, kw_only=True)
class Preprocessing:
    """How pixels become the model's input.

    Attributes
    ----------
    mode : ``published`` or ``clinical``
    rows, columns : model input size in pixels
    mean, std : of the input after scaling to [0, 1]
    """

    mode: str
    rows: int
    columns: int
    mean: float
    std: float


@dataclass(frozen=True, slots=True, kw_only=True)
class OperatingPoint:
    """What a threshold was measured to give, on which data."""

    sensitivity: float
    specificity: float
    data: str


@dataclass(frozen=True, slots=True, kw_only=True)
class FindingEntry:
    """One finding that the bundle can answer.

    Attributes
    ----------
    name : stable word, for example ``mass``
    code : ``scheme|value|meaning``
    prompts : texts
        Negative first, then positive, for a pair; one a class, in order, for a class set. Their
        embeddings are the rows of the tensor `name` in ``prompts.safetensors``. A finding that a
        head answers keeps them, for whoever wants to compare.
    head : name of the head that answers, where the source is one
    threshold : [0, 1]
        A score at or above it is reported; not used for a class set.
    calibration : Platt scaling (slope, intercept) of the logit, or None
    calibration_domain : ``mammograms``, ``phantoms`` or other words; empty if not stated
    own_prompts : bool
        True where the prompts are this project's and published nowhere.
    classes : 0, or the number of a head's classes
    labels : names of the classes of a class set; empty for the density categories
    negative_labels : those of `labels` that are no finding, beside what their spelling tells
    ensembles : groups of texts, one for each of `prompts`
        Whose embeddings were averaged; empty where each prompt stands alone.
    isotonic : (score, probability) pairs, both increasing
        Calibration by isotonic regression, linear between the pairs, in place of `calibration`.
    aggregation : ``max`` or ``mean``
        Of a breast's images: which score speaks for the breast.
    """

    name: str
    code: str
    source: FindingSource
    prompts: tuple[str, ...] = ()
    head: str | None = None
    threshold: float = 0.5
    calibration: tuple[float, float] | None = None
    operating_point: OperatingPoint | None = None
    own_prompts: bool = False
    classes: int = 0
    labels: tuple[str, ...] = ()
    ensembles: tuple[tuple[str, ...], ...] = ()
    isotonic: tuple[tuple[float, float], ...] = ()
    aggregation: str = MAX_AGGREGATION
    negative_labels: tuple[str, ...] = ()
    calibration_domain: str = ""

    def __post_init__(self) -> None:
        if unknown := set(self.negative_labels) - set(self.labels):
            raise ValueError(f"{self.name}: negative labels {sorted(unknown)} are no labels of it")
        if self.aggregation not in AGGREGATIONS:
            raise ValueError(f"{self.name}: aggregation {self.aggregation!r}")
        if self.isotonic and self.calibration is not None:
            raise ValueError(f"{self.name}: two calibrations")
        knots, values = ([pair[place] for pair in self.isotonic] for place in (0, 1))
        rises = knots == sorted(set(knots)) and values == sorted(values)
        if not rises or any(not 0.0 <= value <= 1.0 for value in values):
            raise ValueError(f"{self.name}: an isotonic calibration rises within [0, 1]")

    @property
    def is_calibrated(self) -> bool:
        """Tell whether a score of a mammogram becomes a probability, and not of a phantom alone."""
        is_fitted = self.calibration is not None or bool(self.isotonic)
        return is_fitted and self.calibration_domain == MAMMOGRAMS

    @property
    def is_density(self) -> bool:
        """Tell whether the classes are the density categories A to D."""
        return self.is_class_set and not self.labels

    @property
    def is_class_set(self) -> bool:
        """Tell whether the answer is one of several classes (density) and not a yes or no."""
        return max(len(self.prompts), self.classes) > 2


@dataclass(frozen=True, slots=True, kw_only=True)
class Manifest:
    """All that a node needs to know of a bundle without opening its weights.

    Attributes
    ----------
    weights_sha256 : 64 hexadecimal digits
        Of ``model.safetensors``.
    licence : SPDX identifier where there is one
    permitted_use : words
        ``unrestricted use``, ``research use``, ``demonstration use`` and the like.
    trained_on : words
        ``nothing`` for random weights.
    warning : words that every object, log line and table carries; empty if none
    encoders : tuple of EncoderEntry
        The first one is the prompts'; each further one is a head's.
    projection : ``linear``, ``mlp`` or ``none``
        Form of the layer between an encoder and the common space.
    sources : SHA-256 by what it was used for
        Of the checkpoints that the bundle was converted from; the commit of a model hub that
        they were fetched at.
    left_out : names of tensors
        That the checkpoint holds and the bundle does not: a head that predicts masked words, a
        text encoder that nobody knows.
    scoring : ``published`` or ``tempered``
    attribution : ``cam``, ``grad_cam`` or ``none``
        How findings without an entry in `factor` or `detectors` are localised.
    beyond_the_paper : settings of pretraining by name
        That the paper does not have, for example ``label_weight``: ``1``.
    """

    name: str
    version: str
    weights_sha256: str
    licence: str
    permitted_use: str
    trained_on: str
    intended_use: str
    warning: str = ""
    encoders: tuple[EncoderEntry, ...]
    text_encoder: Mapping[str, Any] = field(default_factory=dict)
    projection_size: int = 512
    logit_scale: float = 1.0
    preprocessing: Preprocessing
    findings: tuple[FindingEntry, ...]
    attribution: str = "cam"
    projection: str = "linear"
    heads: tuple[HeadEntry, ...] = ()
    sources: Mapping[str, str] = field(default_factory=dict)
    left_out: tuple[str, ...] = ()
    scoring: str = PUBLISHED_SCORING
    factor: tuple[FactorEntry, ...] = ()
    detectors: tuple[DetectorEntry, ...] = ()
    beyond_the_paper: Mapping[str, str] = field(default_factory=dict)
    format: int = FORMAT

    @property
    def identity(self) -> BundleIdentity:
        """Return the identity, terms and warning that findings and objects state."""
        return BundleIdentity(
            name=self.name,
            version=self.version,
            sha256=self.weights_sha256,
            licence=self.licence,
            permitted_use=self.permitted_use,
            warning=self.warning,
        )

    def with_thresholds(self, thresholds: Mapping[str, float]) -> "Manifest":
        """Return the manifest with other thresholds of some findings, by their names."""
        findings = tuple(
            replace(entry, threshold=thresholds.get(entry.name, entry.threshold))
            for entry in self.findings
        )
        return replace(self, findings=findings)

    @property
    def acceptance(self) -> str | None:
        """Return the words by which a site accepts the terms, or None where it need not."""
        if self.permitted_use == UNRESTRICTED_USE:
            return None
        return f"{self.licence} {self.permitted_use}"

    def detector_of(self, entry: FindingEntry) -> DetectorEntry | None:
        """Return the detector that reports a finding's boxes, or None."""
        return next((item for item in self.detectors if item.finding == entry.name), None)

    def encoder_of(self, entry: FindingEntry) -> str:
        """Return the name of the image encoder behind a finding; empty if the bundle lists none."""
        if entry.source is FindingSource.DETECTOR and entry.head:
            return entry.head
        for head in self.heads:
            if head.name == entry.head:
                return head.encoder
        return self.encoders[0].name if self.encoders else ""

    def finding(self, name: str) -> FindingEntry:
        """Return the entry of one finding.

        Raises
        ------
        KeyError
            The bundle has no finding of this name.
        """
        for entry in self.findings:
            if entry.name == name:
                return entry
        raise KeyError(name)


def read_manifest(bundle: Path) -> Manifest:
    """Read ``bundle.json`` of a bundle folder.

    Raises
    ------
    BundleError
        The folder has no manifest, or it is not of the known format.
    """
    path = bundle / MANIFEST_NAME
    try:
        return manifest_from(json.loads(path.read_text(encoding="utf-8")))
    except OSError as error:
        raise BundleError(f"{bundle} is not a bundle: {error.strerror}: {path.name}") from error
    except (KeyError, TypeError, ValueError, RecursionError) as error:
        raise BundleError(f"{path} is not a manifest of format {FORMAT}: {error}") from error


def manifest_from(document: Mapping[str, Any]) -> Manifest:
    """Build a manifest from its JSON document; raises KeyError, TypeError or ValueError."""
    if document["format"] != FORMAT:
        raise ValueError(f"format {document['format']!r}")
    values = dict(document)
    values["encoders"] = tuple(EncoderEntry(**entry) for entry in document["encoders"])
    values["heads"] = tuple(HeadEntry(**entry) for entry in document.get("heads", ()))
    values["detectors"] = tuple(DetectorEntry(**entry) for entry in document.get("detectors", ()))
    values["factor"] = tuple(FactorEntry(**entry) for entry in document.get("factor", ()))
    if document.get("scoring", PUBLISHED_SCORING) not in SCORINGS:
        raise ValueError(f"scoring {document['scoring']!r}")
    values["left_out"] = tuple(document.get("left_out", ()))
    values["beyond_the_paper"] = dict(document.get("beyond_the_paper", {}))
    values["preprocessing"] = Preprocessing(**document["preprocessing"])
    values["findings"] = tuple(map(_finding_entry_from, document["findings"]))
    return Manifest(**values)


def write_manifest(manifest: Manifest, bundle: Path) -> None:
    """Write ``bundle.json`` into a bundle folder."""
    text = json.dumps(asdict(manifest), indent=2, ensure_ascii=False)
    (bundle / MANIFEST_NAME).write_text(text + "\n", encoding="utf-8")


def require_empty(out: Path) -> None:
    """Refuse a folder for a new bundle that is not empty; raises BundleError."""
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise BundleError(f"{out} is not empty: name another folder")


def require_acceptance(manifest: Manifest, accepted: str | None) -> None:
    """Refuse a bundle whose licence phrase the settings do not repeat.

    Raises
    ------
    LicenceError
        `accepted` is not what `Manifest.acceptance` asks for; the message gives the words.
    """
    if manifest.acceptance is not None and accepted != manifest.acceptance:
        raise LicenceError(
            f"bundle {manifest.name} {manifest.version} is under {manifest.licence} and for "
            f'{manifest.permitted_use} only: set accept = "{manifest.acceptance}" under [model] '
            "to confirm"
        )


def _finding_entry_from(document: Mapping[str, Any]) -> FindingEntry:
    values = dict(document)
    values["source"] = FindingSource(document["source"])
    values["prompts"] = tuple(document["prompts"])
    calibration = document["calibration"]
    values["calibration"] = None if calibration is None else (calibration[0], calibration[1])
    values["labels"] = tuple(document.get("labels", ()))
    values["negative_labels"] = tuple(document.get("negative_labels", ()))
    values["ensembles"] = tuple(map(tuple, document.get("ensembles", ())))
    values["isotonic"] = tuple(
        (float(score), float(value)) for score, value in document.get("isotonic", ())
    )
    point = document["operating_point"]
    values["operating_point"] = None if point is None else OperatingPoint(**point)
    return FindingEntry(**values)
