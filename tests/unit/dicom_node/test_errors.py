"""Chains of errors have an end."""

from dicom_node.errors import chain_of


def test_chain_that_leads_into_itself_is_walked_once() -> None:
    first, second = ValueError("first"), OSError("second")
    first.__context__, second.__cause__ = second, first

    assert list(chain_of(first)) == [first, second]


def test_chain_begins_with_the_error_and_goes_to_what_it_came_of() -> None:
    last, cause = OSError("last"), ValueError("cause")
    last.__cause__ = cause

    assert list(chain_of(last)) == [last, cause]
