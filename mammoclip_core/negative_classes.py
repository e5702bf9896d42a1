"""Which classes of a class set say that nothing was found."""

import re
from typing import Final

NEGATIVE_LABELS: Final = frozenset(
    {
        *("normal", "negative", "benign", "healthy", "absent", "none", "no", "clear"),
        *("unremarkable", "not present", "birads 1", "birads 2"),
    }
)
"""Labels that name nothing to find, or what BI-RADS calls negative (1) and benign (2)."""

_NEGATIONS: Final = ("no ", "without ", "not ", "non malignant", "non cancer")


def is_negative_label(label: str, class_set: str = "") -> bool:
    """Tell whether the label of a class says that nothing was found.

    Parameters
    ----------
    label : as a prompt file or another program spells it: ``normal``, ``No_finding``, ``BI-RADS 1``
    class_set : name of its set; a bare number is an assessment only in a set named after BI-RADS
    """
    words = _words_of(label)
    if words.isdecimal() and _words_of(class_set).endswith("birads"):
        words = f"birads {words}"
    benign = words.removesuffix(" finding").removesuffix(" findings")
    return bool({words, benign} & NEGATIVE_LABELS) or words.startswith(_NEGATIONS)


def is_negative_class(name: str) -> bool:
    """Tell it of the name of a finding: ``set.label`` for a class, or a label alone."""
    class_set, _, label = name.rpartition(".")
    return is_negative_label(label, class_set)


def _words_of(text: str) -> str:
    plain = " ".join(re.sub(r"[^0-9a-z]+", " ", text.lower()).split())
    return re.sub(r"\bbi rads\b", "birads", plain)
