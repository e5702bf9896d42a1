"""docs/interoperability.md says what `make lab` tries; some of it is tried here too."""

import pytest
from lab.__main__ import do
from lab.exchanges import BY, EXCHANGES, Exchange
from lab.table import PART

from dicom_node.studies.ledger.states import DeliveryState
from mammoclip_core.images.decoding.decoding_pool import DecodingPool

SHORT = [
    one for one in EXCHANGES if one.archive == "dcmqrscp" and one.confirm == "commitment-or-query"
]


def test_table_is_up_to_date() -> None:
    assert PART.written() == PART.make(), "run: make docs"


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
