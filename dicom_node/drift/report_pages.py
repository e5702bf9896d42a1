"""The monthly report as one HTML page without anything from elsewhere, or as PDF."""

import io
from html import escape
from typing import Final

from dicom_node.drift.report import Report
from dicom_node.drift.report_section import Section

_STYLE: Final = (
    "body{font:15px/1.45 system-ui,sans-serif;margin:2rem auto;max-width:70rem;padding:0 1rem}"
    "table{border-collapse:collapse;width:100%;margin:.5rem 0 1.5rem}"
    "th,td{border-bottom:1px solid #bbb;padding:.25rem .5rem;text-align:left;vertical-align:top}"
    "h2{font-size:1.1rem;margin:1.5rem 0 .25rem}p{margin:.25rem 0}"
    "@media(prefers-color-scheme:dark){body{background:#161616;color:#eee}}"
)

_REMARK: Final = "Research use only: not a medical device. No patient is named in this report."


def as_html(report: Report) -> str:
    """Return the report as a page that needs no other file."""
    parts = [
        "<!doctype html><html lang=en><meta charset=utf-8>",
        "<meta name=viewport content='width=device-width'>",
        f"<title>{escape(_title(report))}</title><style>{_STYLE}</style>",
        f"<h1>{escape(_title(report))}</h1><p>{_REMARK}</p>",
        *(_section(one) for one in report.sections),
    ]
    return "\n".join((*parts, "</html>\n"))


def as_pdf(report: Report) -> bytes:
    """Return the report as PDF pages of A4."""
    from reportlab.lib.pagesizes import A4
    from reportlab.lib.styles import ParagraphStyle
    from reportlab.platypus import Flowable, Paragraph, SimpleDocTemplate, Spacer, Table

    from dicom_node.objects.pdf.typeface import BOLD, REGULAR, register_fonts

    register_fonts()
    plain = ParagraphStyle("plain", fontName=REGULAR, fontSize=7.5, leading=9.5)
    bold = ParagraphStyle("bold", parent=plain, fontName=BOLD)
    heading = ParagraphStyle("heading", parent=bold, fontSize=11, leading=14)
    story: list[Flowable] = [Paragraph(escape(_title(report)), heading), Paragraph(_REMARK, plain)]
    for one in report.sections:
        story += [Spacer(1, 8), Paragraph(escape(one.title), heading)]
        if one.note:
            story.append(Paragraph(escape(one.note), plain))
        if one.rows:
            cells = [[Paragraph(escape(text), bold) for text in one.columns]]
            cells += [[Paragraph(escape(text), plain) for text in row] for row in one.rows]
            width = (A4[0] - 80) / len(one.columns)
            story.append(Table(cells, colWidths=[width] * len(one.columns), repeatRows=1))
    stream = io.BytesIO()
    SimpleDocTemplate(
        stream, pagesize=A4, leftMargin=40, rightMargin=40, title=_title(report), invariant=1
    ).build(story)
    return stream.getvalue()


def _title(report: Report) -> str:
    return f"Monitoring of {report.site}, {report.since:%Y-%m-%d} to {report.until:%Y-%m-%d}"


def _section(section: Section) -> str:
    parts = [f"<h2>{escape(section.title)}</h2>"]
    if section.note:
        parts.append(f"<p>{escape(section.note)}</p>")
    if section.rows:
        head = "".join(f"<th scope=col>{escape(one)}</th>" for one in section.columns)
        body = "".join(
            "<tr>" + "".join(f"<td>{escape(one)}</td>" for one in row) + "</tr>"
            for row in section.rows
        )
        parts.append(f"<table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>")
    elif not section.note:
        parts.append("<p>Nothing to show.</p>")
    return "".join(parts)
