"""The Celery application; settings are read at first use, never at import."""

from typing import Any

from celery import Celery
from celery.signals import setup_logging
from click import ClickException

from dicom_node.errors import SettingsError
from dicom_node.logs import configure_logs
from dicom_node.settings.reading import load_settings
from dicom_node.settings.settings import Settings
from dicom_node.studies.broker import broker_options, celery_configuration
from worker.celery_log import tell_celery_errors
from worker.devices import default_concurrency


def _configuration() -> dict[str, Any]:
    settings = _settings()
    return {
        **celery_configuration(**broker_options(settings)),
        "worker_concurrency": default_concurrency(),
        "worker_enable_remote_control": True,
        "imports": ["worker.tasks"],
    }


app = Celery("worker")
app.add_defaults(_configuration)


@setup_logging.connect
def _configure_logs(**_options: object) -> None:
    configure_logs(_settings().log_format)
    tell_celery_errors()


def _settings() -> Settings:
    """Read the settings; Celery's command prints their mistakes without a traceback."""
    try:
        return load_settings()
    except SettingsError as error:
        raise ClickException(str(error)) from error
