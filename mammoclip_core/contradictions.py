"""What the parts of a findings document must not say of each other."""

import re
from collections.abc import Iterable
from typing import Final

from mammoclip_core.findings import Finding, StudyFindings
from mammoclip_core.lesion_numbers import require_lesions

_DIGEST: Final = re.compile(r"[0-9a-fA-F]{64}")


def require_one_meaning(findings: StudyFindings) -> None:
    """Make sure that nothing is answered twice, and that breasts and lesions are of the images.

    Raises
    ------
    ValueError
        Naming what contradicts what.
    """
    digests = {
        "sha256 of the bundle": findings.bundle.sha256,
        "settings_sha256": findings.settings_sha256,
    }
    for name, digest in digests.items():
        if not _DIGEST.fullmatch(digest):
            raise ValueError(f"{name} is {digest!r:.60}, not 64 hexadecimal digits")
    require_lesions(findings.images)
    analysed = {image.laterality for image in findings.analysed}
    sides = [breast.laterality for breast in findings.breasts]
    for breast in findings.breasts:
        name = f"breast {breast.laterality!r}"
        if sides.count(breast.laterality) > 1:
            raise ValueError(f"{name} has two answers")
        if breast.laterality not in analysed:
            raise ValueError(f"{name} has an answer, but no analysed image is of it")
        _require_answers(name, breast.findings)
    _require_answers("the study", findings.study)


def _require_answers(owner: str, findings: Iterable[Finding]) -> None:
    """Make sure that each finding of a breast or study is there once, and has no place."""
    seen: set[str] = set()
    for finding in findings:
        if finding.name in seen:
            raise ValueError(f"{owner} has two answers for {finding.name}")
        seen.add(finding.name)
        if finding.regions:
            raise ValueError(f"{owner}: {finding.name} has regions, which belong to images")
