"""Mammo-FActOR in the suite: trained without boxes on the given table, judged by its boxes."""

from typing import Final

from training.downstream.tasks import DataSet
from training.errors import TrainingError
from training.evaluation.suite_input import SuiteInput
from training.factor.factor_training import FactorOrder, train_factor
from training.factor.fitting import FactorSettings
from training.measures.figures import Figure

_TASK: Final = "VinDr localisation without boxes"


def localisation_part(given: SuiteInput) -> list[Figure]:
    """Train Mammo-FActOR on the training part and judge it on the test part."""
    data = given.sets.get(DataSet.VINDR)
    if data is None:
        return []
    if not given.manifest.text_encoder:
        remark = "the bundle has no text encoder"
        return [Figure(task=_TASK, setting="Mammo-FActOR", measure="mean IoU", remark=remark)]
    defaults = FactorSettings()
    order = FactorOrder(
        bundle=given.bundle,
        table=data.table,
        images=given.folders,
        out=given.out / "factor",
        settings=FactorSettings(epochs=given.epochs or defaults.epochs, seed=given.seed),
        device=given.machine.device,
        ranks=given.machine.ranks,
        keeps_run=True,
        skip_unreadable=given.skip_unreadable,
    )
    try:
        return train_factor(order, given.say)
    except TrainingError as error:
        reason = str(error).splitlines()[0]
        return [Figure(task=_TASK, setting="Mammo-FActOR", measure="mean IoU", remark=reason)]
