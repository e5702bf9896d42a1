"""Every other way in and out, the peer it was tried with, and the test that does it."""

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path
from typing import Final

TESTS: Final = Path(__file__).parents[1]
_NODE: Final = "unit/dicom_node"
_LONGEST_SECONDS: Final = 900


@dataclass(frozen=True, slots=True)
class Way:
    """One row of the table: a way, who is at its other end, and the test of both.

    Attributes
    ----------
    test : file below the folder of tests, and the function in it
    """

    way: str
    peer: str
    what: str
    test: str

    @property
    def cells(self) -> tuple[str, ...]:
        """Return what the table says of it."""
        return self.way, self.peer, self.what, f"`{self.test}`"

    def works(self) -> bool:
        """Run its test in a process of its own; returns whether all forms of it passed."""
        command = [sys.executable, "-m", "pytest", "-q", "-m", "", "-p", "no:cacheprovider"]
        try:
            done = subprocess.run(
                [*command, str(TESTS / self.test)],
                cwd=TESTS.parent,
                capture_output=True,
                text=True,
                timeout=_LONGEST_SECONDS,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return False
        if done.returncode:
            print(done.stdout[-2000:], file=sys.stderr)  # noqa: T201  says why the row is wrong
        return done.returncode == 0


WAYS: Final[tuple[Way, ...]] = (
    Way(
        "C-STORE in",
        "Orthanc",
        "forwards a study by the documented call",
        "acceptance/test_study_as_archive_forwards_it.py",
    ),
    Way(
        "C-STORE in",
        "dcmtk (echoscu, storescu)",
        "sends a folder by the documented commands",
        "integration/test_documented_ways.py"
        "::test_scanner_reaches_the_node_by_the_documented_commands",
    ),
    Way(
        "C-STORE in over TLS",
        "dcmtk",
        "shows its certificate",
        "integration/test_tls_peers.py::test_dcmtk_stores_over_tls",
    ),
    Way(
        "Orthanc plugin",
        "Orthanc",
        "sends each stable study once, and shows state and result",
        "integration/test_orthanc_plugin.py"
        "::test_stable_study_is_sent_once_and_its_result_is_shown",
    ),
    Way(
        "Orthanc plugin",
        "Orthanc, killed",
        "loses no study",
        "integration/test_orthanc_plugin.py::test_archive_killed_at_any_moment_loses_no_study",
    ),
    Way(
        "STOW-RS in",
        "dicomweb-client",
        "stores a study, answered when it is on disk",
        f"{_NODE}/dicomweb/test_storing.py::test_client_of_others_stores_a_study",
    ),
    Way(
        "STOW-RS in over TLS",
        "dicomweb-client",
        "shows a certificate and a token",
        f"{_NODE}/dicomweb/test_web_server.py"
        "::test_client_with_certificate_and_token_stores_over_https",
    ),
    Way(
        "WADO-RS and QIDO-RS out",
        "OHIF in Chromium",
        "lists a study, shows images and results out of the node",
        "acceptance/test_viewer_before_the_node.py",
    ),
    Way(
        "poll by QIDO-RS, by C-FIND and by changes",
        "Orthanc",
        "has each new image fetched once, late ones too",
        "integration/test_polls_of_archives.py",
    ),
    Way(
        "list: C-FIND with C-GET, QIDO-RS with WADO-RS",
        "Orthanc",
        "gives out the mammograms of a list alone, once",
        "integration/test_runs_from_archives.py::test_list_is_retrieved_once_and_ends_in_a_table",
    ),
    Way(
        "list: C-FIND with C-MOVE",
        "Orthanc, dcmqrscp",
        "moves mammograms alone to the node's port",
        "integration/test_moves_from_archives.py",
    ),
    Way(
        "list, killed twice",
        "Orthanc",
        "is asked for each object once",
        "integration/test_run_of_many.py"
        "::test_run_killed_twice_fetches_each_study_once_at_its_pace",
    ),
    Way(
        "worklist (UPS-RS)",
        "double, atomic",
        "sees each workitem completed once, the node killed at any point",
        f"{_NODE}/workitems/test_killed_performers.py"
        "::test_workitem_is_completed_once_wherever_the_node_is_killed",
    ),
    Way(
        "worklist (UPS-RS)",
        "double in which both claims win, as in raccoon-dicom",
        "sees one of two performers stop",
        f"{_NODE}/workitems/test_claiming.py"
        "::test_p4_where_both_claims_win_one_performer_finds_out_and_stops",
    ),
    Way(
        "worklist (UPS-RS)",
        "double that knows no filters, or answers a few workitems at a time",
        "has its own taken page by page",
        f"{_NODE}/workitems/test_claiming.py"
        "::test_p1_search_sees_its_own_ready_workitems_page_by_page",
    ),
    Way(
        "worklist, event channel",
        "double that drops its WebSocket 20 times",
        "keeps no workitem waiting for longer than a search",
        f"{_NODE}/workitems/test_event_channel.py"
        "::test_p12_channel_that_drops_keeps_no_workitem_waiting",
    ),
    Way(
        "worklist over TLS",
        "double",
        "is searched, and is heard",
        f"{_NODE}/workitems/test_event_channel.py::test_server_and_channel_are_spoken_to_over_tls",
    ),
    Way(
        "MPPS and IAN in",
        "pynetdicom",
        "announces a study in Implicit and Explicit VR; a running node settles it",
        f"{_NODE}/receive/test_announced_studies.py"
        "::test_running_node_settles_a_study_by_what_its_modality_announces",
    ),
    Way(
        "rejection notes (IOCM)",
        "double",
        "takes images out before and after their study came",
        f"{_NODE}/receive/test_rejection_notes.py"
        "::test_rejected_images_are_taken_out_and_the_history_says_why",
    ),
    Way(
        "HL7 ADT in",
        "double",
        "corrects and merges patients over one connection",
        f"{_NODE}/hl7/test_patient_corrections.py"
        "::test_peers_talk_over_a_connection_and_others_are_not_heard",
    ),
    Way(
        "HL7 ORU^R01 out",
        "hl7v2-fhir-bridge",
        "takes the results of ten studies",
        f"{_NODE}/send/reporting/test_hl7_receiver.py"
        "::test_receiver_takes_the_results_of_ten_studies",
    ),
    Way(
        "HL7 ORU^R01 out",
        "hl7apy",
        "reads the scores of ten studies and finds nothing against the standard",
        f"{_NODE}/send/reporting/test_oru_messages.py",
    ),
    Way(
        "FHIR out",
        "hl7v2-fhir-bridge's server",
        "creates what a report says, once",
        f"{_NODE}/send/reporting/test_fhir_server.py",
    ),
    Way(
        "FHIR out",
        "fhir.resources",
        "reads scores, sides and outlines of ten studies",
        f"{_NODE}/send/reporting/test_fhir_resources.py",
    ),
    Way(
        "webhook",
        "standardwebhooks",
        "verifies the signature",
        f"{_NODE}/send/reporting/test_webhooks.py::test_message_is_verified_by_another_library",
    ),
    Way(
        "assessments of readers in",
        "double",
        "has its decision kept with the finding it speaks of",
        f"{_NODE}/assessments/test_taking.py::test_assessment_is_kept_with_its_finding",
    ),
)
