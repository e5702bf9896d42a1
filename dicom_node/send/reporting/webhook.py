"""Tells a web server of results, in signed messages (Standard Webhooks 1.0.0)."""

import base64
import hashlib
import hmac
import json
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final

from dicom_node.send.dicomweb_exchange import exchange_with
from dicom_node.send.http_outcome import outcome_of_status
from dicom_node.send.reporting.message_sender import Reaction
from dicom_node.send.reporting.report import (
    Algorithm,
    Code,
    Evaluation,
    Group,
    Measure,
    Report,
    Site,
)
from dicom_node.settings.tls import NO_CERTIFICATES, TlsSettings
from dicom_node.settings.ways_out.reporting import WebhookDestination, key_of

EVENT: Final = "mammography.result.preliminary"
"""Type of the messages."""


@dataclass(frozen=True, slots=True, kw_only=True)
class WebhookMessage:
    """One message; a repeated one has the same identifier and the same body."""

    identifier: str
    body: bytes


class Webhook:
    """Messages to one web server.

    Parameters
    ----------
    tls : certificates of [tls]
    clock : seconds since 1970
        When a message is sent, which its signature covers.
    """

    def __init__(
        self,
        destination: WebhookDestination,
        *,
        tls: TlsSettings = NO_CERTIFICATES,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._destination = destination
        self._tls = tls
        self._clock = clock

    def compose(self, report: Report) -> WebhookMessage:
        """Make the message of a report."""
        content = {
            "type": EVENT,
            "timestamp": report.written_at.isoformat(),
            "data": _data_of(report, self._destination.identifiers),
        }
        body = json.dumps(content, ensure_ascii=False, separators=(",", ":")).encode()
        # Of the content: the same message has the same identifier, however often it is sent.
        return WebhookMessage(identifier=f"msg_{hashlib.sha256(body).hexdigest()[:32]}", body=body)

    @contextmanager
    def exchange(self) -> Iterator[Callable[[WebhookMessage], Reaction]]:
        """Open a connection, over which messages are sent."""
        with exchange_with(self._destination, self._tls) as exchange:

            def deliver(message: WebhookMessage) -> Reaction:
                headers = {"Content-Type": "application/json", **self._signed(message)}
                reply = exchange.post(message.body, headers, longest_answer_bytes=0)
                return outcome_of_status(reply.status)

            yield deliver

    def _signed(self, message: WebhookMessage) -> dict[str, str]:
        sent_at = str(int(self._clock()))
        secrets = (self._destination.secret, self._destination.former_secret)
        keys = [key_of(one.get_secret_value()) for one in secrets if one is not None]
        return {
            "webhook-id": message.identifier,
            "webhook-timestamp": sent_at,
            "webhook-signature": signatures(keys, message, sent_at),
        }


def signatures(keys: Sequence[bytes], message: WebhookMessage, sent_at: str) -> str:
    """Return the signature with each key, by spaces: HMAC-SHA256 of identifier, time and body."""
    signed = b".".join((message.identifier.encode(), sent_at.encode(), message.body))
    digests = (hmac.digest(key, signed, "sha256") for key in keys)
    return " ".join(f"v1,{base64.b64encode(digest).decode()}" for digest in digests)


def _data_of(report: Report, identifiers: str) -> dict[str, Any]:
    data: dict[str, Any] = {
        "study_instance_uid": report.study_instance_uid,
        "report": {
            "sop_class_uid": report.sop_class_uid,
            "sop_instance_uid": report.sop_instance_uid,
            "series_instance_uid": report.series_instance_uid,
            "replaces": list(report.replaces),
        },
        "status": "preliminary",
        "verification": "unverified",
        "notice": report.notice,
        "device": {
            "manufacturer": report.equipment.manufacturer,
            "model_name": report.equipment.model_name,
            "software_versions": list(report.equipment.software_versions),
        },
        "algorithm": _algorithm(report.algorithm),
        "outcome": _code(report.outcome),
        "regions": [_region(one) for one in report.groups],
        "evaluations": [_evaluation(one) for one in report.evaluations],
    }
    if identifiers != "study":
        data["accession_number"] = report.accession_number
    if identifiers == "patient":
        data["patient"] = {
            "name": "=".join(report.patient.names),
            "patient_id": report.patient.patient_id,
            "issuer_of_patient_id": report.patient.issuer,
            "birth_date": report.patient.birth_date,
            "sex": report.patient.sex,
        }
    return data


def _region(group: Group) -> dict[str, Any]:
    return {
        "tracking_uid": group.tracking_uid,
        "finding": _code(group.finding),
        **_site(group.site),
        **_scores(group.scores, group.algorithm),
        "answers": [
            {"concept": _code(one.concept), "value": _code(one.value)} for one in group.answers
        ],
        "sop_instance_uids": sorted({one.image.sop_instance_uid for one in group.outlines}),
    }


def _evaluation(one: Evaluation) -> dict[str, Any]:
    return {
        **({"tracking_uid": one.tracking_uid} if one.tracking_uid else {}),
        "concept": _code(one.concept),
        "value": _code(one.value),
        **_site(one.site),
        **_scores(one.measures, one.algorithm),
        "sop_instance_uids": sorted({image.sop_instance_uid for image in one.images}),
    }


def _scores(measures: Sequence[Measure], algorithm: Algorithm | None) -> dict[str, Any]:
    threshold = None if algorithm is None else algorithm.threshold_percent
    scores = [
        {"concept": _code(one.concept), "value": one.value, "unit": one.unit.value}
        for one in measures
    ]
    return {"scores": scores, "threshold": threshold} if scores else {}


def _site(site: Site | None) -> dict[str, Any]:
    return {} if site is None else {"side": site.side or None}


def _algorithm(algorithm: Algorithm | None) -> dict[str, Any] | None:
    if algorithm is None:
        return None
    return {"name": algorithm.name, "version": algorithm.version}


def _code(code: Code | None) -> dict[str, str] | None:
    if code is None:
        return None
    return {"code": code.value, "scheme": code.scheme, "meaning": code.meaning}
