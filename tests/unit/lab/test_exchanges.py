"""docs/interoperability.md says what `make lab` tries; some of it is tried here too."""

import pytest
from architecture_document import GeneratedPart
from lab.__main__ import do
from lab.exchanges import BY, EXCHANGES, Exchange
from lab.table import PARTS
from lab.ways import TESTS, WAYS

from dicom_node.studies.ledger.states import DeliveryState
from mammoclip_core.images.decoding.decoding_pool import DecodingPool

SHORT = [
    one for one in EXCHANGES if one.archive == "dcmqrscp" and one.confirm == "commitment-or-query"
]


@pytest.mark.parametrize("part", PARTS, ids=lambda part: part.name)
def test_table_is_up_to_date(part: GeneratedPart) -> None:
    assert part.written() == part.make(), "run: make docs"


def test_every_way_has_a_test_that_is_there() -> None:
    for way in WAYS:
        file, _, name = way.test.partition("::")
        assert f"def {name or 'test_'}" in (TESTS / file).read_text(encoding="utf-8"), way


def test_every_row_is_another_exchange_and_ends_in_a_state_of_deliveries() -> None:
    rows = [one.cells[:4] for one in EXCHANGES]

    assert len(set(rows)) == len(rows)
    assert {one.state for one in EXCHANGES} <= {state.value for state in DeliveryState}
    assert {one.confirm for one in EXCHANGES} == set(BY)


@pytest.mark.parametrize(
    "exchange",
    [
        pytest.param(
            one,
            id=" ".join(one.cells[:4]),
            marks=() if one in SHORT else pytest.mark.long,
        )
        for one in EXCHANGES
        if one.archive != "tiny-pacs"  # which `make lab` alone installs
    ],
)
def test_exchange_ends_as_documented(exchange: Exchange) -> None:
    with DecodingPool() as decoding:
        _, state, reason = do(exchange, decoding)

    assert (state, exchange.because in reason) == (exchange.state, True), reason
