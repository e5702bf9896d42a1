"""The settings: one TOML file and the environment, read once, checked whole, handed down."""

import os
import re
import tomllib
from importlib import resources
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal

from pydantic import (
    BaseModel,
    ConfigDict,
    Discriminator,
    Field,
    PositiveFloat,
    PositiveInt,
    SecretStr,
    StringConstraints,
    Tag,
    ValidationError,
    model_validator,
)
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)
from pydantic_settings import (
    SettingsError as SourceError,
)

from dicom_node.errors import SettingsError

CONFIG_VARIABLE = "MAMMOCLIP_CONFIG"
DEFAULT_CONFIG = Path("mammoclip.toml")

AETitle = Annotated[
    str,
    StringConstraints(strip_whitespace=True, min_length=1, max_length=16, pattern=r"^[ -\[\]-~]+$"),
]
"""PS3.5 6.2, VR AE: 1 to 16 characters, no backslash, outer spaces without meaning."""

BUILT_IN_PROFILES = ("ohif", "workstation", "pacs", "all")
DEFAULT_PROFILE = "ohif"

Port = Annotated[int, Field(ge=1, le=65535)]
Name = Annotated[str, StringConstraints(pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]{0,63}$")]


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True, use_attribute_docstrings=True)


class ReceiveSettings(_Section):
    """How the node listens for mammograms."""

    ae_title: AETitle = "MAMMOCLIP"
    """The node's own AE title."""
    host: str = "127.0.0.1"
    """Address to listen on; 0.0.0.0 for every network of the machine."""
    port: Port = 11112
    """TCP port of the DICOM listener."""
    called_ae_titles: tuple[AETitle, ...] = ()
    """Further AE titles that senders may call the node by."""
    require_called_ae_title: bool = True
    """Reject associations that call another AE title."""
    calling_ae_titles: tuple[AETitle, ...] = ()
    """AE titles that may send; empty accepts all."""
    secondary_capture_senders: tuple[AETitle, ...] = ()
    """AE titles whose Secondary Captures are mammograms (old digitisers, teaching files)."""
    maximum_associations: PositiveInt = 20
    """Associations open at the same time; the next one is rejected as transient."""
    maximum_object_bytes: PositiveInt = 1_500_000_000
    """An object larger than this is answered 0xA700."""
    minimum_free_bytes: PositiveInt = 2_000_000_000
    """With less space left on the spool's disk every object is answered 0xA700."""
    idle_timeout_seconds: PositiveFloat = 60.0
    """An association that says nothing for so long is aborted."""


class SettlingSettings(_Section):
    """When a study counts as complete."""

    idle_seconds: PositiveFloat = 60.0
    """Without the four standard views: nothing has arrived for so long."""
    grace_seconds: PositiveFloat = 5.0
    """With the four standard views: nothing has arrived for so long."""


class ModelSettings(_Section):
    """Which bundle answers, and that its terms are accepted."""

    bundle: Path | None = None
    """Folder of the bundle; without it the demonstration bundle."""
    accept: str | None = None
    """The bundle's terms in words, for example "CC-BY-NC-SA-4.0 research use"."""
    device: str = "auto"
    """auto, cpu, cuda or cuda:N."""
    engine: Literal["auto", "torch", "openvino"] = "auto"
    """auto: torch on a GPU; on a CPU OpenVINO where it is installed, else torch."""
    threads: Annotated[int, Field(ge=0)] = 0
    """Of OpenVINO in each worker process; 0 takes every core."""
    precision: Literal["exact", "bfloat16", "float16"] = "exact"
    """exact (float32), or half as many bytes for speed; float16 on a GPU only."""
    compile: bool = False
    """Compile the model at its first study, which takes minutes; pays on a GPU."""
    deterministic: bool = False
    """Refuse operations that may give other bits when they are repeated."""
    mode: Literal["published", "clinical"] | None = None
    """How pixels are prepared: headers' windows ignored or respected; without it as the bundle."""
    tomosynthesis: Literal["refuse", "middle", "max"] = "refuse"
    """Images of several frames: left out, or looked at in one frame or in up to 16."""


class LedgerSettings(_Section):
    """Where the ledger is."""

    url: SecretStr | None = None
    """SQLAlchemy URL; without it an SQLite file in the spool."""


class BrokerSettings(_Section):
    """Where the Celery broker is."""

    url: SecretStr = SecretStr("redis://127.0.0.1:6379/0")
    """Redis-protocol server or RabbitMQ."""


class WorkSettings(_Section):
    """How often work is tried, and how soon a silent worker is given up."""

    heartbeat_seconds: PositiveFloat = 10.0
    """A worker renews its lease this often."""
    lease_seconds: PositiveFloat = 40.0
    """Without renewal for so long the work is given to another worker."""
    maximum_attempts: PositiveInt = 4
    """Starts of one analysis before it counts as failed."""
    redispatch_seconds: PositiveFloat = 30.0
    """A message that no worker has taken up for so long may be sent again."""

    @model_validator(mode="after")
    def _lease_outlasts_heartbeat(self) -> "WorkSettings":
        if self.lease_seconds < 2 * self.heartbeat_seconds:
            raise ValueError("lease_seconds must be at least twice heartbeat_seconds")
        return self


class RetrySettings(_Section):
    """How a delivery that may pass later is tried again."""

    first_seconds: PositiveFloat = 10.0
    """Wait after the first failure; it doubles with each further one."""
    longest_seconds: PositiveFloat = 900.0
    """The wait never exceeds this."""
    expire_seconds: PositiveFloat = 7 * 86400.0
    """A delivery that did not succeed within this time is given up as expired."""


class ResultSettings(_Section):
    """How result objects are made."""

    longest_side_pixels: Annotated[int, Field(ge=512, le=8192)] = 2048
    """Secondary Captures are reduced to this size."""
    series_number_base: Annotated[int, Field(ge=1, le=99_000)] = 9000
    """Series numbers of results start here."""


class ProfileSettings(_Section):
    """A profile of a site's own: what a destination is sent, and in which form."""

    objects: Annotated[
        tuple[
            Literal[
                "measurement_report",
                "cad_report",
                "segmentation",
                "secondary_capture",
                "summary_sheet",
                "presentation_state",
                "pdf_report",
                "attention_segmentation",
            ],
            ...,
        ],
        Field(min_length=1),
    ]
    """The kinds of object."""
    report: Literal["comprehensive_3d", "comprehensive"] = "comprehensive_3d"
    """SOP Class of the measurement report."""
    coding: Literal["SCT", "SRT"] = "SCT"
    """Codes of the CAD report: SNOMED CT, or SNOMED-RT for workstations of before 2018."""
    spacing_unit: Literal["um", "mm"] = "um"
    """Unit of pixel spacing in the CAD report."""
    composition: Literal["words", "coded"] = "words"
    """Density in the CAD report; coded, it makes every report one with findings."""
    plain_mark: Literal["breast_density", "selected_region"] = "breast_density"
    """Mark of the CAD report for findings that have no mark of their own."""
    picture_style: Literal["color", "single_color", "grey"] = "color"
    """How pictures and summary sheet show attention."""
    picture_compression: Literal["none", "rle", "jpeg"] = "none"
    """How the pixels of pictures and summary sheet are stored; jpeg loses a little."""


class DicomDestination(_Section):
    """An archive that takes results by C-STORE."""

    kind: Literal["dicom"] = "dicom"
    name: Name
    ae_title: AETitle
    host: str
    port: Port = 104
    calling_ae_title: AETitle | None = None
    """AE title to call from; without it the node's own."""
    profile: Name = DEFAULT_PROFILE
    """What it is sent: ohif, workstation, pacs, all, or a profile under [profiles]."""
    timeout_seconds: PositiveFloat = 30.0


class DicomwebDestination(_Section):
    """An archive that takes results by STOW-RS."""

    kind: Literal["dicomweb"]
    name: Name
    url: str = Field(pattern=r"^https?://")
    """Service root, for example http://archive:8042/dicom-web"""
    profile: Name = DEFAULT_PROFILE
    """What it is sent: ohif, workstation, pacs, all, or a profile under [profiles]."""
    username: str | None = None
    password: SecretStr | None = None
    timeout_seconds: PositiveFloat = 30.0


def _kind_of(value: Any) -> str | None:
    kind = value.get("kind", "dicom") if isinstance(value, dict) else getattr(value, "kind", None)
    return kind if isinstance(kind, str) else None


Destination = Annotated[
    Annotated[DicomDestination, Tag("dicom")] | Annotated[DicomwebDestination, Tag("dicomweb")],
    Discriminator(
        _kind_of,
        custom_error_type="unknown_kind",
        custom_error_message="kind must be dicom or dicomweb",
    ),
]


class Settings(BaseSettings):
    """All settings of a node and its workers."""

    model_config = SettingsConfigDict(
        env_prefix="MAMMOCLIP_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        use_attribute_docstrings=True,
    )
    toml_file: ClassVar[Path | None] = None

    spool: Path = Path("spool")
    """Folder where everything received and made is kept; put it on a disk that is not lost."""
    log_format: Literal["console", "json"] = "console"
    """How log lines look."""
    receive: ReceiveSettings = ReceiveSettings()
    settling: SettlingSettings = SettlingSettings()
    model: ModelSettings = ModelSettings()
    ledger: LedgerSettings = LedgerSettings()
    broker: BrokerSettings = BrokerSettings()
    work: WorkSettings = WorkSettings()
    retry: RetrySettings = RetrySettings()
    results: ResultSettings = ResultSettings()
    profiles: dict[Name, ProfileSettings] = {}
    """Profiles of the site's own, by name."""
    destinations: tuple[Destination, ...] = ()

    @model_validator(mode="after")
    def _profiles_are_known(self) -> "Settings":
        taken = sorted(set(self.profiles) & set(BUILT_IN_PROFILES))
        if taken:
            raise ValueError(f"profiles: the name {', '.join(taken)} is one of the built-in ones")
        known = {*BUILT_IN_PROFILES, *self.profiles}
        unknown = sorted({entry.profile for entry in self.destinations} - known)
        if unknown:
            raise ValueError(
                f"destinations: there is no profile {', '.join(unknown)}; "
                f"there are {', '.join(sorted(known))}"
            )
        return self

    @model_validator(mode="after")
    def _destination_names_are_unique(self) -> "Settings":
        names = [destination.name for destination in self.destinations]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(f"destinations: the name {', '.join(doubled)} is used twice")
        return self

    @property
    def ledger_url(self) -> str:
        """Return the SQLAlchemy URL of the ledger."""
        if self.ledger.url is not None:
            return self.ledger.url.get_secret_value()
        return f"sqlite:///{self.spool.absolute() / 'ledger.sqlite'}"

    def destination(self, name: str) -> DicomDestination | DicomwebDestination | None:
        """Return the destination of this name, or None where it is not configured any more."""
        return next((entry for entry in self.destinations if entry.name == name), None)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Let the environment win over the file."""
        file = TomlConfigSettingsSource(settings_cls, toml_file=cls.toml_file)
        return (init_settings, env_settings, file)


def config_path(given: Path | None = None) -> Path:
    """Return the settings file: the one given, else of the environment, else the default."""
    return given or Path(os.environ.get(CONFIG_VARIABLE) or DEFAULT_CONFIG)


def load_settings(given: Path | None = None) -> Settings:
    """Read the settings file and the environment.

    Relative paths in the file count from the file's folder.

    Raises
    ------
    SettingsError
        The file is missing or not TOML, or any value is wrong: the message lists every mistake
        with its key and never shows a value that may be secret.
    """
    path = config_path(given)
    if not path.is_file():
        raise SettingsError(
            f"no settings file {path}: run 'mammoclip-node init' or set {CONFIG_VARIABLE}"
        )
    source = type("_FileSettings", (Settings,), {"toml_file": path, "__doc__": Settings.__doc__})
    try:
        settings: Settings = source()
    except tomllib.TOMLDecodeError as error:
        raise SettingsError(f"{path} is not TOML: {error}") from error
    except UnicodeDecodeError as error:
        raise SettingsError(f"{path} is not UTF-8 text") from error
    except SourceError as error:
        raise SettingsError(
            f"environment: {error}; lists and tables are written as JSON there, for example "
            '["ROOM1", "ROOM2"]'
        ) from error
    except ValidationError as error:
        raise SettingsError(f"{path} has mistakes:\n" + "\n".join(_mistakes(error))) from error
    return _anchored(settings, path.absolute().parent)


def default_settings_text() -> str:
    """Return the commented settings file that ``mammoclip-node init`` writes."""
    return (
        resources.files("dicom_node.settings").joinpath("default.toml").read_text(encoding="utf-8")
    )


def _mistakes(error: ValidationError) -> list[str]:
    lines = []
    for mistake in error.errors(include_input=False, include_url=False):
        key = ".".join(str(part) for part in mistake["loc"]) or "(file)"
        text = "unknown key" if mistake["type"] == "extra_forbidden" else mistake["msg"]
        lines.append(f"  {key}: {text}")
    return lines


def _anchored(settings: Settings, folder: Path) -> Settings:
    changed: dict[str, Any] = {"spool": folder / settings.spool.expanduser()}
    if settings.model.bundle is not None:
        bundle = folder / settings.model.bundle.expanduser()
        changed["model"] = settings.model.model_copy(update={"bundle": bundle})
    if settings.ledger.url is not None:
        url = _anchored_url(settings.ledger.url.get_secret_value(), folder)
        changed["ledger"] = settings.ledger.model_copy(update={"url": SecretStr(url)})
    return settings.model_copy(update=changed)


def _anchored_url(url: str, folder: Path) -> str:
    """Let an SQLite file count from the settings' folder, or node and worker would have two."""
    match = re.fullmatch(r"(sqlite(?:\+\w+)?:///)([^/:].*)", url)
    return url if match is None else f"{match[1]}{folder / match[2]}"
