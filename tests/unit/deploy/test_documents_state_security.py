"""docs/security.md says what holds: its tests exist, its settings and reasons are the code's."""

import ast
import re

import documents
import pytest

from dicom_node.settings.operation.canary import CanarySettings
from dicom_node.settings.services import BrokerSettings
from dicom_node.settings.ways_in.receive import ReceiveSettings
from dicom_node.settings.ways_out.destinations import DicomDestination
from dicom_node.settings.ways_out.reporting import Hl7Destination

PAGE = documents.ROOT / "docs" / "security.md"
REQUIREMENTS = documents.table_after(PAGE, "## Requirements")
ATTACKS = documents.table_after(PAGE, "## Attacks")
REASON = re.compile(r'Rejection\(\w+, "([a-z-]+)"\)|return "([a-z-]+)"')


def functions_of(file: str) -> set[str]:
    tree = ast.parse((documents.ROOT / file).read_text(encoding="utf-8"))
    return {node.name for node in tree.body if isinstance(node, ast.FunctionDef)}


@pytest.mark.parametrize(
    "row", [*REQUIREMENTS, *ATTACKS], ids=lambda row: row[-1].split("::")[-1].strip("`| ")
)
def test_test_of_every_requirement_and_attack_exists(row: list[str]) -> None:
    file, _, name = row[-1].strip("`| ").partition("::")

    assert name in functions_of(file)


def test_every_part_of_the_standard_that_is_claimed_is_listed() -> None:
    chapters = {row[0].split(".")[0] for row in REQUIREMENTS if row[0][:1].isdigit()}

    assert chapters >= {"1", "5", "8", "12", "13", "16"}


def test_reasons_to_reject_are_those_of_the_listener() -> None:
    source = (documents.ROOT / "dicom_node" / "receive" / "access.py").read_text(encoding="utf-8")
    rows = documents.table_after(PAGE, "## Who may send")

    told = {row[-1].strip("`") for row in rows}
    assert told == {one or other for one, other in REASON.findall(source)}


def test_ports_are_those_of_the_settings() -> None:
    rows = {row[3].split("`")[1]: row[0] for row in documents.table_after(PAGE, "## Ports")}

    assert rows["receive.port"] == str(ReceiveSettings().port)
    assert rows["canary.port"] == "any free one"
    assert CanarySettings().port is None
    assert rows["port"] == str(DicomDestination.model_fields["port"].default)
    assert rows["hl7"] == str(Hl7Destination.model_fields["port"].default)
    assert f":{rows['broker.url']}/" in BrokerSettings().url.get_secret_value()
