"""``POST /api/analyze`` takes the files of a study the way of every other."""

from console_factory import Served
from files_on_disk import dicom_file
from node_factory import NOW, Reception, four_views, mammogram
from sqlalchemy import select

from dicom_node.sign_in.roles import Role
from dicom_node.studies.ledger.states import AnalysisState, StudyState
from dicom_node.studies.ledger.tables import Analysis, Instance, Study

UID = "1.2.826.0.1.3680043.8.498.4711"


def sent(served: Served, *files: bytes) -> tuple[int, dict, str]:
    answer = served.ask(
        "POST",
        "/api/analyze",
        Role.OPERATOR,
        files=[("files", (f"{number}.dcm", file)) for number, file in enumerate(files)],
    )
    return answer.status_code, answer.json(), answer.headers.get("Location", "")


def test_files_are_kept_and_their_findings_are_where_the_answer_says(served: Served) -> None:
    images = [dicom_file(one) for one in four_views(StudyInstanceUID=UID)]
    status, answer, location = sent(served, *images, b"no DICOM at all" * 20)
    assert (status, location) == (202, f"/api/studies/{UID}/findings")
    assert len(answer["refused"]) == 1
    assert len(served.spool.incoming()) == 4

    Reception(served.spool, served.database).registrar.register_all()
    assert served.get(location, Role.VIEWER).status_code == 202
    with served.database.writing() as session:
        study = session.scalars(select(Study).where(Study.study_instance_uid == UID)).one()
        study.state, study.revision = StudyState.SETTLED, 1
        senders = set(
            session.scalars(select(Instance.calling_ae_title).where(Instance.study_id == study.id))
        )
        session.add(
            Analysis(
                study_id=study.id, revision=1, state=AnalysisState.DONE, version=0, attempts=1,
                due_at=NOW, created_at=NOW, lease_holder="", reason="", bundle="demonstration 1",
                findings='{"study": []}',
            )
        )  # fmt: skip

    found = served.get(location, Role.VIEWER)
    assert senders == {"REST"}
    assert found.status_code == 200
    assert found.json()["findings"] == {"study": []}
    assert found.json()["revision"] == 1


def test_nothing_but_dicom_is_taken(served: Served) -> None:
    status, answer, _ = sent(served, b"x" * 500)

    assert status == 409
    assert "none of the files was taken" in answer["error"]


def test_files_of_two_studies_are_told_apart(served: Served) -> None:
    two = [mammogram(StudyInstanceUID=f"{UID}.{number}") for number in range(2)]
    status, answer, _ = sent(served, *map(dicom_file, two))
    Reception(served.spool, served.database).registrar.register_all()

    assert status == 409
    assert "2 studies" in answer["error"]


def test_readiness_rests_on_disk_and_listener_and_on_no_archive(served: Served) -> None:
    answer = served.get("/readyz")

    # No node listens behind this console, and its one archive is down as well.
    assert answer.status_code == 503
    assert answer.json() == {
        "status": "not ready",
        "disk": "ok",
        "listener": "it takes no connections",
    }
    assert served.get("/healthz").json() == {"status": "ok"}


def test_metrics_are_for_who_is_known_and_name_no_patient(served: Served) -> None:
    text = served.get("/metrics", Role.VIEWER).text

    assert "mammoclip_studies_received_total" in text
    assert "Quellwasser" not in text
