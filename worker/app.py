"""The Celery application; settings are read at first use, never at import."""

from collections.abc import Mapping
from typing import Any, Final

from billiard import current_process
from celery import Celery
from celery.signals import (
    celeryd_after_setup,
    celeryd_init,
    setup_logging,
    task_postrun,
    worker_process_init,
    worker_process_shutdown,
    worker_ready,
    worker_shutdown,
)
from click import ClickException

from dicom_node.errors import SettingsError
from dicom_node.logs import configure_logs
from dicom_node.settings.reading import load_settings
from dicom_node.settings.settings import Settings
from dicom_node.spool.files.private_files import keep_new_files_private
from dicom_node.studies.broker import broker_options, celery_configuration
from worker.celery_log import receive_celery_records
from worker.devices import default_concurrency
from worker.processes.presence_step import PresenceStep
from worker.processes.refused_options import (
    refusal_of,
    refusal_of_concurrency,
    refuse_to_detach,
)
from worker.processes.termination import end_at_the_parents_signal_only
from worker.queue import redis_transport
from worker.settings_at_start import keep_settings

_LONGEST_START_SECONDS: Final = 120.0


def _configuration() -> dict[str, Any]:
    settings = _settings()
    try:
        shared = celery_configuration(**broker_options(settings))
    except SettingsError as error:
        raise ClickException(str(error)) from error
    return {
        **shared,
        **_own_transport(settings.broker.scheme),
        "worker_concurrency": default_concurrency(),
        # In KiB. A process that has grown is replaced between two tasks: see
        # worker.processes.memory_ceiling.
        "worker_max_memory_per_child": max(settings.work.worker_memory_bytes // 1024, 1),
        # A process that is not up in time is killed and started anew, which never ends on a machine
        # that is busy at its start; by default after four seconds.
        "worker_proc_alive_timeout": _LONGEST_START_SECONDS,
        # Whoever can write to the broker could otherwise stop workers: see worker.queue.consumer.
        "worker_enable_remote_control": False,
        "worker_consumer": "worker.queue.consumer:Consumer",
        "imports": ["worker.tasks"],
    }


def _own_transport(scheme: str) -> dict[str, Any]:
    """Return the node's transport for Redis, but for what others may have put into the queues."""
    return {"broker_transport": redis_transport.PATH} if scheme in {"redis", "rediss"} else {}


app = Celery("worker")
app.add_defaults(_configuration)
app.user_options["worker"].add(refuse_to_detach())
app.steps["worker"].add(PresenceStep)


@celeryd_init.connect
def _keep_settings(**_options: object) -> None:
    try:
        keep_settings()
    except SettingsError as error:
        raise ClickException(str(error)) from error


@celeryd_init.connect
def _keep_new_files_private(**_options: object) -> None:
    keep_new_files_private()


@setup_logging.connect
def _configure_logs(**_options: object) -> None:
    configure_logs(_settings().log_format)
    receive_celery_records()


@worker_process_init.connect
def _finish_what_runs(**_options: object) -> None:
    # A worker of --pool solo says the same of itself: its signals are those of a worker.
    if current_process().name != "MainProcess":
        end_at_the_parents_signal_only(_give_back_all)


def _give_back_all() -> None:
    # Imported here: a process that has taken nothing has loaded nothing of it.
    from worker.deliver.delivery import end_deliveries
    from worker.runtime import present_runtime
    from worker.unfinished import give_back_at_the_end

    node = present_runtime()
    if node is not None:
        give_back_at_the_end(node)
        end_deliveries(node, at_once=True)


@worker_ready.connect
def _watch_over(sender: Any, **_options: object) -> None:
    # Imported here: it needs the worker's part of Celery, which the application does not load.
    from worker.processes.watchdog import watch_over

    watch_over(sender, _settings())


@worker_process_shutdown.connect
@worker_shutdown.connect
def _end_deliveries(**_options: object) -> None:
    """Leave nothing in doubt: what is being sent ends in time, or is due again."""
    # Imported here: a process that has sent nothing has loaded nothing of it.
    from worker.deliver.delivery import end_deliveries
    from worker.runtime import present_runtime

    node = present_runtime()
    if node is not None:
        end_deliveries(node)


@task_postrun.connect
def _replace_what_has_grown(**_options: object) -> None:
    # Imported here: a process that has run a task has loaded it.
    from worker.processes.memory_ceiling import end_if_grown
    from worker.runtime import runtime

    end_if_grown(runtime().settings.work.worker_memory_bytes)


@celeryd_init.connect
def _refuse_concurrency(options: Mapping[str, Any], **_options: object) -> None:
    """End a worker that leaves their number to Celery; later only a number is to be seen."""
    if words := refusal_of_concurrency(options.get("concurrency")):
        raise SystemExit(f"Error: {words}")


@celeryd_after_setup.connect
def _refuse_options(instance: Any, **_options: object) -> None:
    """End a worker that was started with options by which it would lose or repeat work."""
    if words := refusal_of(instance, _configuration()):
        raise SystemExit(f"Error: {words}")


def _settings() -> Settings:
    """Read the settings; Celery's command prints their mistakes without a traceback."""
    try:
        return load_settings()
    except SettingsError as error:
        raise ClickException(str(error)) from error
