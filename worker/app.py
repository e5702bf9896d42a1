"""The Celery application; settings are read at first use, never at import."""

from typing import Any

from celery import Celery
from celery.signals import celeryd_init, setup_logging
from click import ClickException

from dicom_node.errors import SettingsError
from dicom_node.logs import configure_logs
from dicom_node.settings.reading import load_settings
from dicom_node.settings.settings import Settings
from dicom_node.spool.private_files import keep_new_files_private
from dicom_node.studies.dispatch import celery_configuration
from worker.devices import default_concurrency


def _configuration() -> dict[str, Any]:
    settings = _settings()
    return {
        **celery_configuration(settings.broker.url.get_secret_value()),
        "worker_concurrency": default_concurrency(),
        "worker_enable_remote_control": True,
        "imports": ["worker.tasks"],
    }


app = Celery("worker")
app.add_defaults(_configuration)


@celeryd_init.connect
def _keep_new_files_private(**_options: object) -> None:
    keep_new_files_private()


@setup_logging.connect
def _configure_logs(**_options: object) -> None:
    configure_logs(_settings().log_format)


def _settings() -> Settings:
    """Read the settings; Celery's command prints their mistakes without a traceback."""
    try:
        return load_settings()
    except SettingsError as error:
        raise ClickException(str(error)) from error
