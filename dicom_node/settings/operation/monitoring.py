"""The sections [monitoring] and [alerts]: how the model is watched, and who is told."""

import re
from typing import Annotated, Any, Final
from urllib.parse import urlsplit

from pydantic import (
    AfterValidator,
    BeforeValidator,
    Field,
    NonNegativeFloat,
    PositiveFloat,
    field_validator,
    model_validator,
)

from dicom_node.settings.section import BearerToken, Port, Secret, Section

TRUTH_MEASURES: Final = ("sensitivity", "specificity", "predictive_value")
"""What a stop rule may say of answers whose truth is known."""

STOP_MEASURES: Final = ("flag_rate", "left_out_rate", "late_rate", *TRUTH_MEASURES)
"""What a stop rule may speak of."""

AGES: Final = r"[0-9]?0-[0-9]?9|[1-9]0-99"
"""Ages are noted in bands of ten years, and can be told apart by these alone."""

STOP_SENTENCE: Final = re.compile(
    r"\s*(?P<measure>[a-z_]+)\s*(?P<sign>[<>])\s*(?P<limit>0?\.[0-9]+|[01]|[01]\.0*)\s+for\s+"
    r"(?P<days>[1-9][0-9]{0,2})\s+days?\s*"
)
"""For example ``flag_rate > 0.25 for 3 days``."""


def _sentence(text: str) -> str:
    match = STOP_SENTENCE.fullmatch(text)
    if match is None or match["measure"] not in STOP_MEASURES:
        raise ValueError(
            "write for example 'flag_rate > 0.25 for 3 days', with one of "
            f"{', '.join(STOP_MEASURES)} and a share between 0 and 1"
        )
    return text


def _listed(value: Any) -> Any:
    return (value,) if isinstance(value, str) else value


class MonitoringSettings(Section):
    """How the model is watched: each scanner against its own past, once a minute."""

    enabled: bool = True
    """Look for alarms. What they are looked for in is noted in any case."""
    late_after_minutes: PositiveFloat = 30.0
    """Minutes from a study's last image to its answer, after which it counts as late."""
    on_time: Annotated[float, Field(ge=0.95, lt=1.0)] = 0.99
    """Share of the answers that should not be late, by which burn rates are counted."""
    stop_when: Annotated[
        tuple[Annotated[str, AfterValidator(_sentence)], ...],
        Field(max_length=8),
        BeforeValidator(_listed),
    ] = ()
    """When results are to be held, for example "flag_rate > 0.25 for 3 days". Default: never."""
    included_ages: Annotated[str, Field(pattern=rf"^({AGES})?$")] = ""
    """Ages that the model is meant for, in whole tens such as "40-79". Default: all."""
    includes_implants: bool = True
    """Whether it is meant for breasts with implants."""
    silence: bool = True
    """Look for scanners that are silent when they usually send."""


class AlertSettings(Section):
    """Whom alarms are told besides the log: an address on the web, and by e-mail."""

    webhook_url: str | None = None
    """Address that gets each alarm as JSON by POST. Default: none."""
    webhook_token: BearerToken | None = None
    """Sent as bearer token in Authorization."""
    smtp_host: str | None = None
    """Mail server. Default: no mail is sent."""
    smtp_port: Port = 587
    """Its port."""
    smtp_starttls: bool = True
    """Go on only encrypted, by STARTTLS; no password is ever sent otherwise."""
    smtp_user: str | None = None
    """Account at the mail server, if it asks for one."""
    smtp_password: Secret | None = None
    """Its password."""
    mail_from: str = ""
    """Sender of the mails."""
    mail_to: Annotated[tuple[str, ...], BeforeValidator(_listed)] = ()
    """Who gets them."""
    give_up_after_hours: NonNegativeFloat = 24.0
    """Hours after which an alarm that could not be told is given up; the ledger keeps it."""

    @field_validator("webhook_url")
    @classmethod
    def _is_of_the_web(cls, value: str | None) -> str | None:
        if value is not None and (
            urlsplit(value).scheme not in {"http", "https"} or not urlsplit(value).hostname
        ):
            raise ValueError("must begin with https:// or http:// and name a host")
        return value

    @field_validator("mail_from")
    @classmethod
    def _is_one_line(cls, value: str) -> str:
        if not value.isprintable():
            raise ValueError("must be one line of plain text")
        return value

    @field_validator("mail_to")
    @classmethod
    def _are_one_line(cls, value: tuple[str, ...]) -> tuple[str, ...]:
        return tuple(map(cls._is_one_line, value))

    @model_validator(mode="after")
    def _mail_has_addresses(self) -> "AlertSettings":
        if self.smtp_host is not None and not (self.mail_from and self.mail_to):
            raise ValueError("smtp_host needs mail_from and mail_to")
        if self.smtp_password is not None and not (self.smtp_user and self.smtp_starttls):
            raise ValueError("smtp_password needs smtp_user and smtp_starttls = true")
        return self
