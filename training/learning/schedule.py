"""The learning rate of pretraining: linear warm-up, then the square of a cosine to 0."""

import math


def learning_rate_factor(step: int, warmup_steps: int, total_steps: int) -> float:
    """Return the factor, [0, 1], on the learning rate at a step.

    References
    ----------
    Mammo-CLIP (arXiv 2405.12255), section 3; official training configuration.
    """
    if step < warmup_steps:
        return (step + 1) / max(warmup_steps, 1)
    share = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
    return math.cos(math.pi / 2 * min(share, 1.0)) ** 2
