"""All settings of a node and its workers, and what must hold between their sections."""

from pathlib import Path
from typing import ClassVar, Literal

from pydantic import model_validator
from pydantic_settings import (
    BaseSettings,
    PydanticBaseSettingsSource,
    SettingsConfigDict,
    TomlConfigSettingsSource,
)

from dicom_node.settings.model import ModelSettings
from dicom_node.settings.operation.audit import AuditSettings
from dicom_node.settings.operation.canary import CANARY_DESTINATION, FORMER_PORT, CanarySettings
from dicom_node.settings.operation.console import ConsoleSettings
from dicom_node.settings.operation.monitoring import AlertSettings, MonitoringSettings
from dicom_node.settings.operation.retention import RetentionSettings
from dicom_node.settings.rules import (
    BundleSettings,
    ResultRuleSettings,
    RuleSettings,
    rule_mistakes,
)
from dicom_node.settings.section import LocalPath, Name
from dicom_node.settings.services import BrokerSettings, LedgerSettings
from dicom_node.settings.store import StoreSettings
from dicom_node.settings.tls import TlsSettings
from dicom_node.settings.ways_in.dicomweb import DicomwebSettings
from dicom_node.settings.ways_in.fetch import FetchSettings
from dicom_node.settings.ways_in.hl7 import Hl7Settings
from dicom_node.settings.ways_in.poll import PollSettings, poll_mistakes
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.settings.ways_in.settling import SettlingSettings
from dicom_node.settings.ways_in.ups import UpsSettings, ups_mistakes
from dicom_node.settings.ways_out.destinations import (
    AnyDestination,
    ArchiveDestination,
    Destination,
    DicomDestination,
    DicomwebDestination,
)
from dicom_node.settings.ways_out.results import (
    BUILT_IN_PROFILES,
    DEFAULT_PROFILE,
    PROFILES_WITH_REPORT,
    ProfileSettings,
    ResultSettings,
)
from dicom_node.settings.work import RetrySettings, WorkSettings


class Settings(BaseSettings):
    """All settings of a node and its workers."""

    model_config = SettingsConfigDict(
        env_prefix="MAMMOCLIP_",
        env_nested_delimiter="__",
        extra="forbid",
        frozen=True,
        hide_input_in_errors=True,  # which may be secret
        use_attribute_docstrings=True,
    )
    toml_file: ClassVar[Path | None] = None

    spool: LocalPath = Path("spool")
    """Folder for received images and results, on a persistent local disk."""
    other_spools: tuple[LocalPath, ...] = ()
    """Spools of other nodes before the same ledger, as this host sees them mounted."""
    log_format: Literal["console", "json"] = "console"
    """console (readable text) or json (for log collectors)."""
    receive: ReceiveSettings = ReceiveSettings()
    dicomweb: DicomwebSettings = DicomwebSettings()
    console: ConsoleSettings = ConsoleSettings()
    tls: TlsSettings = TlsSettings()
    settling: SettlingSettings = SettlingSettings()
    model: ModelSettings = ModelSettings()
    ledger: LedgerSettings = LedgerSettings()
    broker: BrokerSettings = BrokerSettings()
    store: StoreSettings = StoreSettings()
    work: WorkSettings = WorkSettings()
    retry: RetrySettings = RetrySettings()
    retention: RetentionSettings = RetentionSettings()
    canary: CanarySettings = CanarySettings()
    monitoring: MonitoringSettings = MonitoringSettings()
    alerts: AlertSettings = AlertSettings()
    audit: AuditSettings = AuditSettings()
    results: ResultSettings = ResultSettings()
    profiles: dict[Name, ProfileSettings] = {}
    """Profiles of the site's own, by name."""
    destinations: tuple[Destination, ...] = ()
    hl7: Hl7Settings = Hl7Settings()
    fetch: FetchSettings = FetchSettings()
    poll: tuple[PollSettings, ...] = ()
    """Archives that do not push, which the node asks for new studies."""
    ups: UpsSettings = UpsSettings()
    bundles: dict[Name, BundleSettings] = {}
    """Further bundles, by the name that rules call them by."""
    rules: tuple[RuleSettings, ...] = ()
    """Which studies are analysed by which bundle, and where their results are sent."""
    result_rules: tuple[ResultRuleSettings, ...] = ()
    """What is done besides with an answer, by its scores and findings."""

    @model_validator(mode="after")
    def _rules_name_what_there_is(self) -> "Settings":
        mistakes = rule_mistakes(
            self.rules,
            self.result_rules,
            bundles=set(self.bundles),
            destinations={entry.name for entry in self.destinations},
            profiles={*BUILT_IN_PROFILES, *self.profiles},
        )
        if found := "; ".join(mistakes):
            raise ValueError(found)
        return self

    @model_validator(mode="after")
    def _polled_archives_are_known(self) -> "Settings":
        if found := "; ".join(poll_mistakes(self.poll, self.archives)):
            raise ValueError(found)
        return self

    @model_validator(mode="after")
    def _worklist_is_complete(self) -> "Settings":
        if found := "; ".join(ups_mistakes(self.ups, self.archives)):
            raise ValueError(found)
        return self

    @model_validator(mode="after")
    def _profiles_are_known(self) -> "Settings":
        taken = sorted(set(self.profiles) & set(BUILT_IN_PROFILES))
        if taken:
            raise ValueError(
                f"profiles: {', '.join(taken)} is a built-in profile; choose another name"
            )
        known = {*BUILT_IN_PROFILES, *self.profiles}
        unknown = sorted({entry.profile for entry in self.destinations} - known)
        if unknown:
            raise ValueError(
                f"destinations: unknown profile {', '.join(unknown)}; "
                f"choose one of {', '.join(sorted(known))}"
            )
        with_report = {*PROFILES_WITH_REPORT} | {
            name for name, one in self.profiles.items() if "measurement_report" in one.objects
        }
        archives = {entry.name for entry in self.archives}
        for entry in self.destinations:
            if entry.name not in archives and entry.profile not in with_report:
                raise ValueError(
                    f"destinations: profile {entry.profile} of {entry.name} has no measurement "
                    "report, of which its messages are made; choose one of "
                    f"{', '.join(sorted(with_report))}"
                )
        return self

    @model_validator(mode="after")
    def _listener_has_certificates(self) -> "Settings":
        if not self.receive.tls:
            return self
        if self.tls.certificate is None:
            raise ValueError("receive.tls needs tls.certificate and tls.private_key")
        # The authorities of the system would do for anyone who has bought a certificate.
        if self.receive.require_client_certificate and self.tls.certificate_authorities is None:
            raise ValueError(
                "receive.tls needs tls.certificate_authorities, or "
                "require_client_certificate = false under [receive]"
            )
        return self

    @model_validator(mode="after")
    def _web_server_has_certificates(self) -> "Settings":
        web = self.dicomweb
        if web.tls and self.tls.certificate is None:
            raise ValueError("dicomweb.tls needs tls.certificate and tls.private_key")
        if web.tls and web.require_client_certificate and not self.tls.certificate_authorities:
            raise ValueError(
                "dicomweb.require_client_certificate needs tls.certificate_authorities"
            )
        if web.enabled and web.port == self.receive.port:
            raise ValueError("dicomweb.port and receive.port must differ")
        return self

    @model_validator(mode="after")
    def _console_has_a_port_of_its_own(self) -> "Settings":
        console = self.console
        if console.tls and self.tls.certificate is None:
            raise ValueError("console.tls needs tls.certificate and tls.private_key")
        taken = {self.receive.port, *([self.dicomweb.port] if self.dicomweb.enabled else [])}
        if console.enabled and console.port in taken:
            raise ValueError("console.port, receive.port and dicomweb.port must differ")
        return self

    @model_validator(mode="after")
    def _room_is_made_before_objects_are_refused(self) -> "Settings":
        free, refused_below = self.retention.free_bytes, self.receive.minimum_free_bytes
        if free is not None and free <= refused_below:
            raise ValueError(
                f"retention.free_bytes must be more than receive.minimum_free_bytes "
                f"({refused_below}): objects would be refused before anything is removed"
            )
        return self

    @model_validator(mode="after")
    def _destination_names_are_unique(self) -> "Settings":
        names = [destination.name for destination in self.destinations]
        doubled = sorted({name for name in names if names.count(name) > 1})
        if doubled:
            raise ValueError(
                f"destinations: the name {', '.join(doubled)} is used twice; choose another"
            )
        if any(one.name == CANARY_DESTINATION for one in self.destinations):
            raise ValueError(
                f"destinations: the name {CANARY_DESTINATION} is the node's own; choose another"
            )
        return self

    @property
    def ledger_url(self) -> str:
        """Return the SQLAlchemy URL of the ledger."""
        if self.ledger.url is not None:
            return self.ledger.url.get_secret_value()
        return f"sqlite:///{self.spool.absolute() / 'ledger.sqlite'}"

    @property
    def archives(self) -> tuple[ArchiveDestination, ...]:
        """Return the destinations that are sent DICOM objects, and can be asked for them."""
        kinds = (DicomDestination, DicomwebDestination)
        return tuple(entry for entry in self.destinations if isinstance(entry, kinds))

    @property
    def default_recipients(self) -> tuple[str, ...]:
        """Return the names of the destinations that get what no rule says otherwise of."""
        return tuple(entry.name for entry in self.destinations if not entry.only_by_rule)

    @property
    def canary_destinations(self) -> tuple[ArchiveDestination, ...]:
        """Return where results of canary studies are sent: those marked, else the node itself.

        Where the node takes them while one is on its way, the ledger says.
        """
        marked = tuple(entry for entry in self.archives if entry.canary)
        if marked:
            return marked
        # What it is sent is made anyway, whatever the profiles of the site are.
        profile = self.destinations[0].profile if self.destinations else DEFAULT_PROFILE
        own = DicomDestination(
            name=CANARY_DESTINATION,
            ae_title=self.canary.ae_title,
            host=self.canary.host,
            port=self.canary.port or FORMER_PORT,
            profile=profile,
            canary=True,
        )
        return (own,)

    def destination(self, name: str) -> AnyDestination | None:
        """Return the destination with this name, or None if it is not configured any more."""
        known = (*self.destinations, *self.canary_destinations)
        return next((entry for entry in known if entry.name == name), None)

    def archive(self, name: str) -> ArchiveDestination | None:
        """Return the archive with this name; None if there is none, or it is of another kind."""
        return next((entry for entry in self.archives if entry.name == name), None)

    @property
    def destination_names(self) -> frozenset[str]:
        """Return the names of the destinations, with the node's own for canary studies."""
        return frozenset(e.name for e in (*self.destinations, *self.canary_destinations))

    @property
    def confirming_names(self) -> frozenset[str]:
        """Return the names of the destinations that are asked for what they have accepted."""
        return frozenset(entry.name for entry in self.archives if entry.confirm != "none")

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Read environment variables before the file, so that they override it."""
        file = TomlConfigSettingsSource(settings_cls, toml_file=cls.toml_file)
        return (init_settings, env_settings, file)
