"""What these tests share: a worklist server, and a node before it."""

from collections.abc import Callable, Iterator
from typing import Any

import pytest
from node_factory import Reception
from worklist_double import Worklist
from worklist_site import Site


@pytest.fixture(scope="session")
def worklist_server() -> Iterator[Worklist]:
    with Worklist().running() as running:
        yield running


@pytest.fixture
def worklist(worklist_server: Worklist) -> Worklist:
    """Return a worklist server without workitems and without faults."""
    worklist_server.reset()
    return worklist_server


@pytest.fixture
def site(reception: Reception, worklist: Worklist) -> Site:
    return Site(reception, worklist)


@pytest.fixture
def site_with(reception: Reception, worklist: Worklist) -> Callable[..., Site]:
    """Return what makes a node of other settings under [ups]."""

    def build(**options: Any) -> Site:
        return Site(reception, worklist, options)

    return build
