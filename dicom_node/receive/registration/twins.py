"""Compares what arrives with what is kept under the same SOP Instance UID, before it is entered."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Final

from dicom_node.facts.instance import content_sha256
from dicom_node.facts.likeness import Likeness, Sameness
from dicom_node.studies.ledger.arrival.correcting import Comparison, former_refusal, kept_among
from dicom_node.studies.ledger.arrival.registering import Arrival
from dicom_node.studies.ledger.database import Database
from dicom_node.studies.ledger.states import InstanceState
from dicom_node.studies.ledger.tables import Instance
from dicom_node.studies.reach import Reach, UnreachedSpoolError

_REPEATED: Final = Likeness(verdict=Sameness.REPEATED)


class Twins:
    """The kept instances of the SOP Instance UIDs that arrive again.

    Parameters
    ----------
    reach : finds the kept ones, which other nodes may have received
    compare : what decides on two files, of which the first may be gone
    """

    def __init__(
        self,
        reach: Reach,
        database: Database,
        compare: Callable[[Path | None, Path], Likeness],
    ) -> None:
        self._reach = reach
        self._database = database
        self._compare = compare

    def compared_with(self, arrivals: Mapping[Path, tuple[str, Arrival]]) -> dict[str, Comparison]:
        """Compare arrivals with their twins, outside of any transaction: it may take its time.

        Parameters
        ----------
        arrivals : for each file its SOP Instance UID and what else is known of it

        Returns
        -------
        dict
            By receipt, for those that have a twin at its place.
        """
        uids = {sop_instance_uid for sop_instance_uid, _ in arrivals.values()}
        with self._database.reading() as session:
            twins = {
                row.sop_instance_uid: row
                for row in kept_among(session, uids)
                if row.state is InstanceState.REGISTERED
            }
            if twins:
                self._reach.look(session)
        return {
            arrival.receipt: Comparison(
                kept_id=twin.id, likeness=self._likeness(twin, file, arrival.content_sha256)
            )
            for file, (uid, arrival) in arrivals.items()
            if (twin := twins.get(uid)) is not None
        }

    def _likeness(self, twin: Instance, file: Path, content: str) -> Likeness:
        try:
            kept = self._reach.image(twin)
            is_sound = kept.is_file() and content_sha256(kept) == twin.content_sha256
            if not is_sound:
                self._require_reached(twin)
        except UnreachedSpoolError as error:
            if content == twin.content_sha256:
                return _REPEATED
            return Likeness(
                verdict=Sameness.DIFFERENT,
                detail=f"by another node, and this copy is not equal to it: {error}. Or send it "
                "to that node",
            )
        if is_sound and content == twin.content_sha256:
            return _REPEATED
        if is_sound:
            with self._database.reading() as session:
                refusal = former_refusal(session, twin, content)
            if refusal:
                return Likeness(verdict=Sameness.DIFFERENT, detail=refusal)
        return self._compare(kept if is_sound else None, file)

    def _require_reached(self, twin: Instance) -> None:
        """Tell a file that is gone from a spool that is away; raises UnreachedSpoolError."""
        with self._database.reading() as session:
            self._reach.look(session)
        self._reach.spool(twin.spool_id)
