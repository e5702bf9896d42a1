"""The release before the last migration works beside this one, and after it again."""

import os
import shutil
from copy import deepcopy
from pathlib import Path
from subprocess import PIPE, run

import documents
import pytest
from postgresql import PostgreSQL
from pydicom.dataset import Dataset
from pydicom.uid import generate_uid
from sample_images import FILM
from sending import all_stored, datasets_of, send
from services import Site, missing, wait_for

from dicom_node.studies.ledger.schema import MIGRATIONS, SCHEMA, OtherSchemaError

pytestmark = [pytest.mark.timeout(900), pytest.mark.long]

FORMER = f"{int(SCHEMA) - 1:04d}"


@pytest.fixture
def former_release(tmp_path: Path) -> Path:
    """Return the source of the commit before the one that brought the last migration."""
    (script,) = (MIGRATIONS / "versions").glob(f"{SCHEMA}_*.py")
    brought = _git("log", "--diff-filter=A", "--format=%H", "-n1", "--", str(script)).strip()
    if not brought:
        missing("the last migration is not in the history of this repository")
    archive, folder = tmp_path / "former.tar", tmp_path / "former"
    _git("archive", f"{brought}~1", "--output", str(archive))
    shutil.unpack_archive(archive, folder, filter="data")
    return folder


def _git(*arguments: str) -> str:
    command = ["git", "-C", str(documents.ROOT), *arguments]
    done = run(command, stdout=PIPE, text=True, check=False)
    if done.returncode != 0:
        missing("the history of this repository is not here: clone it whole")
    return done.stdout


def use_release(site: Site, *names: str, source: Path) -> None:
    """Have parts of a site run from the source of a release from their next start on."""
    for name in names:
        service = getattr(site, name)
        service.environment = {**service.environment, "PYTHONPATH": str(source)}


def send_study(site: Site) -> str:
    images: list[Dataset] = deepcopy(datasets_of(FILM))
    study = generate_uid()
    for image in images:
        image.StudyInstanceUID, image.SOPInstanceUID = study, generate_uid()
        image.file_meta.MediaStorageSOPInstanceUID = image.SOPInstanceUID
    assert all_stored(send(images, site.node_port, calling="FILM"))
    return study


def delivered_once(site: Site, *studies: str) -> None:
    wait_for(lambda: has_own_schema(site), seconds=60, what="the node migrates the ledger")
    for study in studies:
        site.wait_for_condition(study, "delivered", seconds=300)
        record = site.study_record(study)
        assert [one["state"] for one in record["analyses"]] == ["done"]
        assert len(site.archive.instances(study)) == len(record["results"])


def has_own_schema(site: Site) -> bool:
    """Tell whether the ledger is migrated: a node listens before that, to take images."""
    with site._database() as database:
        try:
            database.require_schema()
        except OtherSchemaError:
            return False
    return True


def test_release_is_taken_and_taken_back_while_studies_come(
    tmp_path: Path, bundle: Path, postgresql: PostgreSQL, former_release: Path
) -> None:
    (tmp_path / "site").mkdir()
    site = Site(tmp_path / "site", bundle, ledger_url=postgresql.new_database())
    own = Path(os.environ.get("PYTHONPATH", str(documents.ROOT)).partition(":")[0])
    use_release(site, "node", "worker", source=former_release)
    try:
        site.archive.start()
        site.broker.start()
        site.start_node()
        site.worker.start()
        first = send_study(site)
        wait_for(lambda: site.archive.instances(first), seconds=300, what="the former one delivers")

        # The node first, beside the worker of the former release.
        site.node.stop()
        use_release(site, "node", source=own)
        site.start_node()
        second = send_study(site)
        wait_for(
            lambda: "older than the node that made the ledger" in site.worker.output(),
            seconds=300,
            what="the former worker says that the ledger is of another version",
        )
        assert site.archive.instances(second) == []
        site.worker.stop()
        use_release(site, "worker", source=own)
        site.worker.start()
        delivered_once(site, first, second)

        # And back.
        for service in (site.node, site.worker):
            service.stop()
        back = site.run("migrate-back", FORMER)
        assert back.returncode == 0, back.stderr
        use_release(site, "node", "worker", source=former_release)
        site.node.start()
        site.worker.start()
        third = send_again(site)
        wait_for(lambda: site.archive.instances(third), seconds=300, what="the former one delivers")
        for service in (site.node, site.worker):
            service.stop()
        use_release(site, "node", "worker", source=own)
        site.start_node()
        site.worker.start()
        delivered_once(site, first, second, third)
    finally:
        site.stop()


def send_again(site: Site) -> str:
    wait_for(site._node_listens, seconds=120, what="the former node listens again")
    return send_study(site)
