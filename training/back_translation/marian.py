"""A MarianMT model from a folder or the model hub, and sentences through it."""

import hashlib
import json
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import torch

from mammoclip_core.engines.devices import is_installed
from mammoclip_core.engines.torch_computing import device_named, telling_short_memory
from mammoclip_core.errors import BatchMemoryError, FetchError, MissingLibraryError
from training.errors import SettingsError
from training.terminal import install_hint

_SAFE_WEIGHTS: Final = "model.safetensors"
_OTHER_WEIGHTS: Final = "pytorch_model.bin"
_PARTS: Final = ("config.json", "vocab.json", "source.spm", "target.spm")
_OPTIONAL: Final = ("generation_config.json", "tokenizer_config.json", "target_vocab.json")


class MarianTranslator:
    """A translator from one language to another; from `load_translator`.

    Attributes
    ----------
    digest : SHA-256 over the model's files
    """

    def __init__(self, model: Any, tokenizer: Any, device: torch.device, digest: str) -> None:
        self._model = model
        self._tokenizer = tokenizer
        self._device = device
        positions = int(model.config.max_position_embeddings)
        self._most_tokens = min(positions, int(tokenizer.model_max_length))
        self.digest = digest

    def __call__(self, sentences: Sequence[str], beams: int) -> list[str]:
        """Translate sentences, each by the best of so many beams; nothing is drawn at random.

        A sentence has an empty translation where it, or what comes of it, is longer than the model
        has positions for: half a translation says less than the report.

        Raises
        ------
        BatchMemoryError
            Memory is short for so many sentences at once.
        """
        translations = [""] * len(sentences)
        ids = [self._tokenizer(text, verbose=False)["input_ids"] for text in sentences]
        fitting = [place for place, item in enumerate(ids) if len(item) <= self._most_tokens]
        if not fitting:
            return translations
        padded = self._tokenizer.pad(
            {"input_ids": [ids[place] for place in fitting]}, return_tensors="pt"
        )
        try:
            with telling_short_memory(self._device), torch.inference_mode():
                answers = self._model.generate(
                    **padded.to(self._device),
                    num_beams=beams,
                    num_return_sequences=1,
                    do_sample=False,
                    max_length=self._most_tokens,
                )
        except BatchMemoryError as error:
            raise BatchMemoryError(
                f"{error} for {len(sentences)} sentences at once: a smaller --batch-size needs less"
            ) from error
        for place, answer in zip(fitting, answers.tolist(), strict=True):
            translations[place] = self._text(answer)
        return translations

    def _text(self, answer: Sequence[int]) -> str:
        pad = self._tokenizer.pad_token_id
        length = max((at for at, token in enumerate(answer, start=1) if token != pad), default=0)
        if length >= self._most_tokens:  # it was cut off: such models repeat themselves for ever
            return ""
        text = self._tokenizer.decode(answer, skip_special_tokens=True, use_source_tokenizer=False)
        return str(text).strip()


def load_translator(name: str, device: str) -> MarianTranslator:
    """Load a model of a folder, or of the hub by its name; no code of either is run.

    Parameters
    ----------
    name : folder, or owner/model as in ``Helsinki-NLP/opus-mt-en-it``
        Only the hub learns of it, and only the name: sentences stay on this machine.

    Raises
    ------
    MissingLibraryError
        SentencePiece is not installed.
    FetchError
        There is no such folder, and the model cannot be downloaded.
    SettingsError
        It is not a MarianMT model, or it is damaged.
    BundleError
        The machine has no such device.
    BatchMemoryError
        The device has no memory for the model.
    """
    if not is_installed("sentencepiece"):
        raise MissingLibraryError(f"translating needs sentencepiece: {install_hint('translation')}")
    place = device_named(device)
    folder = Path(name)
    if not folder.is_dir():
        folder = _downloaded(name)
    _check_parts(name, folder)
    try:
        model, tokenizer, missing = _loaded(folder)
    except Exception as error:  # five libraries read these files, and some have no errors of theirs
        reason = (str(error).splitlines() or [""])[0]
        raise SettingsError(
            f"{name}: the MarianMT model cannot be read: {type(error).__name__}: {reason}"
        ) from error
    if missing:
        raise SettingsError(
            f"{name}: the MarianMT model lacks {len(missing)} of its tensors, {missing[0]} first"
        )
    with telling_short_memory(place):
        model = model.float().eval().to(place)
    return MarianTranslator(model, tokenizer, place, _digest(folder))


def _downloaded(name: str) -> Path:
    """Bring the files onto this machine, or find them there; safetensors where there are any."""
    from huggingface_hub import snapshot_download

    try:
        for weights in (_SAFE_WEIGHTS, _OTHER_WEIGHTS):
            wanted = [*_PARTS, *_OPTIONAL, weights]
            folder = Path(snapshot_download(name, allow_patterns=wanted))
            if (folder / weights).is_file():
                break
    except Exception as error:  # which HTTP library raises varies
        raise FetchError(
            f"{name} is not a folder and cannot be downloaded from the model hub: "
            f"{type(error).__name__}"
        ) from error
    return folder


def _check_parts(name: str, folder: Path) -> None:
    missing = [part for part in _PARTS if not (folder / part).is_file()]
    if not (folder / _weights_of(folder)).is_file():
        missing.append(_SAFE_WEIGHTS)
    if "config.json" not in missing:
        try:
            config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        except ValueError as error:
            raise SettingsError(f"{name}: config.json is not JSON: {error}") from error
        kind = config.get("model_type") if isinstance(config, dict) else None
        if kind != "marian":
            raise SettingsError(f"{name} is not a MarianMT model: its model_type is {kind!r}")
    if missing:
        raise SettingsError(f"{name} is not a MarianMT model: {', '.join(missing)} missing")


def _weights_of(folder: Path) -> str:
    return _SAFE_WEIGHTS if (folder / _SAFE_WEIGHTS).is_file() else _OTHER_WEIGHTS


def _loaded(folder: Path) -> tuple[Any, Any, list[str]]:
    """Return model, tokenizer, and the tensors that the file of weights should have but has not."""
    from transformers import MarianMTModel, MarianTokenizer

    with _quiet():
        model, loading = MarianMTModel.from_pretrained(
            str(folder),
            local_files_only=True,
            weights_only=True,
            use_safetensors=_weights_of(folder) == _SAFE_WEIGHTS,
            output_loading_info=True,
        )
        tokenizer = MarianTokenizer.from_pretrained(str(folder), local_files_only=True)
    return model, tokenizer, sorted(loading["missing_keys"])


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep transformers from drawing a bar of its own, and from recommending what it never uses."""
    from transformers.utils import logging

    had_bar = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", "Recommended: pip install sacremoses")
            yield
    finally:
        if had_bar:
            logging.enable_progress_bar()


def _digest(folder: Path) -> str:
    hasher = hashlib.sha256()
    for name in (*_PARTS, *_OPTIONAL, _weights_of(folder)):
        if (folder / name).is_file():
            with (folder / name).open("rb") as stream:
                found = hashlib.file_digest(stream, "sha256").hexdigest()
            hasher.update(f"{name} {found}\n".encode())
    return hasher.hexdigest()
