"""A person walks through the console with a browser, by the keyboard alone."""

import json
import os
import re
import sys
from collections.abc import Iterator
from datetime import timedelta
from pathlib import Path

import numpy as np
import pytest
import requests
from axe_playwright_python.sync_playwright import Axe
from browser import Browser, headless_browser
from console_factory import PASSWORD, Served, serving
from node_factory import Reception, analysis_row, delivery_row, result_row, study_row
from playwright.sync_api import Page, expect
from ports import free_port
from pydicom import dcmread
from sample_images import PHANTOM
from services import Service, wait_for
from sqlalchemy import update

from dicom_node.settings.work import RetrySettings
from dicom_node.studies.ledger.canary_runs import CanaryFacts, note_run
from dicom_node.studies.ledger.destinations.circuits import note_failure, note_success
from dicom_node.studies.ledger.due.workers import note_worker
from dicom_node.studies.ledger.locks import database_time
from dicom_node.studies.ledger.site_tables import KnownWorker
from dicom_node.studies.ledger.states import AnalysisState, DeliveryState, StudyState
from dicom_node.studies.ledger.tables import Study, Transition
from mammoclip_core.findings import (
    BundleIdentity,
    Finding,
    FindingSource,
    ImageFindings,
    ImageStatus,
    LocalisationMethod,
    Region,
    StudyFindings,
)
from mammoclip_core.findings_document import to_json

ACCESSION = "MG-2026-0417"
FAILED = 40
SCREENSHOTS = os.environ.get("MAMMOCLIP_SCREENSHOTS")
"""Folder for the pictures of docs/console.md; without it none are made."""
DESK, PHONE = {"width": 1280, "height": 860}, {"width": 390, "height": 780}


@pytest.fixture(scope="module")
def provider_port() -> int:
    return free_port()


@pytest.fixture(scope="module")
def site(
    tmp_path_factory: pytest.TempPathFactory, migrated_ledger: Path, provider_port: int
) -> Iterator[Served]:
    """Return a console before a study with findings, and an archive that is down."""
    oidc = {
        "issuer": f"http://127.0.0.1:{provider_port}",
        "client_id": "console",
        "client_secret": "secret",
        "operators": ["technicians"],
    }
    with serving(tmp_path_factory.mktemp("walk"), migrated_ledger, fill, oidc=oidc) as served:
        yield served


def fill(reception: Reception) -> None:
    images = [dcmread(file) for file in sorted(PHANTOM.glob("*.dcm"))]
    for image in images:
        image.AccessionNumber = ACCESSION
        image.PatientName, image.PatientID = "Muster^Maria", "MG-4711"
        image.decompress()
        assert reception.receive(image) is not None
    with reception.database.writing() as session:
        at = database_time(session)
        study = session.query(Study).one()
        study.state, study.revision = StudyState.SETTLED, 1
        study.last_received_at = study.first_received_at = at - timedelta(minutes=9)
        session.execute(update(Transition).values(at=at - timedelta(minutes=9)))
        done = analysis_row(
            session, study, state=AnalysisState.DONE, findings=findings_of(images),
            bundle="demonstration 1", finished_at=at - timedelta(minutes=7),
        )  # fmt: skip
        delivery_row(session, done, state=DeliveryState.ACCEPTED, finished_at=at)
        result_row(session, done)
        policy = RetrySettings(breaker_failures=1)
        reason = "connection refused by 10.20.0.7 port 104"
        note_failure(session, "archive", reason=reason, policy=policy, at=at)
        for number in range(FAILED):
            failed = analysis_row(
                session,
                study_row(session, f"1.2.826.0.1.9.{number + 1}", last_received_at=at),
                state=AnalysisState.DONE,
                findings="{}",
            )
            state = DeliveryState.REFUSED if number % 4 == 0 else DeliveryState.DUE
            delivery_row(session, failed, state=state, reason=reason, created_at=at, finished_at=at)


def beat(site: Served) -> None:
    """Let both workers say that they are there."""
    with site.database.writing() as session:
        for name, queue in (("gpu@room12", "gpu"), ("deliver@room12", "deliver")):
            note_worker(session, name, name=name, queues=[queue], processes=2, version="0.1.0")


def findings_of(images: list) -> str:
    region = Region(
        outline=((300.0, 420.0), (420.0, 400.0), (470.0, 500.0), (400.0, 590.0), (310.0, 540.0)),
        box=(300.0, 400.0, 470.0, 590.0),
        area_pixels=20_000,
        peak=(390.0, 490.0),
        activation=0.9,
    )

    def mass(*regions: Region, score: float) -> Finding:
        return Finding(
            name="mass",
            code="SCT|4147007|Mass",
            score=score,
            calibrated=False,
            above_threshold=score >= 0.5,
            threshold=0.5,
            source=FindingSource.PROMPT,
            method=LocalisationMethod.FACTOR if regions else LocalisationMethod.NONE,
            regions=regions,
        )

    return to_json(
        StudyFindings(
            study_instance_uid=images[0].StudyInstanceUID,
            bundle=BundleIdentity(
                name="demonstration", version="1", sha256="0" * 64, licence="Apache-2.0",
                permitted_use="demonstration", warning="Demonstration weights.",
            ),
            settings_sha256="0" * 64,
            images=tuple(
                ImageFindings(
                    sop_instance_uid=image.SOPInstanceUID,
                    laterality=image.ImageLaterality,
                    view_position=image.ViewPosition,
                    status=ImageStatus.ANALYSED,
                    findings=(mass(region, score=0.83) if number < 2 else mass(score=0.12),),
                )
                for number, image in enumerate(images)
            ),
            study=(mass(score=0.83),),
        )
    )  # fmt: skip


@pytest.fixture(scope="module")
def browser(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Browser]:
    with headless_browser(tmp_path_factory.mktemp("profile")) as browser:
        yield browser


def tab_to(page: Page, name: str) -> None:
    """Press the tab key until what is named has the focus, as somebody without a mouse does."""
    for _ in range(150):
        page.keyboard.press("Tab")
        told = page.evaluate(
            """() => { const at = document.activeElement;
            const label = at.labels && at.labels[0] ? at.labels[0].textContent : "";
            return (label || at.textContent || at.value || "").trim(); }"""
        )
        if re.fullmatch(name, told):
            shown = page.evaluate(
                "() => getComputedStyle(document.activeElement).outlineStyle !== 'none'"
            )
            assert shown, f"{name} shows that it has the focus"
            return
    pytest.fail(f"{name} is not reached by the keyboard")


def follow(page: Page, name: str) -> None:
    tab_to(page, name)
    page.keyboard.press("Enter")


def picture(page: Page, name: str) -> None:
    if SCREENSHOTS is not None:
        page.screenshot(path=Path(SCREENSHOTS) / f"{name}.png", full_page=True)


def require_accessible(page: Page) -> None:
    found = Axe().run(page).response["violations"]
    told = [(one["id"], one["impact"], [n["html"] for n in one["nodes"]][:3]) for one in found]
    assert not [one for one in told if one[1] in {"serious", "critical"}], told


def test_walk_by_the_keyboard_alone(site: Served, browser: Browser) -> None:
    page = browser.page
    page.set_viewport_size(DESK)
    page.goto(f"{site.url}/studies")
    expect(page).to_have_title(re.compile("Sign in"))
    require_accessible(page)
    page.keyboard.type("operator")
    page.keyboard.press("Tab")
    page.keyboard.type(PASSWORD)
    page.keyboard.press("Enter")
    expect(page).to_have_title(re.compile("Studies"))  # what was asked for before

    tab_to(page, "Accession number.*")
    page.keyboard.type(ACCESSION.lower())
    page.keyboard.press("Enter")
    expect(page.get_by_role("rowheader", name=ACCESSION)).to_be_visible()
    assert ACCESSION not in page.url
    picture(page, "studies")
    follow(page, ACCESSION)
    expect(page.get_by_role("heading", level=1)).to_contain_text(ACCESSION)

    overlay = page.locator("svg.overlay").first
    expect(overlay).to_have_css("opacity", "0.7")
    tab_to(page, "Outlines of what was found")
    page.keyboard.press("Home")
    expect(overlay).to_have_css("opacity", "0")
    page.keyboard.press("End")
    expect(overlay).to_have_css("opacity", "1")
    shown = page.locator(".picture img")
    for number in range(shown.count()):
        shown.nth(number).scroll_into_view_if_needed()
        wait_for(
            lambda number=number: shown.nth(number).evaluate("one => one.naturalWidth") > 100,
            seconds=60,
            what="the picture is there",
        )
    picture(page, "study")

    beat(site)
    page.goto(f"{site.url}/")
    expect(page.get_by_role("link", name=re.compile("archive is down"))).to_be_visible()
    picture(page, "now")
    follow(page, "Failures")
    expect(page.get_by_text("Destination archive takes nothing")).to_be_visible()
    picture(page, "failures")
    follow(page, f"Retry all {FAILED}")
    expect(page.get_by_role("status")).to_contain_text(f"{FAILED} deliveries to archive due now")
    assert not browser.complaints


def test_breaker_that_closes_and_worker_that_stops_are_shown_without_a_reload(
    site: Served, browser: Browser
) -> None:
    page = signed_in(site, browser)
    page.goto(f"{site.url}/destinations")
    expect(page.get_by_text("half_open")).to_be_visible()
    with site.database.writing() as session:
        note_success(session, "archive", at=database_time(session))
    expect(page.get_by_text("closed")).to_be_visible(timeout=30_000)

    beat(site)
    page.goto(f"{site.url}/workers")
    expect(page.get_by_role("row", name=re.compile("gpu@room12"))).to_contain_text("running")
    with site.database.writing() as session:
        # As if it was heard last 29 seconds ago: nobody has to wait for the others.
        at = database_time(session) - timedelta(seconds=29)
        session.execute(
            update(KnownWorker).where(KnownWorker.name == "gpu@room12").values(seen_at=at)
        )
    expect(page.get_by_role("row", name=re.compile("gpu@room12"))).to_contain_text(
        "silent", timeout=30_000
    )
    page.goto(f"{site.url}/")
    expect(page.get_by_text("worker gpu@room12 went silent")).to_be_visible()


def test_canary_is_red_at_its_next_run_with_the_phase_that_is_broken(
    site: Served, browser: Browser
) -> None:
    page = signed_in(site, browser)
    beat(site)
    page.goto(f"{site.url}/")
    expect(page.get_by_text("No canary study was sent yet")).to_be_visible()
    with site.database.writing() as session:
        run = CanaryFacts(
            began_at=database_time(session), seconds={"received": 0.2, "analysed": 3.0},
            broken="delivered", reason="archive refused it",
        )  # fmt: skip
        note_run(session, run, key="", scores="")

    trouble = page.get_by_role("link", name=re.compile("canary: .* phase delivered was broken"))
    expect(trouble).to_be_visible(timeout=30_000)
    expect(page.locator(".verdict")).to_have_class(re.compile("bad"))
    picture(page, "canary")


@pytest.mark.parametrize(
    ("scheme", "size"),
    [
        pytest.param("light", DESK, id="light at a desk"),
        pytest.param("dark", PHONE, id="dark on a phone"),
        pytest.param("dark", DESK, id="dark at a desk", marks=pytest.mark.long),
        pytest.param("light", PHONE, id="light on a phone", marks=pytest.mark.long),
    ],
)
def test_pages_are_accessible(
    site: Served, browser: Browser, scheme: str, size: dict[str, int]
) -> None:
    page = signed_in(site, browser)
    page.emulate_media(color_scheme=scheme)  # type: ignore[arg-type]
    page.set_viewport_size(size)  # type: ignore[arg-type]
    with site.database.reading() as session:
        uid = session.query(Study).order_by(Study.id).limit(1).one().study_instance_uid
    paths = ["", "studies", f"studies/{uid}", "failures", "destinations", "workers", "pauses"]
    for path in [*paths, "drift", "rules", "settings", "audit"]:
        page.goto(f"{site.url}/{path}")

        require_accessible(page)
        wide = page.evaluate("document.documentElement.scrollWidth > innerWidth")
        assert not wide, f"/{path} fits the screen"
        if (scheme, size, path) == ("dark", PHONE, ""):
            picture(page, "phone")


def test_theme_that_somebody_chooses_is_kept(site: Served, browser: Browser) -> None:
    page = signed_in(site, browser)
    page.emulate_media(color_scheme="light")
    page.goto(f"{site.url}/pauses")
    light = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.get_by_role("button", name="Dark or light").click()
    page.goto(f"{site.url}/workers")

    dark = page.evaluate("getComputedStyle(document.body).backgroundColor")
    page.evaluate("localStorage.clear()")
    assert np.mean([int(word) for word in re.findall(r"\d+", dark)]) < 60
    assert light != dark


@pytest.fixture
def real_provider(tmp_path: Path, provider_port: int) -> Iterator[str]:
    """Run a provider that others have made, and return its address."""
    person = {"sub": "quell", "preferred_username": "quell", "groups": ["technicians"]}
    command = [sys.executable, "-m", "oidc_provider_mock", "--port", str(provider_port)]
    service = Service(
        "provider",
        [*command, "--user-claims", json.dumps(person)],
        tmp_path / "provider.log",
        {"PYTHONPATH": ""},
    )
    service.start()
    url = f"http://127.0.0.1:{provider_port}"
    try:
        wait_for(lambda: answers(url), seconds=90, what="the provider answers")
        yield url
    finally:
        service.stop()


def answers(url: str) -> bool:
    try:
        return requests.get(f"{url}/.well-known/openid-configuration", timeout=5).ok
    except requests.RequestException:
        return False


def test_person_signs_in_and_out_by_a_real_provider(
    site: Served, browser: Browser, real_provider: str
) -> None:
    page = browser.page
    page.context.clear_cookies()
    # The provider's own page asks for a style sheet elsewhere.
    page.route(re.compile(r"^https?://(?!127\.0\.0\.1)"), lambda route: route.abort())
    page.goto(f"{site.url}/failures")
    follow(page, "Sign in with the hospital's account")
    page.wait_for_url(f"{real_provider}/oauth2/authorize**")
    page.get_by_role("button", name="quell").click()

    expect(page).to_have_title(re.compile("Failures"))
    expect(page.get_by_text("quell (operator)")).to_be_visible()

    follow(page, "Sign out")
    expect(page.get_by_text("You are signed out here")).to_be_visible()
    require_accessible(page)
    there = page.get_by_role("link", name="sign out there too").get_attribute("href")
    assert there is not None
    assert there.startswith(f"{real_provider}/oauth2/end_session?client_id=console")
    page.goto(f"{site.url}/failures")
    expect(page).to_have_title(re.compile("Sign in"))


def signed_in(site: Served, browser: Browser) -> Page:
    """Sign in as an administrator, unless that is done."""
    page = browser.page
    page.set_viewport_size(DESK)
    page.goto(f"{site.url}/settings")
    if "Settings" not in page.title():
        page.context.clear_cookies()
        page.goto(f"{site.url}/sign-in")
        page.get_by_label("Name").fill("admin")
        page.get_by_label("Password").fill(PASSWORD)
        page.get_by_role("button", name="Sign in", exact=True).click()
        page.wait_for_url(f"{site.url}/")
    return page
