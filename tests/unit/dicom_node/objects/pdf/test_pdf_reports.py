"""The page to print says what it is and who made it, and holds every view."""

import io
import re

import pytest
from every_kind import objects_of
from pdf_reading import pdf_in, streams, text_of
from PIL import Image
from pydicom.dataset import Dataset
from sr_reading import read_back

from dicom_node.facts.result_kinds import ResultKind
from dicom_node.objects.terms.wording import RESEARCH_MARK


def report_of(study: str) -> Dataset:
    (report,) = [one for one in objects_of(study) if one.kind is ResultKind.PDF_REPORT]
    return read_back(report.dataset)


def test_page_says_what_it_is_and_who_made_it() -> None:
    report = report_of("four views")
    text = text_of(pdf_in(report))

    assert RESEARCH_MARK in text
    assert "UNVERIFIED" in text
    assert re.search(r"Made by software: \S.* 0\.1\.0 with the model demonstration 0\.1\.0", text)
    assert "ab" * 32 in text.replace(" ", "")
    assert report.VerificationFlag == "UNVERIFIED"
    assert report.BurnedInAnnotation == "YES"  # the page names the patient


def test_page_holds_a_picture_of_every_view() -> None:
    contents = list(streams(pdf_in(report_of("four views"))))
    pictures = [
        Image.open(io.BytesIO(content))
        for described, content in contents
        if b"DCTDecode" in described
    ]

    assert sum(len(re.findall(rb"/\S+ Do\b", content)) for _, content in contents) == 4
    assert len(pictures) == 4
    for picture in pictures:
        picture.load()
        assert min(picture.size) > 200
        low, high = picture.convert("L").getextrema()
        assert high - low > 100


def test_page_lists_findings_and_what_could_not_be_read() -> None:
    text = text_of(pdf_in(report_of("failed image")))

    assert "mass score 0.83" in text
    assert "L MLO" in text
    assert "no pixels" in text


@pytest.mark.parametrize("study", ["no finding", "one finding", "four views", "tomosynthesis"])
def test_report_is_one_whole_page(study: str) -> None:
    pdf = pdf_in(report_of(study))

    assert pdf.startswith(b"%PDF-")
    assert pdf.rstrip().endswith(b"%%EOF")
    assert len(re.findall(rb"/Type\s*/Page\b", pdf)) == 1
    # The table of objects lies where the file says (PDF 32000-1, 7.5.5).
    (start,) = re.findall(rb"startxref\s+(\d+)", pdf)
    assert pdf[int(start) :].startswith(b"xref")


def test_report_refers_to_the_images_that_it_shows() -> None:
    report = report_of("four views")

    assert report.MIMETypeOfEncapsulatedDocument == "application/pdf"
    assert len(report.SourceInstanceSequence) == 4


def test_page_states_the_scores_of_examination_and_breast() -> None:
    text = text_of(pdf_in(report_of("one finding")))

    assert "Examination: mass score 0.83, above threshold" in text
    assert "Left breast: mass score 0.83, above threshold" in text
