"""Tells people of alarms: by a webhook, and by e-mail. No patient is in what is told."""

import json
import smtplib
import ssl
import urllib.request
from datetime import timedelta
from email.message import EmailMessage
from typing import Final
from urllib.error import HTTPError, URLError

import structlog

from dicom_node.settings.operation.monitoring import AlertSettings
from dicom_node.settings.settings import Settings
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.monitoring.alarm_book import note_alert, take_alert
from dicom_node.tls import client_context, words_for

log = structlog.get_logger("dicom_node.drift")

WEBHOOK: Final = "webhook"
MAIL: Final = "mail"

_MOST_AT_ONCE: Final = 20
_SECONDS: Final = 15.0


def channels_of(settings: AlertSettings) -> list[str]:
    """Return by what alarms are told."""
    channels = []
    if settings.webhook_url is not None:
        channels.append(WEBHOOK)
    if settings.smtp_host is not None:
        channels.append(MAIL)
    return channels


class _NoRedirect(urllib.request.HTTPRedirectHandler):
    """Goes nowhere else than where the settings say."""

    def redirect_request(self, *_: object) -> None:
        return None


class Channels:
    """Sends what is due, and enters in the ledger what became of it."""

    def __init__(self, settings: Settings, database: Database) -> None:
        self._settings = settings
        self._database = database

    def step(self) -> int:
        """Send what is due; return how many alerts were taken."""
        if not channels_of(self._settings.alerts):
            return 0
        taken, at = 0, self._database.now()
        for _ in range(_MOST_AT_ONCE):
            with self._database.writing() as session:
                one = take_alert(session, at=at)
            if one is None:
                break
            reason = self._told(one.channel, one.subject, one.body)
            give_up_after = timedelta(hours=self._settings.alerts.give_up_after_hours)
            with self._database.writing() as session:
                note_alert(
                    session,
                    one.id,
                    reason=reason,
                    at=self._database.now(),
                    give_up_after=give_up_after,
                )
            if reason:
                log.warning("alert_not_sent", kind=one.channel, reason=reason)
            taken += not reason
        return taken

    def _told(self, channel: str, subject: str, body: str) -> str:
        """Tell one alarm; return why that failed, or nothing."""
        alerts = self._settings.alerts
        try:
            if channel == WEBHOOK and alerts.webhook_url is not None:
                self._post(alerts, subject, body)
            elif channel == MAIL and alerts.smtp_host is not None:
                self._mail(alerts, subject, body)
        except HTTPError as error:
            return f"answered {error.code}"
        except (URLError, smtplib.SMTPException, OSError, ValueError) as error:
            return words_for(error)
        return ""

    def _post(self, alerts: AlertSettings, subject: str, body: str) -> None:
        content = json.dumps({"source": "mammoclip", "subject": subject, "text": body}).encode()
        headers = {"Content-Type": "application/json"}
        if alerts.webhook_token is not None:
            headers["Authorization"] = f"Bearer {alerts.webhook_token.get_secret_value()}"
        # The scheme is http or https: the settings take no other one.
        request = urllib.request.Request(  # noqa: S310
            str(alerts.webhook_url), data=content, headers=headers, method="POST"
        )
        handlers = [_NoRedirect(), urllib.request.ProxyHandler({})]
        if str(alerts.webhook_url).startswith("https"):
            handlers.append(urllib.request.HTTPSHandler(context=self._context()))
        with urllib.request.build_opener(*handlers).open(request, timeout=_SECONDS):
            pass

    def _mail(self, alerts: AlertSettings, subject: str, body: str) -> None:
        message = EmailMessage()
        message["Subject"] = f"[mammoclip] {subject}".replace("\n", " ").replace("\r", " ")
        message["From"] = alerts.mail_from
        message["To"] = ", ".join(alerts.mail_to)
        message.set_content(body)
        with smtplib.SMTP(str(alerts.smtp_host), alerts.smtp_port, timeout=_SECONDS) as server:
            if alerts.smtp_starttls:
                server.starttls(context=self._context())
            if alerts.smtp_user is not None and alerts.smtp_password is not None:
                server.login(alerts.smtp_user, alerts.smtp_password.get_secret_value())
            server.send_message(message)

    def _context(self) -> ssl.SSLContext:
        return client_context(self._settings.tls)
