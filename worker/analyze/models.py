"""The models of one worker process: each bundle is loaded once, when a study first asks for it."""

import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

import structlog
from billiard import current_process

from dicom_node.errors import NodeError, SettingsError
from dicom_node.model_bundle import bundle_folder, model_settings_of, pass_licence_gate
from dicom_node.settings.model import ModelSettings
from dicom_node.settings.settings import Settings
from mammoclip_core.errors import BundleError, LicenceError, MissingLibraryError
from mammoclip_core.manifest import Manifest
from worker.devices import device_of

if TYPE_CHECKING:
    from mammoclip_core.analysis.engine import Engine
    from mammoclip_core.images.image_file import ReadImage

log = structlog.get_logger("worker.runtime")

LOOKED_AT_AGAIN_SECONDS: Final = 60.0
"""Time until a bundle that could not be loaded is tried again, and with it what waits for it."""


class RouteFaultError(NodeError):
    """What a rule names cannot be used: the studies that it takes wait, and nothing else does."""

    reason = "route-fault"


@dataclass(frozen=True, slots=True)
class Model:
    """A bundle that is loaded."""

    manifest: Manifest
    engine: "Engine"

    @property
    def in_words(self) -> str:
        """Return name, version and digest of the bundle, as the ledger keeps them."""
        return f"{self.manifest.name} {self.manifest.version} {self.manifest.weights_sha256}"


def load_engine_of(model: ModelSettings, manifest: Manifest, read: "ReadImage") -> "Engine":
    """Load a bundle.

    Parameters
    ----------
    model : the bundle and how it is run
    read : how images are read

    Raises
    ------
    BundleError
        It is missing or broken, or another one than that whose terms were accepted.
    """
    from mammoclip_core.engines.choice import load_engine
    from mammoclip_core.engines.computing_options import ComputingOptions, EngineName, Precision

    # Celery's pool numbers its processes; outside of a pool there is no number.
    index = getattr(current_process(), "index", 0)
    name = EngineName(model.engine)
    device = device_of(model.device, index, name)
    options = ComputingOptions(
        precision=Precision(model.precision),
        is_compiled=model.compile,
        is_deterministic=model.deterministic,
        threads=model.threads,
    )
    folder = bundle_folder(model)
    engine = load_engine(folder, engine=name, device=device, options=options)
    if engine.manifest != manifest:
        raise BundleError(f"{folder} was replaced while it was loaded: it is loaded again")
    engine.read_by(read)
    if model.mode is not None:
        engine.prepare_as(model.mode)
    log.info(
        "model_loaded",
        bundle=manifest.name,
        version=manifest.version,
        warning=manifest.warning or None,
        kind=device,
        detail=str(engine.computed_by),
    )
    return engine


@dataclass
class FurtherModels:
    """The bundles of [bundles], each loaded once in each process that needs it.

    Each takes as much memory as that of [model] does.
    """

    settings: Settings
    read: Callable[[], "ReadImage"]
    clock: Callable[[], float] = time.monotonic
    _loaded: dict[str, Model] = field(default_factory=dict)
    _broken: dict[str, tuple[float, str]] = field(default_factory=dict)

    def is_loaded(self, name: str) -> bool:
        """Return whether the next study by this bundle need not wait for it."""
        return name in self._loaded

    def of(self, name: str) -> Model:
        """Return the model of a bundle.

        Raises
        ------
        RouteFaultError
            The settings have no such bundle, or it is missing or broken, or its terms are not
            accepted.
        """
        until, why = self._broken.get(name, (0.0, ""))
        if why and self.clock() < until:
            raise RouteFaultError(why)
        if name not in self._loaded:
            try:
                model = model_settings_of(self.settings, name)
                manifest = pass_licence_gate(model, f"bundles.{name}")
                engine = load_engine_of(model, manifest, self.read())
            except (SettingsError, BundleError, LicenceError, MissingLibraryError) as error:
                words = f"bundle {name} cannot be used: {error}"
                if words != why:
                    log.warning("bundle_fault", bundle=name, reason=words)
                self._broken[name] = (self.clock() + LOOKED_AT_AGAIN_SECONDS, words)
                raise RouteFaultError(words) from error
            self._broken.pop(name, None)
            self._loaded[name] = Model(manifest, engine)
        return self._loaded[name]
