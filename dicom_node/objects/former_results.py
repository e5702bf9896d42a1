"""The results of former revisions, as far as those of a new one depend on them."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicom_node.objects.products import Product


@dataclass(frozen=True, slots=True, kw_only=True)
class FormerResult:
    """One object that a former revision of the study has.

    Attributes
    ----------
    made_in : 1 or more
        The revision that made it.
    kept_until : `made_in` or more
        The newest revision that has it, since equal answers are the same objects.
    held_for : products
        Every archive that is sent a new object of these products has accepted this one, so that
        the new one may refer to it.
    is_retracted : bool
        Whether a rejection note was sent for it: it is never sent again.
    """

    product: Product
    sop_class_uid: str
    sop_instance_uid: str
    series_instance_uid: str
    made_in: int
    kept_until: int
    held_for: frozenset[Product] = frozenset()
    is_retracted: bool = False


def newest_of(former: Iterable[FormerResult], product: Product) -> Sequence[FormerResult]:
    """Return what the newest revision that has a product has of it; empty if none has."""
    own = [one for one in former if one.product == product and not one.is_retracted]
    newest = max((one.kept_until for one in own), default=0)
    return [one for one in own if one.kept_until == newest]


def predecessor_of(former: Iterable[FormerResult], product: Product) -> FormerResult | None:
    """Return the newest report of a product that the archives hold, which a new one replaces."""
    held = [one for one in former if one.product == product and product in one.held_for]
    return max(held, key=lambda one: (one.kept_until, one.made_in), default=None)
