"""What every process of a night runs first: a clock that can be put back, a simulated model, and
an ear for messages that can be stopped."""

import os
from datetime import datetime as real_datetime
from datetime import timedelta, tzinfo
from pathlib import Path
from types import SimpleNamespace
from typing import Any

AN_HOUR = timedelta(hours=1)


def put_back() -> bool:
    """Return whether the night has put the clock back."""
    return Path(os.environ["NIGHT_FOLDER"], "clock-is-back").exists()


class _Datetime(real_datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> Any:
        return real_datetime.now(tz) - (AN_HOUR if put_back() else timedelta())


def _time_ns() -> int:
    import time

    return time.time_ns() - (3600 * 10**9 if put_back() else 0)


def _install() -> None:
    from dicom_node import node_process
    from dicom_node.receive.registration import registrar
    from dicom_node.spool import receipt_clock
    from dicom_node.studies.ledger import locks

    node_process.datetime = locks.datetime = registrar.datetime = _Datetime  # type: ignore[misc, attr-defined]
    receipt_clock.time = SimpleNamespace(time_ns=_time_ns)  # type: ignore[attr-defined]
    if os.environ.get("NIGHT_MODEL"):
        from simulated_model import load_simulated

        from mammoclip_core.engines import choice

        choice.load_engine = load_simulated  # type: ignore[assignment]
        _let_it_become_deaf()


def _let_it_become_deaf() -> None:
    from kombu.transport import redis

    ask = redis.Channel._brpop_start

    def ask_unless_deaf(self: Any, timeout: Any = None) -> None:
        if not Path(os.environ["NIGHT_FOLDER"], "is-deaf").exists():
            ask(self, timeout)

    redis.Channel._brpop_start = ask_unless_deaf


if "NIGHT_FOLDER" in os.environ:
    _install()
