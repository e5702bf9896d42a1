"""An image-text table from labels: sentences of the lexicon, for tables that hold no reports."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from training.data.breast_records import with_folds
from training.data.image_files import name_below
from training.data.mapped_table import read_mapped
from training.data.mapped_terms import attribute_of
from training.data.table_mapping import HELD_OUT, TEST, TableMapping
from training.data.table_writing import write_table
from training.errors import TableError
from training.preparation.image_text_row import VIEWS, image_text_row
from training.reports.report_synthesis import (
    Observation,
    density_sentences,
    negative_sentences,
    positive_sentences,
)
from training.reports.report_text import sentences_of

if TYPE_CHECKING:
    import pandas as pd

_LISTED: Final = 10
"""How many words beyond the lexicon are named of a column."""

_Unsaid = Counter[tuple[str, str, str]]
"""Breasts by label, column and word that the lexicon has not."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Captions:
    """What was written.

    Attributes
    ----------
    breasts : rows of the table
    silent : breasts of which the table says nothing that has a sentence
    notes : what the mapping left unknown or resolved, and which words the lexicon has not
    """

    breasts: int
    silent: int
    notes: tuple[str, ...] = ()


def write_captions(
    table: Path, mapping: TableMapping, images: Path, out: Path, seed: int = 0
) -> Captions:
    """Write an image-text table of the patients that are not of the test part.

    A breast is said to show what any of its images shows. Labels that are named as findings of
    the lexicon, density and birads have sentences; a breast with a report has its report. A term
    whose words the lexicon has not is left out of the sentence. Fold 0, which pretraining holds
    out and retrieval is judged on, has the patients that the table holds out of training, or a
    quarter of them.

    Parameters
    ----------
    images : folder that the names of images begin in
    seed : of the choice of words that the table does not give

    Raises
    ------
    TableError
        The table has bad rows, or there is nothing to say of any of its breasts.
    """
    read = read_mapped(table, mapping, [images])
    generator = np.random.default_rng(seed)
    rows = read.rows[(read.rows["split"] != TEST) & read.rows["view"].isin(VIEWS)]
    written: list[dict[str, Any]] = []
    has_held_out = bool((rows["split"] == HELD_OUT).any())
    silent = 0
    unsaid: _Unsaid = Counter()
    for (patient, side), breast in rows.groupby(["patient", "laterality"], sort=True):
        if not side:
            raise TableError(f"{table}: captions need the laterality of patient {patient}")
        findings, impressions = _sections(breast, mapping, str(side), generator, unsaid)
        if not findings and not impressions:
            silent += 1
            continue
        named = sorted(
            {
                (view, name_below(images, file))
                for view, file in zip(breast["view"], breast["file"], strict=True)
            }
        )
        row = image_text_row(
            str(patient),
            str(side),
            [(name, view) for view, name in named],
            findings=findings,
            impressions=impressions,
        )
        if has_held_out:
            row["fold"] = int(not (breast["split"] == HELD_OUT).any())
        written.append(row)
    if not written:
        raise TableError(f"{table}: its labels have no sentence for any breast")
    import pandas as pd

    write_table(out, with_folds(pd.DataFrame(written)))
    return Captions(breasts=len(written), silent=silent, notes=(*read.notes, *_notes(unsaid)))


def _sections(
    breast: "pd.DataFrame",
    mapping: TableMapping,
    side: str,
    generator: np.random.Generator,
    unsaid: _Unsaid,
) -> tuple[Sequence[str], Sequence[str]]:
    reports = [report for report in dict.fromkeys(breast["report"]) if report]
    if reports:
        return [sentence for report in reports for sentence in sentences_of(report)], []
    findings = []
    for name, label in mapping.labels.items():
        attribute = attribute_of(name)
        if attribute is None or name not in breast or label.classes:
            continue
        value = int(breast[name].max())
        if value == 1:
            terms = _terms(breast[breast[name] == 1], mapping, name, unsaid)
            observation = Observation(attribute=attribute, terms=terms)
            findings.append(_drawn(list(positive_sentences(observation, side)), generator))
        elif value == 0:
            findings.append(_drawn(list(negative_sentences(attribute, side)), generator))
    if "density" in breast and (density := int(breast["density"].max())) >= 0:
        findings.append(_drawn(density_sentences("ABCD"[density]), generator))
    impressions = []
    if "birads" in breast and (grade := int(breast["birads"].max())) >= 0:
        classes = mapping.labels["birads"].classes
        category = classes[grade] if classes else str(grade)
        impressions.append(f"the assessment is bi rads category {category.lower()}")
    return findings, impressions


def _terms(
    breast: "pd.DataFrame", mapping: TableMapping, name: str, unsaid: _Unsaid
) -> dict[str, str]:
    """Return what the table says of a finding, in words of the lexicon, and count other words.

    Of several findings the one of which most is known is described. A term is empty, and left out
    of the sentence, where the table gives it, be it of another finding, in no word of the lexicon.
    """
    terms = mapping.terms.get(name, {})
    findings: list[dict[str, str]] = []
    others: set[tuple[str, str, str]] = set()
    for cells in breast[[f"{name} {slot}" for slot in terms]].itertuples(index=False):
        finding = {}
        for (slot, term), cell in zip(terms.items(), cells, strict=True):
            words, beyond = term.said(cell)
            others |= {(name, term.column, word) for word in beyond}
            if cell.strip():
                finding[slot] = " and ".join(words)
        findings.append(finding)
    unsaid.update(others)
    told = max(findings, key=lambda finding: sum(map(bool, finding.values())))
    given = set().union(*findings)
    return {slot: told.get(slot, "") for slot in terms if slot in given}


def _notes(unsaid: _Unsaid) -> list[str]:
    """Say which words of each column have no sentence."""
    notes = []
    for label, column in dict.fromkeys(key[:2] for key in unsaid):
        words = [
            f"{word} ({count} breast{'s' if count > 1 else ''})"
            for (*of, word), count in unsaid.most_common()
            if of == [label, column]
        ]
        more = ", ..." if len(words) > _LISTED else ""
        notes.append(
            f"column {column}: the lexicon has no word for {', '.join(words[:_LISTED])}{more}, "
            f"which sentences leave out; words of [terms.{label}] in the mapping can translate them"
        )
    return notes


def _drawn(sentences: Sequence[str], generator: np.random.Generator) -> str:
    return sentences[int(generator.integers(len(sentences)))]
