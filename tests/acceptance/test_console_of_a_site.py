"""Whoever looks after a site sees in the console what fails, and mends it by a button."""

import os
import re
import subprocess
from pathlib import Path

import pytest
from browser import headless_browser
from playwright.sync_api import expect
from ports import free_port
from sample_images import PHANTOM
from sending import all_stored, datasets_of, send
from services import BIN, Site, running, wait_for

PASSWORD = "three small words of ours"
ACCESSION = "MG-2026-0418"
SILENT_MS = 40_000
"""A worker is silent 25 s after its last heartbeat, and the page looks every 3 s."""


@pytest.mark.long
@pytest.mark.orthanc
def test_dead_archive_and_stopped_worker_are_seen_and_mended(tmp_path: Path, bundle: Path) -> None:
    site = Site(tmp_path, bundle)
    port = free_port()
    retry = (
        "[retry]\nbreaker_failures = 1\nfirst_probe_seconds = 600\nlongest_probe_seconds = 600\n"
    )
    console = f"\n[console]\nenabled = true\nport = {port}\n"
    site.config.write_text(site.config.read_text().replace("[retry]\n", retry) + console)
    images = datasets_of(PHANTOM)
    for image in images:
        image.AccessionNumber = ACCESSION
    uid = images[0].StudyInstanceUID
    url = f"http://127.0.0.1:{port}"

    with running(site, "broker", "node", "worker"), headless_browser(tmp_path / "b") as browser:
        make_account(site)
        assert all_stored(send(images, port=site.node_port))
        page = browser.page
        page.goto(f"{url}/failures")
        page.get_by_label("Name").fill("ward")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in").click()

        def is_down() -> bool:
            page.goto(f"{url}/failures")
            return page.get_by_text("Destination archive takes nothing").count() == 1

        wait_for(is_down, seconds=180, what="the dead archive is one line among the failures")
        site.archive.start()
        page.get_by_role("button", name=re.compile("Retry all")).click()
        page.goto(f"{url}/destinations")
        expect(page.get_by_text("closed")).to_be_visible(timeout=60_000)
        site.wait_for_condition(uid, "delivered")

        page.goto(f"{url}/studies")
        page.get_by_label(re.compile("Accession number")).fill(ACCESSION)
        page.keyboard.press("Enter")
        page.get_by_role("link", name=ACCESSION).click()
        expect(page.get_by_text("Objects and where each is")).to_be_visible()
        expect(page.locator("main")).to_contain_text("delivered")

        page.goto(f"{url}/workers")
        expect(page.get_by_text("running").first).to_be_visible()
        site.worker.kill()
        expect(page.get_by_text("silent").first).to_be_visible(timeout=SILENT_MS)
        # Pictures of a page that is left are no longer waited for.
        assert not browser.complaints


def make_account(site: Site) -> None:
    """Make an account as an administrator does, with the password on standard input."""
    subprocess.run(
        [str(BIN / "mammoclip-node"), "users", "add", "ward", "--role", "operator"],
        env={**os.environ, **site.environment},
        cwd=site.folder,
        input=f"{PASSWORD}\n",
        text=True,
        check=True,
        timeout=60,
    )
