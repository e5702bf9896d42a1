"""The detector in the suite: both findings, frozen and fine-tuned, on the given table's boxes."""

from typing import Final

from training.data.boxed_images import BOXED_FINDINGS
from training.detection.detector_training import DetectionOrder, train_detector
from training.detection.fitting import DetectionSettings
from training.detection.recipes import detection_recipe
from training.downstream.tasks import DataSet
from training.errors import TrainingError
from training.evaluation.suite_input import SuiteInput
from training.measures.figures import Figure

_FROZEN_PERCENT: Final = 100
"""The only share that the frozen encoder was published with."""


def detection_part(given: SuiteInput) -> list[Figure]:
    """Train the detectors on the training part and judge them on the test part."""
    data = given.sets.get(DataSet.VINDR)
    if data is None:
        return []
    recipe = detection_recipe(given.preset, epochs=given.epochs, learning_rate=given.learning_rate)
    runs = [(True, _FROZEN_PERCENT), *((False, percent) for percent in given.percents)]
    figures: list[Figure] = []
    for finding in BOXED_FINDINGS:
        for is_frozen, percent in runs:
            kind = "frozen" if is_frozen else "finetune"
            order = DetectionOrder(
                bundle=given.bundle,
                table=data.table,
                images=given.folders,
                out=given.out / "detection" / f"{finding}-{kind}-{percent}",
                finding=finding,
                settings=DetectionSettings(
                    recipe=recipe,
                    is_frozen=is_frozen,
                    device=given.machine.device,
                    workers=given.machine.workers,
                    ranks=given.machine.ranks,
                    seed=given.seed,
                ),
                preset=given.preset,
                percent=percent,
                keeps_run=True,
                skip_unreadable=given.skip_unreadable,
            )
            try:
                figures += train_detector(order, given.say)
            except TrainingError as error:
                figures.append(order.figure(remark=str(error).splitlines()[0]))
    return figures
