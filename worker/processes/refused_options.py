"""Options of ``celery worker`` that this worker refuses, each with what to do instead."""

from typing import Any, Final

from dicom_node.studies.broker import DELIVER_QUEUE, GPU_QUEUE

_POOLS: Final = ("celery.concurrency.prefork", "celery.concurrency.solo")
_QUEUES: Final = frozenset({GPU_QUEUE, DELIVER_QUEUE})


def refusal_of(worker: Any) -> str:
    """Return in a sentence why a worker must not start as it was asked to; else nothing.

    Parameters
    ----------
    worker : Celery's, with the options of its command line and of its configuration
    """
    return next(filter(None, (_of_its_pool(worker), _of_its_tasks(worker), _of_queues(worker))), "")


def refusal_of_concurrency(asked: object) -> str:
    """Return in a sentence why a worker must not have so many processes; else nothing.

    Parameters
    ----------
    asked : what follows ``--concurrency``: a number, or a word for which Celery takes one
    """
    if isinstance(asked, str):
        return (
            "each process of this worker loads a model, and as many as there are cores would fill "
            "the memory. Give --concurrency a number, or leave it out"
        )
    return ""


def _of_its_pool(worker: Any) -> str:
    pool = worker.pool_cls.__module__
    if pool not in _POOLS:
        return (
            f"this worker does not run in the pool {pool.rpartition('.')[2]}, whose tasks share "
            "one model. Start it without --pool (one process for each model) or with --pool solo"
        )
    if worker.pool_start_method != "fork":
        return (
            "this worker does not start its processes by spawn, which would lose the settings of "
            "its tasks. Start it without --pool-start-method"
        )
    if worker.options.get("autoscale"):
        return (
            "this worker keeps its number of processes: one that is taken away ends the deliveries "
            "that it has under way. Start it with --concurrency in place of --autoscale"
        )
    return ""


def _of_its_tasks(worker: Any) -> str:
    if worker.time_limit or worker.soft_time_limit:
        return (
            "a time limit of Celery would end the same study again and again. Start the worker "
            "without --time-limit and --soft-time-limit: every stage of an analysis has a "
            "deadline, see work.stage_seconds"
        )
    if worker.prefetch_multiplier != 1:
        return (
            "a worker that takes more messages than it works on holds up the studies of others. "
            "Start it without --prefetch-multiplier"
        )
    if worker.options.get("beat"):
        return "this worker has nothing to do at fixed times. Start it without --beat"
    return ""


def _of_queues(worker: Any) -> str:
    chosen = set(worker.app.amqp.queues.consume_from)
    if strange := sorted(chosen - _QUEUES):
        return (
            f"nothing is ever sent to the queue {strange[0]!r}. Give --queues gpu, deliver, or "
            "both with a comma between them"
        )
    if not chosen:
        return "a worker without queues would do nothing. Start it without --exclude-queues"
    return ""
