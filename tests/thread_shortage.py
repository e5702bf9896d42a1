"""A system that has no further thread to give, as where a limit of its processes is reached."""

import threading

import pytest


class ThreadShortage:
    """Lets no thread start whose name begins in some way, while it is on; all names do with ""."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, *names: str) -> None:
        self.is_on = True
        start = threading.Thread.start

        def start_if_possible(thread: threading.Thread) -> None:
            if self.is_on and thread.name.startswith(names):
                raise RuntimeError("can't start new thread")
            start(thread)

        monkeypatch.setattr(threading.Thread, "start", start_if_possible)
