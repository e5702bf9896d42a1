"""Which library computes a bundle: torch or OpenVINO, chosen by device and by what is installed."""

from functools import partial
from pathlib import Path

from mammoclip_core.analysis.engine import DEFAULT_BATCH_SIZE, DEFAULT_DECODE_THREADS, Engine
from mammoclip_core.background import start_thread
from mammoclip_core.engines.computing_options import ComputingOptions, EngineName
from mammoclip_core.engines.devices import chosen_device, is_installed
from mammoclip_core.engines.loading import NetworkLibrary, load_bundle
from mammoclip_core.engines.predictor import Predictor
from mammoclip_core.errors import BundleError, MissingLibraryError


def chosen_engine(wish: EngineName, device: str) -> EngineName:
    """Choose the library for a device.

    Raises
    ------
    MissingLibraryError
        It is not installed; the message names the extra.
    BundleError
        OpenVINO is asked for on another device than the CPU.
    """
    is_cpu = device == "cpu"
    if wish is EngineName.OPENVINO and not is_cpu:
        raise BundleError(f"engine openvino computes on the CPU: device {device!r} needs torch")
    if wish is EngineName.AUTO:
        by_openvino = is_cpu and (is_installed("openvino") or not is_installed("torch"))
        wish = EngineName.OPENVINO if by_openvino else EngineName.TORCH
    if wish is EngineName.TORCH:
        require_torch(f"device {device!r} with engine torch")
    elif not is_installed("openvino"):
        raise MissingLibraryError(
            "computing on the CPU needs OpenVINO: install the extra 'cpu': "
            "pip install '.[cpu]' in the project's folder"
        )
    return wish


def network_library(
    engine: EngineName = EngineName.AUTO,
    device: str = "cpu",
    options: ComputingOptions | None = None,
) -> NetworkLibrary:
    """Return the library that computes a bundle's networks, for a device and with options.

    Parameters
    ----------
    device : as torch names it, or ``auto``: a GPU where there is one

    Raises
    ------
    BundleError
        The machine has no such device, or OpenVINO is asked for on another one than the CPU.
    ComputingError
        The device cannot compute in the precision asked for.
    MissingLibraryError
        The library that would compute is not installed.
    """
    options = options or ComputingOptions()
    device = chosen_device(device, engine)
    if chosen_engine(engine, device) is EngineName.TORCH:
        from mammoclip_core.engines.torch_library import TorchLibrary

        return TorchLibrary(device, options)
    from mammoclip_core.engines.openvino_library import OpenVinoLibrary, OpenVinoOptions

    return OpenVinoLibrary(
        OpenVinoOptions(precision=options.precision.numbers, threads=options.threads)
    )


def load_engine(
    bundle: Path,
    *,
    engine: EngineName = EngineName.AUTO,
    device: str = "cpu",
    options: ComputingOptions | None = None,
    decode_threads: int = DEFAULT_DECODE_THREADS,
    batch_size: int = DEFAULT_BATCH_SIZE,
) -> Engine:
    """Load a bundle for analysing studies.

    Parameters
    ----------
    device : as torch names it, or ``auto``: a GPU where there is one

    Raises
    ------
    BundleError
        A file is missing or altered, its tensors are not those of the manifest's model, or the
        machine has no such device.
    ComputingError
        The device cannot compute in the precision asked for.
    MissingLibraryError
        The library that would compute is not installed.
    """
    library = network_library(engine, device, options)
    loading = start_thread(partial(load_bundle, bundle, library), name="load")
    # What reads images takes as long to import as the weights to read.
    import mammoclip_core.analysis.study_files  # noqa: F401

    predictor, boxes = loading.result()
    return Engine(
        predictor,
        decode_threads=decode_threads,
        batch_size=batch_size,
        computed_by=library.identity,
        boxes=boxes,
    )


def load_model(
    bundle: Path,
    *,
    engine: EngineName = EngineName.AUTO,
    device: str = "cpu",
    options: ComputingOptions | None = None,
) -> Predictor:
    """Load the image side of a bundle for its embeddings; raises what `load_engine` does."""
    return load_bundle(bundle, embedding_library(engine, device, options))[0]


def embedding_library(
    engine: EngineName = EngineName.AUTO,
    device: str = "cpu",
    options: ComputingOptions | None = None,
) -> NetworkLibrary:
    """Return the library that computes embeddings; raises what `network_library` does.

    ``auto`` means torch wherever it is installed: embeddings are compared with others' numbers,
    and OpenVINO's features of a B5 differ from the official ones by up to 2e-4.
    """
    if engine is EngineName.AUTO and is_installed("torch"):
        engine = EngineName.TORCH
    return network_library(engine, device, options)


def require_torch(purpose: str) -> None:
    """Raise MissingLibraryError where torch or its companions are not installed."""
    missing = [name for name in ("torch", "timm", "transformers") if not is_installed(name)]
    if missing:
        raise MissingLibraryError(
            f"{purpose} needs {', '.join(missing)}: install the extra 'cuda': "
            "pip install '.[cuda]' in the project's folder"
        )
