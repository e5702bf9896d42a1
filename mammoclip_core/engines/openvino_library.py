"""Image encoders and detectors compiled by OpenVINO for the CPU, without torch."""

from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from mammoclip_core.background import start_thread
from mammoclip_core.bundles.tensors import Tensors, detector_prefix
from mammoclip_core.engines.openvino_graph import detector_graph, encoder_graph
from mammoclip_core.engines.openvino_import import ov
from mammoclip_core.errors import ComputingError
from mammoclip_core.findings import EngineIdentity
from mammoclip_core.freed_memory import keep_freed_memory
from mammoclip_core.images.detector_input import INPUT_SIDE
from mammoclip_core.networks.anchors import anchors_of, decode, reported, select
from mammoclip_core.networks.efficientnet import DYNAMIC_PADDING, EfficientNet
from mammoclip_core.prediction import DetectedBox

PRECISIONS: Final = {"float32": ov.Type.f32, "bfloat16": ov.Type.bf16}
_CAPABILITIES: Final = {"float32": "FP32", "bfloat16": "BF16"}

Array = NDArray[np.float32]


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenVinoOptions:
    """How OpenVINO computes.

    Attributes
    ----------
    precision : ``float32`` or ``bfloat16``
        Always said: left to itself, OpenVINO takes bfloat16 where the processor has it.
    threads : 0 or more
        0 takes every core that the process may use.
    """

    precision: str = "float32"
    threads: int = 0


class OpenVinoNetwork:
    """A graph that computes one image at a time, once it is built and compiled.

    Both happen on a thread of its own, while whoever loads it reads images; the first who asks
    for an answer waits for it.

    Parameters
    ----------
    build : makes the graph
    size : (rows, columns) of its input

    Raises
    ------
    ComputingError
        The precision is not known, or the processor does not have it.
    """

    def __init__(
        self, build: Callable[[], ov.Model], size: tuple[int, int], options: OpenVinoOptions
    ) -> None:
        _require_precision(options.precision)
        keep_freed_memory()
        self._size = (1, 3, *size)
        self._compiling = start_thread(lambda: compiled(build(), options), name="compile")

    @property
    def compiled(self) -> ov.CompiledModel:
        """Return the compiled graph."""
        return self._compiling.result()

    def infer(self, image: Array) -> list[Array]:
        """Return the outputs for one (3, rows, columns) image.

        Raises
        ------
        ValueError
            The image has another size than the graph.
        """
        if (1, *image.shape) != self._size:
            raise ValueError(
                f"the model was compiled for {self._size}, the image has {image.shape}"
            )
        results = self._request.infer([np.ascontiguousarray(image)[np.newaxis]], share_inputs=True)
        return [np.array(value) for value in results.values()]

    @cached_property
    def _request(self) -> ov.InferRequest:
        return self.compiled.create_infer_request()


class OpenVinoEncoder:
    """An image encoder for one input size, computed image by image.

    On a CPU a batch is no faster than its images one after the other, and takes more memory; and
    so the answer for an image does not depend on its neighbours.

    Parameters
    ----------
    tensors : by name, `prefix` included
    size : (rows, columns)
    """

    def __init__(
        self,
        network: EfficientNet,
        tensors: Tensors,
        prefix: str,
        size: tuple[int, int],
        options: OpenVinoOptions,
    ) -> None:
        self.stride = network.stride
        self.first_centre = network.first_centre
        build = partial(encoder_graph, network, tensors, prefix, size)
        self.network = OpenVinoNetwork(build, size, options)

    def feature_maps(self, images: Array) -> Array:
        """Compute the last feature maps, (B, C, H, W), of (B, 3, rows, columns) images."""
        return np.stack([self.network.infer(image)[0][0] for image in images])


class OpenVinoBoxModel:
    """The detectors of a bundle.

    Parameters
    ----------
    detectors : architectures by name
    """

    def __init__(
        self, detectors: Mapping[str, str], tensors: Tensors, options: OpenVinoOptions
    ) -> None:
        size = (INPUT_SIDE, INPUT_SIDE)
        self._anchors = anchors_of(*size)
        self._networks = {
            name: OpenVinoNetwork(
                partial(
                    detector_graph,
                    EfficientNet(architecture, DYNAMIC_PADDING),
                    tensors,
                    detector_prefix(name),
                    size,
                    1,
                ),
                size,
                options,
            )
            for name, architecture in detectors.items()
        }

    def detect(self, batch: Array) -> list[dict[str, tuple[DetectedBox, ...]]]:
        """Return each detector's boxes on each image of a (B, 3, 512, 512) batch, in order."""
        return [
            {name: self._boxes(network, image) for name, network in self._networks.items()}
            for image in batch
        ]

    def _boxes(self, network: OpenVinoNetwork, image: Array) -> tuple[DetectedBox, ...]:
        scores, deltas = network.infer(image)
        boxes = decode(self._anchors, deltas[0], INPUT_SIDE, INPUT_SIDE)
        return reported(select(scores[0], boxes))


class OpenVinoLibrary:
    """Computes the networks of a bundle by OpenVINO; they are compiled while it goes on.

    Raises
    ------
    ComputingError
        The processor does not compute in the precision asked for.
    """

    def __init__(self, options: OpenVinoOptions | None = None) -> None:
        self._options = options or OpenVinoOptions()
        _require_precision(self._options.precision)

    @property
    def identity(self) -> EngineIdentity:
        """Return what results say of the engine: the library's version is without its build."""
        version = str(ov.__version__).partition("-")[0]
        return EngineIdentity(name="openvino", version=version, precision=self._options.precision)

    def computing(self) -> AbstractContextManager[None]:
        """Return what is entered for each batch: nothing."""
        return nullcontext()

    def encoder(
        self, network: EfficientNet, tensors: Tensors, prefix: str, size: tuple[int, int]
    ) -> OpenVinoEncoder:
        """Build an image encoder."""
        return OpenVinoEncoder(network, tensors, prefix, size, self._options)

    def detectors(self, architectures: Mapping[str, str], tensors: Tensors) -> OpenVinoBoxModel:
        """Build detectors."""
        return OpenVinoBoxModel(architectures, tensors, self._options)


def compiled(graph: ov.Model, options: OpenVinoOptions) -> ov.CompiledModel:
    """Compile a graph for the CPU.

    Raises
    ------
    ComputingError
        OpenVINO chose other numbers than those asked for.
    """
    precision = PRECISIONS[options.precision]
    settings: dict[str, Any] = {
        "INFERENCE_PRECISION_HINT": precision,
        "PERFORMANCE_HINT": "LATENCY",
        # Two processes that pin their threads pin them to the same cores.
        "ENABLE_CPU_PINNING": False,
    }
    if options.threads:
        settings["INFERENCE_NUM_THREADS"] = options.threads
    result = ov.Core().compile_model(graph, "CPU", settings)
    if result.get_property("INFERENCE_PRECISION_HINT") != precision:
        raise ComputingError(f"this processor does not compute in {options.precision}")
    return result


def computes_in(precision: str) -> bool:
    """Tell whether this processor has arithmetic for one of `PRECISIONS`."""
    known = ov.Core().get_property("CPU", "OPTIMIZATION_CAPABILITIES")
    return _CAPABILITIES[precision] in known


def _require_precision(precision: str) -> None:
    """Raise ComputingError where a precision is not known or not the processor's."""
    if precision not in PRECISIONS:
        raise ComputingError(f"precision {precision!r} is none of {', '.join(PRECISIONS)}")
    if not computes_in(precision):
        raise ComputingError(f"this processor does not compute in {precision}")
