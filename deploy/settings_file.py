"""A node's settings file with the demonstration's values, made from the commented default file."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from deploy.archive import AE_TITLE, HOST
from dicom_node.settings.reading import default_settings_text

DEMONSTRATION_TERMS: Final = "Apache-2.0 demonstration use"
"""The words that accept the demonstration bundle, which learned from synthetic phantoms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Site:
    """What differs from site to site.

    Attributes
    ----------
    listen_on : address
        ``127.0.0.1``, or ``0.0.0.0`` for every network of the machine.
    archive_port : of the archive's DICOM listener on this machine
    secondary_capture_senders : AE titles whose Secondary Captures are mammograms
    """

    spool: Path
    listen_on: str
    port: int
    broker_url: str
    archive_port: int
    idle_seconds: float
    grace_seconds: float
    minimum_free_bytes: int = 2_000_000_000
    secondary_capture_senders: tuple[str, ...] = ()


def settings_text(site: Site) -> str:
    """Return the default settings file with the site's values and one destination."""
    senders = ", ".join(f'"{sender}"' for sender in site.secondary_capture_senders)
    text = default_settings_text()
    for key, value in {
        "spool": f'"{site.spool}"',
        "receive.host": f'"{site.listen_on}"',
        "receive.port": str(site.port),
        "receive.secondary_capture_senders": f"[{senders}]",
        "receive.minimum_free_bytes": str(site.minimum_free_bytes),
        "settling.idle_seconds": str(site.idle_seconds),
        "settling.grace_seconds": str(site.grace_seconds),
        "model.device": f'"auto"\naccept = "{DEMONSTRATION_TERMS}"',
        "broker.url": f'"{site.broker_url}"',
    }.items():
        text = _with_value(text, key, value)
    return text + (
        "\n[[destinations]]\n"
        'name = "archive"\n'
        'kind = "dicom"\n'
        f'ae_title = "{AE_TITLE}"\n'
        f'host = "{HOST}"\n'
        f"port = {site.archive_port}\n"
    )


def _with_value(text: str, name: str, value: str) -> str:
    """Return the settings with a value of a section, such as ``receive.port``, or of none."""
    section, _, key = name.rpartition(".")
    begin = text.index(f"\n[{section}]\n") + 1 if section else 0
    following = re.search(r"^\[", text[begin + 1 :], flags=re.MULTILINE)
    end = begin + 1 + following.start() if following else len(text)
    changed, count = re.subn(
        rf"^{re.escape(key)} = .*$",
        lambda _: f"{key} = {value}",
        text[begin:end],
        flags=re.MULTILINE,
    )
    if count != 1:
        raise ValueError(f"the default settings file sets {name} {count} times, expected once")
    return text[:begin] + changed + text[end:]
