"""A child of the training benchmark: pretraining in one way, a step for each line it is sent.

Its one argument is JSON: the fields of `Way`. What comes back for a line, whatever it says, is one
line of JSON: seconds, loss and peak memory of the step.
"""

import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import lightning
import torch
from torch.utils.data import DataLoader, IterableDataset

from parts.forward import peak_bytes, wait
from parts.ways import Way

# The package of this name is meant, not the benchmark beside this file.
sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from training.pretraining.batches import Batch
from training.pretraining.label_loss import UNKNOWN
from training.pretraining.network import NetworkSettings
from training.pretraining.pretraining_module import Pretraining

TOKENS = 64
"""Of each text: what a report of a few sentences has."""

BERT_BASE = {
    "hidden_size": 768,
    "num_hidden_layers": 12,
    "num_attention_heads": 12,
    "intermediate_size": 3072,
}
SMALL_BERT = {
    "hidden_size": 128,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "intermediate_size": 256,
}


def main() -> None:
    """Report ready, then make a step for each line until the input ends."""
    way = Way(**json.loads(sys.argv[1]))
    torch.set_num_threads(way.threads)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    warnings.filterwarnings("ignore")
    lightning.seed_everything(10, verbose=False)
    trainer = lightning.Trainer(
        accelerator="gpu" if way.device == "cuda" else "cpu",
        devices=1,
        precision=way.precision,  # type: ignore[arg-type]  # its names are Lightning's to check
        max_epochs=1,
        logger=False,
        callbacks=[Steps(way.device)],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        use_distributed_sampler=False,
    )
    loader = DataLoader(AskedBatches(way), batch_size=None)
    try:
        trainer.fit(module_of(way), loader)
    except torch.OutOfMemoryError:
        print(json.dumps({"out_of_memory": True, "peak_bytes": peak_bytes(way.device)}), flush=True)


def module_of(way: Way) -> Pretraining:
    """Build what is trained, without dropout: every way then computes the same."""
    network = NetworkSettings(
        architecture=way.architecture,
        image_weights="random",
        tokenizer=way.tokenizer,
        text_config={
            **(SMALL_BERT if way.is_small_text else BERT_BASE),
            "hidden_dropout_prob": 0.0,
            "attention_probs_dropout_prob": 0.0,
        },
        dropout=0.0,
        drop_path=0.0,
        rows=way.rows,
        columns=way.columns,
    )
    return Pretraining(
        network,
        chunk_size=way.chunk,
        gradient_checkpointing=way.checkpointing,
        channels_last=way.channels_last,
    )


class AskedBatches(IterableDataset[Batch]):
    """The same batch again for each line of the input."""

    def __init__(self, way: Way) -> None:
        generator = torch.Generator().manual_seed(5)
        shape = (way.pairs, 2, 1, way.rows, way.columns)
        tokens = torch.randint(5, 200, (2 * way.pairs, TOKENS), generator=generator)
        self._batch = Batch(
            images=torch.rand(shape, generator=generator),
            tokens={"input_ids": tokens, "attention_mask": torch.ones_like(tokens)},
            labels=torch.full((way.pairs, 2, 3), UNKNOWN),
        )

    def __len__(self) -> int:
        return 1_000_000  # the scheduler asks; the input ends it

    def __iter__(self) -> Iterator[Batch]:
        print(json.dumps({"ready": True}), flush=True)
        for _ in sys.stdin:
            yield self._batch


class Steps(lightning.Callback):
    """Tells of each step how long it took."""

    def __init__(self, device: str) -> None:
        self._device = device
        self._begun = 0.0

    def on_train_batch_start(self, *_: Any) -> None:
        """Begin to count when the device has nothing else to do."""
        wait(self._device)
        self._begun = time.perf_counter()

    def on_train_batch_end(self, trainer: lightning.Trainer, *_: Any) -> None:
        """Tell, when the device is done."""
        wait(self._device)
        answer = {
            "seconds": time.perf_counter() - self._begun,
            "loss": float(trainer.callback_metrics["train_loss"]),
            "peak_bytes": peak_bytes(self._device),
        }
        print(json.dumps(answer), flush=True)


if __name__ == "__main__":
    main()
