"""Sentences say the terms that a table gives, translated, and never contradict them."""

from importlib import resources

import pytest
from published_sets import write

from training.data.breast_records import read_image_text_table
from training.data.table_mapping import read_mapping
from training.preparation.structured_captions import write_captions

MASS = (
    "patient_id,breast_density,left or right breast,image view,abnormality id,abnormality type,"
    "mass shape,mass margins,assessment,pathology,image file path"
)
CALC = MASS.replace("mass shape,mass margins", "calc type,calc distribution")
SEEDS = range(5)
"""Enough draws that one which contradicts the table is not missed by luck."""


def cbis(folder, kind, *words):
    """Write case descriptions, a breast each; returns how each is described, and the notes."""
    lines = [{"Mass": MASS, "Calc": CALC}[kind]]
    for number, (first, second) in enumerate(words):
        case = f"{kind}-Training_P_{number:05}_LEFT_CC"
        (folder / case).mkdir()
        (folder / case / "1.png").touch()
        what = "mass" if kind == "Mass" else "calcification"
        lines.append(
            f"P_{number:05},2,LEFT,CC,1,{what},{first},{second},4,MALIGNANT,{case}/a/b/0.dcm"
        )
    return said(
        write(folder / f"{kind.lower()}_case_description_train_set.csv", lines), "cbis-ddsm"
    )


def said(table, mapping):
    """Return the first sentences of each breast, of every seed, and the notes."""
    described, notes = [], ()
    for seed in SEEDS:
        out = table.parent / "captions.csv"
        notes = write_captions(table, read_mapping(mapping), table.parent, out, seed).notes
        described.append([record.report.findings for record in read_image_text_table(out)])
    return list(zip(*described, strict=True)), notes


def finding(reports, word):
    """Return what stands before a word of the one sentence about it, of every seed."""
    return {
        sentence.split(word)[0].split(" with ")[-1].split(" is ")[-1].split(" shows ")[-1]
        for report in reports
        for sentence in report
        if word in sentence
    }


@pytest.mark.parametrize(
    ("shape", "margins", "words"),
    [
        ("OVAL", "ILL_DEFINED", "oval indistinct"),
        ("IRREGULAR", "ILL_DEFINED-SPICULATED", "irregular indistinct and spiculated"),
        ("LOBULATED", "ILL_DEFINED", "indistinct"),
        ("IRREGULAR-ARCHITECTURAL_DISTORTION", "SPICULATED", "irregular spiculated"),
        ("ROUND", "N/A", "round"),
        ("LYMPH_NODE", "OBSCURED", "obscured"),
    ],
)
def test_words_of_cbis_ddsm_are_said(tmp_path, shape, margins, words):
    (reports,), _ = cbis(tmp_path, "Mass", (shape, margins))

    densities = ("high density", "equal density", "low density", "fat - containing")
    assert finding(reports, "mass") <= {f"{words} {density} " for density in densities}


def test_margin_that_is_not_given_is_drawn(tmp_path):
    (reports,), notes = cbis(tmp_path, "Mass", ("OVAL", ""))

    margins = {words.split()[1] for words in finding(reports, "mass")}
    assert len(margins) > 1
    assert notes == ()


def test_words_beyond_the_lexicon_are_counted_by_column(tmp_path):
    _, notes = cbis(
        tmp_path,
        "Mass",
        ("LOBULATED", "OBSCURED"),
        ("IRREGULAR-LOBULATED", "N/A"),
        ("LYMPH_NODE", "CIRCUMSCRIBED"),
    )

    (note,) = notes
    assert note.startswith(
        "column mass shape: the lexicon has no word for LOBULATED (2 breasts), LYMPH_NODE (1 breast"
    )
    assert "[terms.mass" in note


@pytest.mark.parametrize(
    ("kind", "distribution", "words"),
    [
        ("AMORPHOUS", "CLUSTERED", ("amorphous ", " in grouped distribution")),
        (
            "PUNCTATE-FINE_LINEAR_BRANCHING",
            "DIFFUSELY_SCATTERED",
            ("fine linear branching ", " in diffuse distribution"),
        ),
        (
            "AMORPHOUS-FINE_LINEAR_BRANCHING",
            "LINEAR-SEGMENTAL",
            ("amorphous and fine linear branching ", " in linear and segmental distribution"),
        ),
        ("AMORPHOUS", "N/A", ("amorphous ", "")),
    ],
)
def test_calcifications_of_cbis_ddsm_are_said(tmp_path, kind, distribution, words):
    (reports,), _ = cbis(tmp_path, "Calc", (kind, distribution))

    before, after = words
    sentences = [sentence for report in reports for sentence in report if "calcif" in sentence]
    assert len(sentences) == len(SEEDS)
    assert all(f"{before}suspicious calcification{after} " in one for one in sentences)
    assert after or not any("distribution" in one for one in sentences)


def test_benign_calcification_is_not_called_suspicious(tmp_path):
    (reports,), _ = cbis(tmp_path, "Calc", ("ROUND_AND_REGULAR-LUCENT_CENTERED", "REGIONAL"))

    assert finding(reports, "suspicious calcification") <= {
        "no ",
        "there is no ",
        "the left breast shows no ",
        "no evidence of ",
    }


EMBED = "empi_anon,acc_anon,numfind,side,asses,tissueden,massshape,massmargin,massdens,calcfind,"
EMBED += "calcdistri,path_severity"


def embed(folder, *findings):
    """Write a breast of these findings, which is no test patient; returns what `said` does."""
    (folder / "1L.png").touch()
    head = "empi_anon,acc_anon,anon_dicom_path,FinalImageType,ImageLateralityFinal,ViewPosition"
    rows = [f"1,9,{place},L,S,2.0,{row},0.0" for place, row in enumerate(findings)]
    write(folder / "EMBED_OpenData_clinical.csv", [EMBED, *rows])
    images = [head, "1,9,/x/1L.dcm,2D,L,CC"]
    mapping = folder / "map.toml"
    shipped = resources.files("training.data.mappings") / "embed.toml"
    mapping.write_text(shipped.read_text(encoding="utf-8").replace("folds = 4", "folds = 0"))
    return said(write(folder / "EMBED_OpenData_metadata.csv", images), str(mapping))


@pytest.mark.parametrize(
    ("row", "mass", "calcification"),
    [
        ("X,S,+,,", "irregular spiculated high density mass ", None),
        ("O,I,=,,", "oval indistinct equal density mass ", None),
        ("G,D,-,,", "circumscribed low density mass ", None),
        ("R,M,0.0,,", "round microlobulated fat - containing mass ", None),
        (",,,I,C", None, "fine pleomorphic suspicious calcification in grouped distribution "),
        (",,,B,S", None, "fine linear branching suspicious calcification in segmental distri"),
        ("X,S,+,H,D", "irregular spiculated high density mass ", "coarse heterogeneous susp"),
    ],
)
def test_codes_of_embed_are_said(tmp_path, row, mass, calcification):
    (reports,), notes = embed(tmp_path, row)

    for words in (mass, calcification):
        if words is not None:
            assert all(any(words in sentence for sentence in report) for report in reports)
    assert notes == ()


def test_terms_of_two_masses_are_not_mixed(tmp_path):
    (reports,), _ = embed(tmp_path, "O,D,,,", "X,,+,,")

    assert finding(reports, "mass") == {"oval circumscribed "}


def test_terms_of_an_asymmetry_say_nothing_of_the_mass(tmp_path):
    (reports,), _ = embed(tmp_path, "S,S,+,,", "X,I,,,")

    masses = finding(reports, "mass")
    assert all(words.startswith("irregular indistinct ") for words in masses)
    assert len({words.split()[2] for words in masses}) > 1
