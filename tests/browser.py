"""A headless browser for tests, which keeps everything that a page complains of."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from io import BytesIO
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from playwright.sync_api import (
    ConsoleMessage,
    Page,
    Request,
    Response,
    expect,
    sync_playwright,
)
from services import require_program

SIZE: Final = {"width": 1400, "height": 900}

_OPTIONS: Final = (
    "--no-sandbox",  # chromium refuses its sandbox to root, and containers are root
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-dev-shm-usage",
    "--disable-quic",
    "--disable-sync",
    "--enable-unsafe-swiftshader",  # WebGL without a graphics card
    "--no-first-run",
)


@dataclass
class Browser:
    """One page, and what went wrong in it."""

    page: Page
    complaints: list[str] = field(default_factory=list)

    def listen(self) -> None:
        self.page.on("console", self._console)
        self.page.on("pageerror", lambda error: self.complaints.append(f"thrown: {error}"))
        self.page.on("requestfailed", self._failed)
        self.page.on("response", self._response)

    def pixels(self) -> NDArray[np.uint8]:
        """Return what is on the screen: (rows, columns, 3)."""
        return np.asarray(Image.open(BytesIO(self.page.screenshot())).convert("RGB"))

    def _failed(self, request: Request) -> None:
        # A viewer takes requests back whose answers it no longer needs.
        if "ERR_ABORTED" not in (request.failure or ""):
            self.complaints.append(f"failed: {request.url} {request.failure}")

    def _console(self, message: ConsoleMessage) -> None:
        # OHIF says at the level of debugging that a whole viewport is gone.
        if message.type == "error" or "Error Boundary" in message.text:
            self.complaints.append(f"console: {message.text}")

    def _response(self, response: Response) -> None:
        if response.status >= 400:
            self.complaints.append(f"{response.status}: {response.url}")


@contextmanager
def headless_browser(profile: Path) -> Iterator[Browser]:
    """Start Debian's chromium with a profile of its own, as on a first visit."""
    chromium = require_program("chromium")
    # On a loaded machine a sign-in alone may take longer than the library's five seconds.
    expect.set_options(timeout=60_000)
    with sync_playwright() as playwright:
        context = playwright.chromium.launch_persistent_context(
            profile, executable_path=chromium, headless=True, viewport=SIZE, args=list(_OPTIONS)
        )
        try:
            browser = Browser(context.pages[0])
            browser.listen()
            yield browser
        finally:
            context.close()
