"""What docs/routing.md shows of rules is what the node takes."""

import tomllib

import documents

from dicom_node.routing.checking import rules_of
from dicom_node.routing.study_facts import OF_ANSWERS, OF_STUDIES
from dicom_node.settings.rules import RuleSettings
from dicom_node.settings.settings import Settings

PAGE = documents.ROOT / "docs" / "routing.md"
DESTINATIONS = [
    {"name": "pacs", "ae_title": "PACS", "host": "10.0.0.1"},
    {"name": "archive-web", "kind": "dicomweb", "url": "https://archive.example/dicom-web"},
]


def test_examples_are_rules_without_a_mistake() -> None:
    found = [tomllib.loads(block) for block in documents.blocks_of(PAGE, "toml")]
    given = {
        key: [one for block in found for one in block.get(key, [])]
        for key in ("rules", "result_rules")
    }
    (bundles,) = (block["bundles"] for block in found if "bundles" in block)

    settings = Settings(destinations=DESTINATIONS, bundles=bundles, **given)
    rules = rules_of(settings, {"mass", "suspicious_calcification"})

    assert len(rules.rules) == 4
    assert len(rules.result_rules) == 1


def test_every_name_and_key_is_in_a_table() -> None:
    text = documents.text_of(PAGE)

    for name, (kind, meaning) in {**OF_STUDIES, **OF_ANSWERS}.items():
        assert f"| `{name}` | {kind.value} | {meaning} |" in text
    for key in RuleSettings.model_fields.keys() - {"name"}:
        assert f"| `{key}` |" in text
