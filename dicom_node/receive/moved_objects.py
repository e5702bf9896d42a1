"""Judges what archives send because they were asked to by C-MOVE (PS3.4 C.4.2)."""

from collections.abc import Collection
from pathlib import Path

from dicom_node.errors import MismatchedStudyError
from dicom_node.spool.messages.expected_moves import ExpectedMove, ExpectedMoves


class MovedObjects:
    """What the node was sent on its own request; anything else of such a request is refused.

    Parameters
    ----------
    root : folder of the spool
    own_ae_titles : under which the node asks, besides those of requests under way
    """

    def __init__(self, root: Path, own_ae_titles: Collection[str]) -> None:
        self._moves = ExpectedMoves(root)
        self._own = frozenset(own_ae_titles)

    def request_for(
        self, sop_instance_uid: str, *, originator: str, archive: str
    ) -> ExpectedMove | None:
        """Return the request to which an object belongs; None if it comes without one of ours.

        Parameters
        ----------
        originator : Move Originator Application Entity Title (0000,1030); empty for what the
            sender brings of its own accord
        archive : calling AE title

        Raises
        ------
        MismatchedStudyError
            It belongs to a request of the node, which has not asked this archive for it.
        """
        if not originator:
            return None
        under_way = self._moves.under_way()
        # Some archives name themselves where whoever has asked belongs.
        ours = self._own | {one.originator for one in under_way}
        if originator == archive:
            ours |= {one.archive for one in under_way}
        if originator not in ours:
            return None  # somebody else has asked the archive to send it here
        for one in under_way:
            asked = one.archive == archive and originator in {one.originator, archive}
            if asked and sop_instance_uid in one.sop_instance_uids:
                return one
        raise MismatchedStudyError("the archive sent an object that was not asked for by C-MOVE")
