import pytest

from mammoclip_core.negative_classes import is_negative_class


@pytest.mark.parametrize(
    "name",
    [
        *("assessment.normal", "assessment.Benign", "x.negative", "x.No finding", "x.no_mass"),
        *(
            "x.none",
            "x.no-findings",
            "birads.1",
            "my BI-RADS.2",
            "x.BI-RADS 1",
            "x.without findings",
        ),
        *("normal", "benign", "x.benign finding", "set.of.normal"),
    ],
)
def test_class_that_says_nothing_was_found_is_negative(name: str) -> None:
    assert is_negative_class(name)


@pytest.mark.parametrize(
    "name",
    [
        *("mass", "shape.round", "assessment.malignant", "assessment.1", "birads.3", "birads.12"),
        *("nodule", "nonmass", "abnormal", "x.benign_calcification", "x.normal variant of mass"),
        *("x.suspicious", "notch", ""),
    ],
)
def test_other_classes_are_not(name: str) -> None:
    assert not is_negative_class(name)
