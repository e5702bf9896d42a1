"""Published files of reproducible weights, for which the official code's numbers are kept.

The numbers lie in ``tests/fixtures/mammo_clip``, whose README says how they were computed. They
hold for these weights to the bit, so nothing that is drawn here may change:
``tests/unit/test_reproducible_weights.py`` compares digests.
"""

import hashlib
import json
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import torch
from drawn_weights import SPECIAL_TOKENS
from numpy.typing import NDArray
from published_files import save_as_numpy_1
from torch import Tensor
from transformers import BertConfig, BertModel

FIXTURES: Final = Path(__file__).parent / "fixtures" / "mammo_clip"

ARCHITECTURE: Final = "tf_efficientnet_b2"
TEXT_CONFIG: Final = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
    "max_position_embeddings": 512,
}
EMBEDDING_SIZE: Final = 512

_VOCABULARY: Final = [
    "no",
    "mass",
    "suspicious",
    "calcification",
    "calcifications",
    "malignancy",
    "there",
    "is",
    "are",
    "a",
    "an",
    "in",
    "the",
    "right",
    "left",
    "breast",
    "upper",
    "lower",
    "inner",
    "outer",
    "anterior",
    "middle",
    "posterior",
    "depth",
    "evidence",
    "of",
    "mammographic",
    "benign",
    "density",
    "fatty",
    "scattered",
    "areas",
    "fibroglandular",
    "heterogeneously",
    "dense",
    "extremely",
    "architectural",
    "distortion",
    "asymmetry",
    "focal",
    "global",
    "skin",
    "thickening",
    "nipple",
    "retraction",
    "lymph",
    "node",
    "grouped",
    "linear",
    "segmental",
    "oval",
    "round",
    "irregular",
    "spiculated",
    "circumscribed",
    "birads",
    "and",
    "seen",
    "not",
]

_DETECTOR_GAINS: Final[Mapping[str, float]] = {
    "fpn.P3_1.weight": 0.3,
    "fpn.P3_2.weight": 0.27,
    "fpn.P4_1.weight": 0.5,
    "fpn.P4_2.weight": 0.4,
    "fpn.P5_2.weight": 0.9,
    "fpn.P6.weight": 1.8,
    "fpn.P7_2.weight": 1.6,
    "classificationModel.output.weight": 1.2,
}
"""What makes all five levels of the pyramid find something."""

_SCORE_OFFSET: Final = -5.595
"""On every anchor's logit: most anchors lie below the threshold of 0.05."""

State = dict[str, Tensor]


def write_checkpoint(folder: Path) -> Path:
    """Write ``checkpoint.tar`` and its ``tokenizer``, as a pretraining run leaves them.

    Returns
    -------
    Path
        The checkpoint.
    """
    words = _write_tokenizer(folder / "tokenizer")
    path = folder / "checkpoint.tar"
    content = {
        "model": _pretrained_state(words),
        "optimizer": {},
        "scheduler": {},
        "config": _training_configuration(),
        "epoch": 7,
        "train_loss": 1.0,
    }
    torch.save(content, path)
    return path


def write_detector(path: Path, classes: int = 1) -> Path:
    """Write the detector of a number of classes."""
    save_as_numpy_1({"state_dict": detector_state(classes), "best_MAP": np.float64(0.5)}, path)
    return path


def write_classifier(path: Path, outputs: int = 1) -> Path:
    """Write a classifier with a number of logits."""
    content = {
        "model": classifier_state(outputs),
        "predictions": np.zeros(8, np.float32),
        "epoch": 3,
        "auroc": np.float64(0.8),
    }
    save_as_numpy_1(content, path)
    return path


def textured_half_ellipse(rows: int = 1520, columns: int = 912) -> NDArray[np.uint8]:
    """Return the grey image that the numbers were computed for, shaped as a breast is."""
    row, column = np.indices((rows, columns), dtype=np.float32)
    half = rows / 2
    shape = np.clip(1 - ((column / columns) ** 2 + ((row - half) / half) ** 2), 0, 1)
    generator = np.random.RandomState(7)
    texture = np.zeros((rows, columns), np.float32)
    for cell in (4, 8, 16, 32, 64):
        coarse = generator.standard_normal((rows // cell + 2, columns // cell + 2))
        fine = coarse.astype(np.float32).repeat(cell, axis=0).repeat(cell, axis=1)
        texture += fine[:rows, :columns]
    grey: NDArray[np.uint8] = (255 * np.clip(shape * (0.6 + 0.08 * texture), 0, 1)).astype(np.uint8)
    return grey


def encoder_state() -> State:
    """Return the image encoder under its published names, without any prefix."""
    with np.load(FIXTURES / "efficientnet-b2-bn.npz") as statistics:
        known = {name: torch.from_numpy(statistics[name]) for name in statistics.files}
    return {
        key: known[key] if key in known else _encoder_tensor(key, shape)
        for key, shape in _shapes("efficientnet-b2-shapes.json").items()
    }


def detector_state(classes: int = 1) -> State:
    """Return a detector under its published names, in their order."""
    encoder = encoder_state()
    state = {}
    for key, of_one in _shapes("detector-b2-shapes.json").items():
        bare = key.removeprefix("efficientnet.")
        if bare != key and bare in encoder:
            state[key] = encoder[bare]
            continue
        by_class = key.startswith("classificationModel.output.") or bare.startswith("_fc.")
        shape = (of_one[0] * classes, *of_one[1:]) if by_class else of_one
        state[key] = torch.from_numpy(_detector_weight(key, _weight(bare, shape)))
    return state


def classifier_state(outputs: int = 1) -> State:
    """Return an image encoder with a linear head, under its published names."""
    encoder = encoder_state()
    state = {f"image_encoder.{key}": value for key, value in encoder.items()}
    head = "classifier.classification_head"
    state |= _linear(head, outputs, _features(encoder))
    return state


def _pretrained_state(words: int) -> State:
    encoder = encoder_state()
    state = {f"image_encoder.{key}": value for key, value in encoder.items()}
    with torch.device("meta"):
        bert = BertModel(BertConfig(vocab_size=words, **TEXT_CONFIG)).state_dict()
    prefix = "text_encoder.text_encoder."
    state |= {
        prefix + key: torch.from_numpy(_weight(key, tuple(value.shape)))
        for key, value in bert.items()
    }
    positions = torch.arange(TEXT_CONFIG["max_position_embeddings"])
    state[f"{prefix}embeddings.position_ids"] = positions[None]  # as older transformers saved it
    state |= _linear("image_projection.projection", EMBEDDING_SIZE, _features(encoder))
    state |= _linear("text_projection.projection", EMBEDDING_SIZE, TEXT_CONFIG["hidden_size"])
    state["logit_scale"] = torch.tensor(math.log(1 / 0.07))
    return state


def _training_configuration() -> dict[str, Any]:
    language_model = "emilyalsentzer/Bio_ClinicalBERT"
    return {
        "model": {
            "name": "clip_custom",
            "temperature": 0.07,
            "image_encoder": {
                "source": "cnn",
                "name": "tf_efficientnetv2-detect",
                "pretrained": True,
                "model_type": "cnn",
            },
            "text_encoder": {
                "source": "huggingface",
                "name": language_model,
                "pretrained": True,
                "gradient_checkpointing": False,
                "pooling": "eos",
                "trust_remote_code": True,
                "mlm_head": True,
            },
            "projection_head": {"name": "linear", "dropout": 0.1, "proj_dim": EMBEDDING_SIZE},
        },
        "base": {
            "mean": 0.3089279,
            "std": 0.25053555408335154,
            "image_size_h": 1520,
            "image_size_w": 912,
            "text_max_length": 256,
            "amp": True,
            "seed": 10,
            "fold": 0,
        },
        "loss": {
            "breast_clip": {
                "label_smoothing": 0.0,
                "i2i_weight": 1.0,
                "t2t_weight": 0.5,
                "loss_ratio": 1.0,
            }
        },
        "tokenizer": {
            "source": "huggingface",
            "pretrained_model_name_or_path": language_model,
        },
    }


def _write_tokenizer(folder: Path) -> int:
    letters = [chr(code) for code in range(ord("a"), ord("z") + 1)]
    entries = [
        *SPECIAL_TOKENS,
        *_VOCABULARY,
        *letters,  # "a" stands twice: the numbers were computed so
        *(f"##{letter}" for letter in letters),
    ]
    folder.mkdir(parents=True)
    (folder / "vocab.txt").write_text("\n".join(entries) + "\n", encoding="utf-8")
    settings = {"tokenizer_class": "BertTokenizer", "do_lower_case": True}
    (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    return len(entries)


def _weight(key: str, shape: tuple[int, ...]) -> NDArray[np.float32]:
    """Draw a tensor from its name: scaled by the fan-in; gains near 1, offsets near 0."""
    seed = int.from_bytes(hashlib.sha256(key.encode()).digest()[:4], "little")
    drawn = np.random.RandomState(seed).standard_normal(size=shape).astype(np.float32)
    match len(shape):
        case 4:
            return drawn * np.float32(math.sqrt(2.0 / math.prod(shape[1:])))
        case 2:
            return drawn * np.float32(math.sqrt(1.0 / shape[1]))
        case _:
            return (0.1 * drawn + (1 if key.endswith(".weight") else 0)).astype(np.float32)


def _encoder_tensor(key: str, shape: tuple[int, ...]) -> Tensor:
    if key.endswith("num_batches_tracked"):
        return torch.tensor(1)
    return torch.from_numpy(_weight(key, shape))


def _detector_weight(key: str, drawn: NDArray[np.float32]) -> NDArray[np.float32]:
    scaled = drawn * np.float32(_DETECTOR_GAINS.get(key, 1))
    if key == "classificationModel.output.weight":
        # without an offset that all channels share, so that each class and anchor shape occurs
        scaled -= scaled.mean((1, 2, 3), keepdims=True)
    elif key == "classificationModel.output.bias":
        scaled = (scaled + _SCORE_OFFSET).astype(np.float32)
    return scaled


def _linear(name: str, outputs: int, inputs: int) -> State:
    shapes = {f"{name}.weight": (outputs, inputs), f"{name}.bias": (outputs,)}
    return {key: torch.from_numpy(_weight(key, shape)) for key, shape in shapes.items()}


def _features(encoder: State) -> int:
    return encoder["_conv_head.weight"].shape[0]


def _shapes(name: str) -> dict[str, tuple[int, ...]]:
    read = json.loads((FIXTURES / name).read_text(encoding="utf-8"))
    return {key: tuple(shape) for key, shape in read.items()}
