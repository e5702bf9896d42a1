"""Each page to print says whose it is, loses nothing at its edges, and brings its fonts along."""

import subprocess
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from browser import headless_browser
from every_kind import tomosynthesis
from objects_factory import (
    NEGATIVE,
    breast_pixels,
    context_of,
    finding,
    image_of,
    mammogram,
    marker_mask,
    standard_views,
    study_of,
)
from PIL import Image
from pydicom.dataset import Dataset
from reportlab.lib.pagesizes import A4
from services import require_program, wait_for

from dicom_node.objects.drawing.hanging import cell_of
from dicom_node.objects.drawing.rendering import show
from dicom_node.objects.frames import by_frame
from dicom_node.objects.pdf.encapsulated_pdf import build_pdf_report
from dicom_node.objects.pdf.page_heading import heading_of
from dicom_node.objects.uids import uid_of
from mammoclip_core.findings import BreastFindings, ImageFindings

Pair = tuple[Dataset, ImageFindings]
POINTS_A_PIXEL = 72 / 80


def pdf_of(folder: Path, pairs: Iterable[Pair], *, warning: str = "", bundle: str = "") -> Path:
    pairs = list(pairs)
    sources = {str(dataset.SOPInstanceUID): dataset for dataset, _ in pairs}
    breasts = (BreastFindings(laterality="L", findings=(NEGATIVE,), density="C"),)
    findings = study_of(*(image for _, image in pairs), breasts=breasts)
    context = context_of(findings)
    named = replace(context.identity.bundle, name=bundle or context.identity.bundle.name)
    identity = replace(context.identity, bundle=named, warning=warning)

    def display(image: ImageFindings):
        source = sources[image.sop_instance_uid]
        return show(source, breast_pixels(source)).within(*cell_of(2048))

    report = build_pdf_report(
        sources, findings, replace(context, identity=identity), displays=display
    )
    path = folder / "report.pdf"
    path.write_bytes(report.EncapsulatedDocument[: report.EncapsulatedDocumentLength])
    return path


def four_views(*findings, **attributes: object) -> list[Pair]:
    datasets = [mammogram(view, side, **attributes) for side, view in standard_views()]
    return [(one, image_of(one, *(findings or (NEGATIVE,)))) for one in datasets]


def repeated(count: int) -> list[Pair]:
    """Return positive images of one view beyond the first."""
    datasets = [mammogram("CC", SOPInstanceUID=uid_of("again", str(one))) for one in range(count)]
    return [(one, image_of(one, finding(marker_mask(60, 150)))) for one in datasets]


def text_of_pages(pdf: Path) -> list[str]:
    command = [require_program("pdftotext"), "-layout", pdf, "-"]
    done = subprocess.run(command, check=True, capture_output=True, timeout=60)
    return [page for page in done.stdout.decode("utf-8").split("\f") if page.strip()]


def pages_of(pdf: Path) -> list[np.ndarray]:
    """Return each page as poppler draws it, 80 pixels an inch."""
    prefix = pdf.with_suffix("")
    command = [require_program("pdftoppm"), "-r", "80", "-png", pdf, prefix]
    subprocess.run(command, check=True, capture_output=True, timeout=60)
    return [np.asarray(Image.open(one).convert("L")) for one in sorted(pdf.parent.glob("*.png"))]


def test_each_page_names_patient_date_accession_and_institution(tmp_path: Path) -> None:
    source = {"name": "Müller^Ottilie", "InstitutionName": "Klinik am See"}
    pairs = [*four_views(**source), *repeated(6)]

    texts = text_of_pages(pdf_of(tmp_path, pairs))

    assert len(texts) > 1
    for number, text in enumerate(texts, start=1):
        for words in ("Müller, Ottilie", "TEST-1", "1960-01-01", "2026-01-02", "ACC-1"):
            assert words in text
        assert "Klinik am See" in text
        assert f"Page {number} of {len(texts)}" in text
        assert "RESEARCH USE ONLY" in text
        assert "UNVERIFIED" in text


@pytest.mark.parametrize(
    ("numbers", "words"),
    [
        ([], "accession number: not stated"),
        (["A1", "A2"], "accession number: A1, A2,"),
        ([f"A{one}" for one in range(8)], "accession number: A0, A1, A2, A3, and 4 more,"),
    ],
)
def test_study_of_several_requests_names_their_accession_numbers(
    numbers: list[str], words: str
) -> None:
    source = mammogram(AccessionNumber="")
    source.RequestAttributesSequence = [Dataset() for _ in numbers]
    for request, number in zip(source.RequestAttributesSequence, numbers, strict=True):
        request.AccessionNumber, request.RequestedProcedureID = number, f"P{number}"

    _, examination = heading_of([source, source])

    assert words in examination


def test_fonts_are_embedded(tmp_path: Path) -> None:
    pdf = pdf_of(tmp_path, four_views(finding(marker_mask(60, 150)), name="Ľubica^Žofia"))
    done = subprocess.run(
        [require_program("pdffonts"), pdf], check=True, capture_output=True, timeout=60
    )

    fonts = done.stdout.decode().splitlines()[2:]

    assert len(fonts) >= 2
    for font in fonts:
        embedded = font.split()[-5]
        assert embedded == "yes", font


@pytest.mark.parametrize(
    ("name", "charset", "printed"),
    [
        ("Παπαδοπούλου^Ελένη", "ISO_IR 192", "Παπαδοπούλου, Ελένη"),
        ("Люксембург^Роза", "ISO_IR 144", "Люксембург, Роза"),
        ("Dvořáková^Žofie", "ISO_IR 101", "Dvořáková, Žofie"),
        ("Yamada^Hanako=山田^花子=やまだ^はなこ", ["", "ISO 2022 IR 87"], "Yamada, Hanako"),
        ("王^小东", "GB18030", "in a script that this page cannot print"),
        ("قباني^لنزار", "ISO_IR 127", "in a script that this page cannot print"),
        ("", "ISO_IR 192", "Patient: not stated"),
        ("A<b>&c^D", "ISO_IR 192", "A<b>&c, D"),
    ],
)
def test_name_is_printed_right_or_not_at_all(
    name: str, charset: str | list[str], printed: str, tmp_path: Path
) -> None:
    (text,) = text_of_pages(pdf_of(tmp_path, four_views(name=name, charset=charset)))

    assert printed in text
    assert "ID: TEST-1" in text


@pytest.mark.parametrize("odd", ["", "19930", "1993.04.30"])
def test_dates_that_are_none_are_printed_as_they_stand(odd: str, tmp_path: Path) -> None:
    pairs = four_views()
    for dataset, _ in pairs:
        del dataset.PatientBirthDate
        if odd:
            dataset.add_new("PatientBirthDate", "LO", odd)

    (text,) = text_of_pages(pdf_of(tmp_path, pairs))

    assert f"born: {odd or 'not stated'}" in text


def crowded(folder: Path) -> Path:
    """Return a report whose every part is as long as a header lets it be."""
    names = [f"finding_{'x' * 30}_{number}" for number in range(8)]
    found = [finding(marker_mask(60, 150), name=name) for name in names]
    pairs = four_views(
        *found,
        name="Wolfeschlegelsteinhausenberger^" + "Wolfeschlegelsteinhausenberger",
        InstitutionName="Institut" * 8,
        AccessionNumber="9" * 16,
        size=(400, 1400),
    )
    return pdf_of(folder, [*pairs, *repeated(5)], warning="warning " * 40, bundle="b" * 150)


def test_nothing_runs_off_the_page_in_poppler(tmp_path: Path) -> None:
    margin = round(30 / POINTS_A_PIXEL)
    for page in pages_of(crowded(tmp_path)):
        inked = page < 250
        inked[margin:-margin, margin:-margin] = False
        assert inked.sum() == 0


def test_nothing_runs_off_the_page_in_the_viewer_of_chromium(tmp_path: Path) -> None:
    pdf = crowded(tmp_path)
    with headless_browser(tmp_path / "profile") as browser:
        browser.page.set_viewport_size({"width": 1400, "height": 1300})
        browser.page.goto(pdf.as_uri())
        (page,) = wait_for(
            lambda: page_on_screen(browser.pixels().min(axis=2)), seconds=60, what="a page is shown"
        )

    height, width = page.shape
    assert height / width == pytest.approx(A4[1] / A4[0], abs=0.01)
    margin = round(30 / 72 * 96)
    inked = page < 250
    inked[:8], inked[-8:], inked[:, :8], inked[:, -8:] = False, False, False, False  # its shadow
    assert inked[margin:-margin, margin:-margin].any()
    inked[margin:-margin, margin:-margin] = False
    assert inked.sum() == 0


def page_on_screen(grey: np.ndarray) -> list[np.ndarray]:
    """Cut the first page, white from edge to edge, out of what the viewer shows, if it is there."""
    white = grey[:, 400:] > 250  # right of the thumbnails
    columns = np.flatnonzero(white.mean(axis=0) > 0.3)
    if not columns.size:
        return []
    left, right = int(columns[0]), int(columns[-1]) + 1
    rows = np.flatnonzero(white[:, left : left + 20].all(axis=1))
    if not rows.size:
        return []
    ends = np.flatnonzero(np.diff(rows) > 1)
    top, bottom = int(rows[0]), int(rows[ends[0]] if ends.size else rows[-1]) + 1
    page = grey[top:bottom, 400 + left : 400 + right]
    return [page] if (page < 128).sum() > 1000 else []


def test_breasts_hang_back_to_back(tmp_path: Path) -> None:
    (page,) = pages_of(pdf_of(tmp_path, four_views()))

    # Tissue of both breasts meets at the middle of the page; air of the phantom is black.
    middle = page.shape[1] // 2
    grey = np.abs(page[:, middle - 3 : middle + 3].astype(int) - 93) < 25
    assert grey.all(axis=1).sum() > 50


def test_regions_are_numbered_as_in_the_pictures(tmp_path: Path) -> None:
    first = finding(marker_mask(60, 150), marker_mask(160, 150), name="mass")
    second = finding(marker_mask(60, 250), name="suspicious_calcification")

    (text,) = text_of_pages(pdf_of(tmp_path, four_views(first, second)))

    assert text.count("1, 2 mass score 0.83") == 4
    assert text.count("3 suspicious calcification score 0.83") == 4


def test_everything_positive_is_printed(tmp_path: Path) -> None:
    beside = mammogram("ML", "")
    unknown = image_of(beside, finding(marker_mask(60, 150), name="asymmetry", score=0.77))
    pairs = [*four_views(), *repeated(3), (beside, unknown)]

    text = "".join(text_of_pages(pdf_of(tmp_path, pairs)))

    assert text.count("mass score 0.83") == 3
    assert "asymmetry score 0.77" in text


def test_every_positive_slice_is_printed(tmp_path: Path) -> None:
    stack = tomosynthesis()
    found = [
        replace(finding(marker_mask(60, 150), name=name), frame=frame)
        for frame, name in ((2, "mass"), (3, "asymmetry"), (5, "skin_thickening"))
    ]
    slices = by_frame([replace(image_of(stack, *found), frame=2)])

    text = "".join(text_of_pages(pdf_of(tmp_path, [(stack, one) for one in slices])))

    for words in ("mass", "asymmetry", "skin thickening"):
        assert text.count(f"{words} score 0.83") == 1


def test_views_are_named_with_what_makes_them_special(tmp_path: Path) -> None:
    datasets = [mammogram("CC", SOPInstanceUID=uid_of("special", str(one))) for one in range(3)]
    images = [image_of(one, finding(marker_mask(60, 150))) for one in datasets]
    images[1] = replace(images[1], repetition=2)
    images[2] = replace(images[2], view_modifiers=("implant displaced",))

    pages = text_of_pages(pdf_of(tmp_path, zip(datasets, images, strict=True)))

    text = " ".join("".join(pages).split())
    assert "L CC (2)" in text
    assert "L CC implant displaced" in text


def test_findings_that_need_more_than_a_page_are_all_named(tmp_path: Path) -> None:
    many = [finding(name=f"finding_number_{number:03d}") for number in range(150)]

    path = pdf_of(tmp_path, four_views(*many)[:1])

    command = [require_program("pdftotext"), "-layout", path, "-"]
    text = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert all(f"finding number {number:03d} score" in text for number in range(150))


def test_image_of_unknown_side_is_printed_in_the_middle_and_named(tmp_path: Path) -> None:
    dataset = mammogram("CC", "")
    pdf = pdf_of(tmp_path, [(dataset, image_of(dataset, finding(marker_mask(60, 150))))])

    (text,) = text_of_pages(pdf)
    assert "CC of unknown side" in text
    (page,) = pages_of(pdf)
    dark = np.flatnonzero((page < 16).sum(axis=0) > 60)
    assert abs((dark.min() + dark.max()) / 2 - page.shape[1] / 2) < 60
    left, right = dark.min(), dark.max()
    assert left < page.shape[1] / 2 < right
