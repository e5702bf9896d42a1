"""The figures of the held-out breasts are those that can be counted by hand."""

import pytest
import torch
from torch.nn.functional import normalize

from training.pretraining.label_loss import UNKNOWN
from training.pretraining.validation_figures import ValidationFigures


def test_rank_is_among_distinct_texts_and_labels_that_are_unknown_count_nothing() -> None:
    texts = torch.eye(4)[[0, 1, 1]]  # two breasts have the same report
    first = normalize(torch.tensor([[1.0, 0, 0, 0], [1, 0.5, 0, 0], [0, 1, 0, 0]]))
    labels = torch.full((3, 2, 3), UNKNOWN)
    labels[:, 0, 0] = torch.tensor([0, 0, 1])
    prompts = torch.eye(4)[[0, 1, 2, 3, 0, 1, 2, 3]]  # no mass is the first axis, mass the second
    figures = ValidationFigures()
    figures.add((first[:2], first[:2]), texts[:2], labels[:2])
    figures.add((first[2:], first[2:]), texts[2:], labels[2:])

    told = figures.figures(prompts)

    assert told == {
        "retrieval_mean_rank": pytest.approx(4 / 3),
        "retrieval_recall_at_1": pytest.approx(2 / 3),
        "zero_shot_auroc_mass": 1.0,
    }


def test_nothing_is_told_of_no_breast() -> None:
    assert ValidationFigures().figures(torch.eye(4)) == {}
