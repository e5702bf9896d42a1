"""The tables that the commands print."""

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import TYPE_CHECKING, Any

from rich.table import Table

from dicom_node.commands.local_times import local_time
from dicom_node.studies.ledger.destinations.overview import DestinationSummary
from dicom_node.studies.ledger.queries.reading import StudySummary

if TYPE_CHECKING:
    from dicom_node.commands.render import RenderedObject
    from dicom_node.commands.validate import Verdict
    from dicom_node.studies.shadow_comparison import Agreement, Comparison


def studies_table(summaries: Sequence[StudySummary]) -> Table:
    """List studies, one in each row; with their nodes if there are several."""
    has_nodes = any(one.node for one in summaries)
    columns = ["state", "priority", "revision", "images", "set aside", "last received"]
    columns += ["node", "reason"] if has_nodes else ["reason"]
    table = new_table("Studies", "Study Instance UID", *columns)
    for one in summaries:
        table.add_row(
            one.study_instance_uid,
            f"{one.condition} ({one.proof})" if one.proof else one.condition,
            one.priority,
            str(one.revision),
            str(one.images),
            str(one.set_aside),
            local_time(one.last_received_at),
            *([one.node] if has_nodes else []),
            one.reason,
        )
    return table


def destinations_table(summaries: Sequence[DestinationSummary]) -> Table:
    """List destinations, one in each row."""
    columns = (
        "state",
        "since",
        "waiting",
        "sending",
        "held",
        "last delivered",
        "asked again",
        "reason",
    )
    table = new_table("Destinations", "destination", *columns)
    for one in summaries:
        table.add_row(
            one.name,
            one.condition,
            local_time(one.since),
            str(one.waiting),
            str(one.sending),
            str(one.held),
            local_time(one.delivered_at),
            local_time(one.asked_at),
            one.reason,
        )
    return table


def set_aside_table(without_study: Iterable[dict[str, Any]]) -> Table:
    """List objects that were set aside and belong to no study."""
    table = new_table("Set aside, without a study", "received", "from", "reason", "detail", "file")
    for one in without_study:
        table.add_row(
            local_time(one["received_at"]),
            one["calling_ae_title"],
            one["reason"],
            one["detail"],
            one["place"],
        )
    return table


def study_record_tables(record: dict[str, Any]) -> Iterator[Table]:
    """Show one study: its instances, findings, results, deliveries and history."""
    yield studies_table([record["summary"]])
    yield _instances_table(record["instances"])
    for analysis in record["analyses"]:
        if analysis["findings"]:
            yield findings_table(json.loads(analysis["findings"]), analysis["revision"])
    yield _analyses_table(record["analyses"])
    if record["shadows"]:
        yield _shadows_table(record)
    yield _deliveries_table(record)
    if record["commitments"]:
        yield _commitments_table(record)
    if record["assessments"]:
        yield _assessments_table(record["assessments"])
    yield _history_table(record["history"])


def findings_table(findings: dict[str, Any], revision: int) -> Table:
    """Show the findings document of one revision, image by image."""
    bundle = findings["bundle"]
    title = f"Findings of revision {revision} by {bundle['name']} {bundle['version']}"
    table = new_table(
        title, "SOP Instance UID", "view", "status", "finding", "score", "regions", "reason"
    )
    for image in findings["images"]:
        view = f"{image['laterality']}{image['view_position']}"
        head = (image["sop_instance_uid"], view, image["status"])
        for number, finding in enumerate(image["findings"]):
            mark = " *" if finding["above_threshold"] else ""
            table.add_row(
                *(head if number == 0 else ("", "", "")),
                finding["name"],
                f"{finding['score']:.3f}{mark}",
                str(len(finding["regions"])),
                image["reason"] if number == 0 else "",
            )
        if not image["findings"]:
            table.add_row(*head, "", "", "", image["reason"])
    return table


def comparisons_table(compared: Iterable["Comparison"]) -> Table:
    """List the answers of bundles in shadow beside those that were sent."""
    columns = ("revision", "bundle", "finding", "live", "shadow", "difference", "state", "reason")
    table = new_table("In shadow", "Study Instance UID", *columns)
    for one in compared:
        difference = "" if one.difference is None else f"{one.difference:+.3f}"
        table.add_row(
            one.study_instance_uid,
            str(one.revision),
            one.bundle,
            one.finding,
            _score(one.live, is_flagged=one.live_flagged),
            _score(one.shadow, is_flagged=one.shadow_flagged),
            difference,
            one.state,
            one.reason,
        )
    return table


def agreements_table(summed: Iterable["Agreement"]) -> Table:
    """List how far bundles in shadow agree with what was sent."""
    columns = ("studies", "mean difference", "mean distance", "same side of the threshold")
    table = new_table("Agreement", "bundle", "finding", *columns)
    for one in summed:
        table.add_row(
            one.bundle,
            one.finding,
            str(one.studies),
            f"{one.mean_difference:+.3f}",
            f"{one.mean_distance:.3f}",
            f"{one.agreeing} of {one.studies}",
        )
    return table


def _score(score: float | None, *, is_flagged: bool) -> str:
    return "" if score is None else f"{score:.3f}{' *' if is_flagged else ''}"


def rendered_table(written: Iterable["RenderedObject"]) -> Table:
    """List the files that were written."""
    table = new_table("Result objects", "file", "kind", "form", "SOP Class", "bytes")
    for one in written:
        table.add_row(str(one.file), one.kind, one.variant, one.sop_class_uid, str(one.size_bytes))
    return table


def verdicts_table(verdicts: Iterable["Verdict"]) -> Table:
    """List the verdict of each validator on each file."""
    table = new_table("Validation", "file", "checked by", "verdict", "messages")
    for one in verdicts:
        table.add_row(one.file, one.validator, one.verdict.value, "\n".join(one.messages))
    return table


def _instances_table(instances: Iterable[dict[str, Any]]) -> Table:
    table = new_table("Instances", "SOP Instance UID", "view", "state", "from", "reason", "file")
    for one in instances:
        why = f"{one['reason']}: {one['detail']}" if one["reason"] else one["left_out_reason"]
        table.add_row(
            one["sop_instance_uid"],
            f"{one['laterality']}{one['view_position']}",
            one["state"],
            one["calling_ae_title"],
            why,
            f"{one['node']} {one['place']}".lstrip(),
        )
    return table


def _analyses_table(analyses: Iterable[dict[str, Any]]) -> Table:
    table = new_table(
        "Analyses", "revision", "state", "attempts", "due", "rule", "bundle", "reason"
    )
    for one in analyses:
        bundle = " ".join(one["bundle"].split()[:2])
        table.add_row(
            str(one["revision"]),
            one["state"],
            str(one["attempts"]),
            _due(one),
            ", ".join(filter(None, [one["rule"], one["result_rules"]])),
            bundle,
            one["reason"],
        )
    return table


def _shadows_table(record: dict[str, Any]) -> Table:
    table = new_table("In shadow", "revision", "bundle", "state", "attempts", "due", "by", "reason")
    revisions = {one["id"]: one["revision"] for one in record["analyses"]}
    for one in record["shadows"]:
        table.add_row(
            str(revisions[one["analysis_id"]]),
            one["bundle"],
            one["state"],
            str(one["attempts"]),
            _due(one),
            " ".join(one["answered_by"].split()[:2]),
            one["reason"],
        )
    return table


def _deliveries_table(record: dict[str, Any]) -> Table:
    table = new_table(
        "Deliveries", "destination", "state", "attempts", "due", "object", "outcome", "reason"
    )
    results = {one["id"]: one for one in record["results"]}
    for one in record["deliveries"]:
        profile = f" ({one['profile']})" if one["profile"] else ""
        table.add_row(
            f"{one['destination']}{profile}",
            one["state"],
            str(one["attempts"]),
            _due(one),
            "",
            "",
            one["reason"],
        )
        for outcome in record["outcomes"]:
            if outcome["delivery_id"] == one["id"]:
                result = results[outcome["result_object_id"]]
                label = f"{result['kind']} {result['sop_instance_uid']}"
                table.add_row("", "", "", "", label, outcome["outcome"], outcome["status"])
    return table


def _commitments_table(record: dict[str, Any]) -> Table:
    table = new_table("Storage commitment", "destination", "Transaction UID", "asked", "ending")
    names = {one["id"]: one["destination"] for one in record["deliveries"]}
    for one in record["commitments"]:
        table.add_row(
            names[one["delivery_id"]],
            one["transaction_uid"],
            local_time(one["asked_at"]),
            one["ending"] or f"answer expected until {local_time(one['expires_at'])}",
        )
    return table


def _assessments_table(assessments: Iterable[dict[str, Any]]) -> Table:
    columns = ("side", "finding", "about", "by", "at", "comment")
    table = new_table("What readers say, and what is known", "decision", *columns)
    for one in assessments:
        table.add_row(
            one["decision"],
            one["laterality"],
            one["finding"],
            one["tracking_uid"] or one["sop_instance_uid"],
            one["reader"],
            local_time(one["assessed_at"]),
            one["comment"],
        )
    return table


def _due(work: dict[str, Any]) -> str:
    """Say when work that waits is tried, and when a destination is asked; else nothing."""
    if work.get("proof_due_at"):
        return f"asked {local_time(work['proof_due_at'])}"
    return local_time(work["due_at"]) if work["state"] == "due" else ""


def _history_table(history: Iterable[dict[str, Any]]) -> Table:
    table = new_table("History", "when", "what", "event", "before", "after", "reason")
    for one in history:
        table.add_row(
            local_time(one["at"], milliseconds=True),
            f"{one['subject']} {one['subject_id']}",
            one["event"],
            one["before"],
            one["after"],
            one["reason"],
        )
    return table


def new_table(title: str, *columns: str) -> Table:
    """Return an empty table of these columns."""
    table = Table(title=title, title_justify="left", header_style="bold")
    for column in columns:
        table.add_column(column, overflow="fold")
    return table
