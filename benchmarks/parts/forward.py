"""A child of the inference benchmark: one way of computing, a run for each line it is sent.

Arguments: the way, the bundle, a file of prepared images, device, threads. A line holds the number
of images and the file to write the answer to; what comes back is one line of JSON.
"""

import json
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float32]
Embed = Callable[[Array], tuple[Array, Array]]

LEAST_SECONDS = 0.2
"""What is over in no time is repeated for so long: the first few may wait for their threads."""

LONGEST_PRODUCT = 5.0
"""Seconds: where a large product takes longer, as in bfloat16 without arithmetic for it, a small
one tells the ceiling."""


def main() -> None:
    """Load, report ready, then run for each input line until the input ends."""
    way, bundle, images, device, threads = sys.argv[1:]
    if way == "ceiling":
        run = ceilings(device, int(threads))
    else:
        run = forward(way, Path(bundle), np.load(images), device, int(threads))
    print(json.dumps({"ready": True}), flush=True)
    for line in sys.stdin:
        count, out = line.split(maxsplit=1)
        result = run(int(count), Path(out.strip()))
        print(json.dumps(result), flush=True)


def forward(
    way: str, bundle: Path, images: Array, device: str, threads: int
) -> Callable[[int, Path], dict[str, Any]]:
    """Return what embeds the first images and tells seconds and peak memory."""
    embed = loaded(way, bundle, device, threads)

    def run(count: int, out: Path) -> dict[str, Any]:
        grey = np.ascontiguousarray(images[np.arange(count) % len(images)])[:, np.newaxis]
        batch = np.broadcast_to(grey, (count, 3, *grey.shape[2:]))
        begun = time.perf_counter()
        features, embeddings = embed(batch)
        seconds = time.perf_counter() - begun
        np.savez(out, features=features, embeddings=embeddings)
        return {"seconds": seconds, "peak_bytes": peak_bytes(device)}

    return run


def loaded(way: str, bundle: Path, device: str, threads: int) -> Embed:
    """Load a bundle in one of the ways."""
    if way.startswith("official"):
        return official(bundle, device, threads, is_half=way.endswith("float16"))
    from mammoclip_core.engines.choice import load_model
    from mammoclip_core.engines.computing_options import ComputingOptions, EngineName, Precision

    words = way.split()
    options = ComputingOptions(
        precision=Precision(words[-1]), is_compiled="compiled" in words, threads=threads
    )
    return load_model(bundle, engine=EngineName(words[0]), device=device, options=options).embed


def official(bundle: Path, device: str, threads: int, *, is_half: bool) -> Embed:
    """Load a bundle into the authors' arithmetic, on a GPU under automatic float16 as they do."""
    import torch
    from safetensors.torch import load_file

    from mammoclip_core.manifest import WEIGHTS_NAME, read_manifest
    from mammoclip_core.networks.image_encoder import ImageEncoder
    from parts.official import official_arithmetic

    torch.set_num_threads(threads)
    manifest = read_manifest(bundle)
    tensors = load_file(bundle / WEIGHTS_NAME)
    with torch.device("meta"):
        encoder = ImageEncoder(manifest.encoders[0].architecture)
        projection = torch.nn.Linear(encoder.size, manifest.projection_size)
    for prefix, module in (("image_encoder.", encoder), ("image_projection.", projection)):
        state = {name.removeprefix(prefix): value for name, value in tensors.items()}
        module.load_state_dict({key: state[key] for key in module.state_dict()}, assign=True)
    encoder = official_arithmetic(encoder).to(device)
    projection = projection.eval().to(device)

    def embed(batch: Array) -> tuple[Array, Array]:
        images = torch.from_numpy(np.ascontiguousarray(batch)).to(device)
        with torch.no_grad(), torch.autocast(device, torch.float16, enabled=is_half):
            features = encoder(images)
            embeddings = torch.nn.functional.normalize(projection(features), dim=-1)
        return features.float().cpu().numpy(), embeddings.float().cpu().numpy()

    return embed


def ceilings(device: str, threads: int) -> Callable[[int, Path], dict[str, Any]]:
    """Return what measures the speed of matrix products and of memory."""
    import torch

    torch.set_num_threads(threads)
    side = 8192 if device.startswith("cuda") else 2048

    def seconds_of(work: Callable[[], Any]) -> float:
        best, ending = float("inf"), time.perf_counter() + LEAST_SECONDS
        times = 0
        while times < 5 or time.perf_counter() < ending:
            times += 1
            wait(device)
            begun = time.perf_counter()
            work()
            wait(device)
            best = min(best, time.perf_counter() - begun)
        return best

    def products_of(side: int, dtype: torch.dtype) -> float:
        left, right = torch.randn(2, side, side, device=device).to(dtype)
        return 2.0 * side**3 / seconds_of(lambda: left @ right)

    def run(_count: int, _out: Path) -> dict[str, Any]:
        result = {}
        for name, dtype in (("float32", torch.float32), ("bfloat16", torch.bfloat16)):
            result[name] = products_of(side // 4, dtype)
            if 2.0 * side**3 / result[name] < LONGEST_PRODUCT:
                result[name] = products_of(side, dtype)
        values = torch.empty(1 << 27, device=device)
        target = torch.empty_like(values)
        result["bytes"] = 8.0 * values.numel() / seconds_of(lambda: target.copy_(values))
        return result

    return run


def wait(device: str) -> None:
    """Wait until a GPU has finished its queued work."""
    import torch

    if device.startswith("cuda"):
        torch.cuda.synchronize()


def peak_bytes(device: str) -> int:
    """Return the most memory so far: the GPU's for tensors, else this process's resident memory."""
    if device.startswith("cuda"):
        import torch

        return torch.cuda.max_memory_allocated()
    status = Path("/proc/self/status")
    if status.exists():
        # ru_maxrss is no substitute: it may be the parent's, from before the program was started.
        words = status.read_text(encoding="utf-8").split()
        return 1024 * int(words[words.index("VmHWM:") + 1])
    import resource

    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss


if __name__ == "__main__":
    main()
