"""What must hold once a site is quiet: nothing lost, nothing doubled, nothing counted wrongly."""

from collections import Counter
from collections.abc import Iterator

from pydicom import dcmread
from pydicom.filebase import DicomBytesIO
from simulated_site import Site
from stand_in_work import KINDS, Image, content_of

from dicom_node.facts.instance import content_sha256


def complaints(site: Site) -> list[str]:
    """Return what is wrong, a sentence each; nothing if all is well."""
    return [
        *dict.fromkeys(site.schedule.trouble),
        *_lost_files(site),
        *_wrong_analyses(site),
        *_wrong_deliveries(site),
        *_wrong_archives(site),
        *_wrong_attempts(site),
        *_lost_by_a_cut(site),
    ]


def _lost_files(site: Site) -> Iterator[str]:
    yield from _lost_images(site)
    yield from _lost_results(site)


def _lost_by_a_cut(site: Site) -> Iterator[str]:
    """At the end the power fails: what the ledger names is there all the same."""
    for process in site.processes.values():
        site.schedule.kill(process)
        site.database.break_connections_of(process)
    site.disk.cut_power()
    yield from (f"after a power cut at the end: {one}" for one in _lost_files(site))


def _lost_images(site: Site) -> Iterator[str]:
    query = (
        "SELECT content_sha256, place FROM instances WHERE sop_instance_uid = :uid "
        "AND state = 'registered'"
    )
    for image in _images(site):
        rows = site.database.rows(query, uid=image.sop_instance_uid)
        if len(rows) != 1:
            yield f"image {image.sop_instance_uid} was answered and has {len(rows)} rows"
            continue
        file = site.disk.root / rows[0].place
        if not file.is_file():
            yield f"image {image.sop_instance_uid} was answered and has no file"
        elif content_sha256(file) != rows[0].content_sha256 or rows[0][0] != image.sha256:
            yield f"the file of image {image.sop_instance_uid} is not what was sent"


def _lost_results(site: Site) -> Iterator[str]:
    query = (
        "SELECT r.place, r.kind FROM result_objects r JOIN analyses a ON a.id = r.analysis_id "
        "WHERE a.state = 'done' AND r.place <> ''"
    )
    for place, kind in site.database.rows(query):
        file = site.disk.root / place
        if not file.is_file():
            yield f"{place} is named by the ledger and not there"
        elif not file.read_bytes().startswith(kind.encode()):
            yield f"{place} is named by the ledger and not what was made"


def _wrong_analyses(site: Site) -> Iterator[str]:
    query = (
        "SELECT a.state, a.reason FROM analyses a JOIN studies s ON s.id = a.study_id "
        "WHERE s.study_instance_uid = :uid ORDER BY a.revision"
    )
    for uid in site.acknowledged:
        states = [tuple(row) for row in site.database.rows(query, uid=uid)]
        if [state for state, _ in states[-1:]] != [site.leg.analysis] * bool(site.leg.analysis):
            yield f"study {uid} has analyses {states}"
        if any(state != "superseded" for state, _ in states[:-1]):
            yield f"study {uid} has two answers: {states}"


def _wrong_deliveries(site: Site) -> Iterator[str]:
    query = (
        "SELECT d.id, d.destination, d.state, d.reason, a.state FROM deliveries d "
        "JOIN analyses a ON a.id = d.analysis_id"
    )
    for row in site.database.rows(query):
        allowed = site.leg.delivery if row[4] == "done" else {"accepted", "expired"}
        if row[2] not in allowed:
            yield f"delivery {row[0]} to {row[1]} of a {row[4]} analysis is {row[2]}: {row[3]}"


def _wrong_archives(site: Site) -> Iterator[str]:
    query = (
        "SELECT count(*) FROM transitions WHERE subject = 'delivery' AND event = 'claim' "
        "AND subject_id = :id"
    )
    for archive in site.archives.values():
        for uid, images in site.acknowledged.items() if site.leg.is_to_the_end else ():
            names = [_name(one) for one in {one.sop_instance_uid: one for one in images}.values()]
            for kind in KINDS:
                if content_of(kind, names) not in archive.held.values():
                    yield f"lost: {archive.name} has no {kind.value} of all images of {uid}"
        contents: dict[str, set[bytes]] = {}
        for one in archive.taken:
            contents.setdefault(one.sop_instance_uid, set()).add(one.content)
        yield from (f"{uid} names two contents" for uid, of in contents.items() if len(of) > 1)
        times = Counter((one.delivery_id, one.sop_instance_uid) for one in archive.taken)
        for (delivery_id, uid), count in times.items():
            attempts = site.database.rows(query, id=delivery_id)[0][0]
            if count > attempts:
                yield f"doubled: {archive.name} was sent {uid} {count} times in {attempts} attempts"


def _wrong_attempts(site: Site) -> Iterator[str]:
    """Each attempt beyond the first has a cause, and ends before the next begins."""
    query = "SELECT subject, subject_id, event FROM transitions ORDER BY id"
    open_ones: set[tuple[str, int]] = set()
    for subject, subject_id, event in site.database.rows(query):
        key = (subject, subject_id)
        if event == "claim" and key in open_ones:
            yield f"{subject} {subject_id} was claimed twice at once"
        if event == "claim":
            open_ones.add(key)
        else:
            open_ones.discard(key)
    query = "SELECT count(*) FROM transitions WHERE event = 'lease_lost' AND subject = 'analysis'"
    lost = site.database.rows(query)[0][0]
    if lost > site.worker_faults * 2:
        yield f"{lost} leases of analyses were lost, and {site.worker_faults} times a worker failed"


def _images(site: Site) -> Iterator[Image]:
    for images in site.acknowledged.values():
        yield from {one.sop_instance_uid: one for one in images}.values()


def _name(image: Image) -> str:
    dataset = dcmread(DicomBytesIO(image.content), force=True)
    return f"{image.sop_instance_uid} {dataset.PatientID}"
