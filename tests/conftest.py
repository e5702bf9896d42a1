"""What holds for every test: a misspelt DICOM keyword is an error, further images are optional."""

import gc
import sys
import threading
from collections.abc import Generator, Iterator

import pydicom.config
import pytest
import structlog.dev
from pynetdicom.transport import AssociationSocket
from sample_images import skip_without_further_images

pydicom.config.INVALID_KEYWORD_BEHAVIOR = "RAISE"

_shut_down = AssociationSocket._shutdown_socket


def _shut_down_and_close(self: AssociationSocket) -> None:
    """Close the connection of a test's peer also where the other side was first.

    The library leaves it open until it is collected: a warning, in whatever test runs then.
    """
    _shut_down(self)
    if type(self) is AssociationSocket and self.socket is not None:
        self.socket.close()


AssociationSocket._shutdown_socket = _shut_down_and_close  # type: ignore[method-assign]

# As the product's own logs: by itself the library draws all variables of each call, for a second.
structlog.dev.ConsoleRenderer.get_active().exception_formatter = structlog.dev.plain_traceback


@pytest.fixture(autouse=True)
def hooks_as_before() -> Iterator[None]:
    """Take errors that nobody catches away from the log of a test: pytest is to find them."""
    hooks = threading.excepthook, sys.excepthook
    yield
    threading.excepthook, sys.excepthook = hooks


@pytest.hookimpl(wrapper=True, tryfirst=True)
def pytest_collection() -> Generator[None, object, object]:
    """Let no search for garbage look at all tests, of which nothing is: it takes up to a second."""
    gc.disable()
    try:
        return (yield)
    finally:
        gc.freeze()
        gc.enable()


def pytest_runtest_setup(item: pytest.Item) -> None:
    skip_without_further_images(item)
