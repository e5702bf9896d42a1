"""Messages to the workers, and what both sides agree on."""

import pytest
from ports import free_port

from dicom_node.errors import BrokerDownError, SettingsError
from dicom_node.studies.broker import (
    ANALYZE_TASK,
    DELIVER_QUEUE,
    GPU_QUEUE,
    Broker,
    celery_configuration,
)


def test_real_broker_that_does_not_answer_is_down() -> None:
    broker = Broker(f"redis://127.0.0.1:{free_port()}/0")

    with pytest.raises(BrokerDownError):
        broker.waiting(GPU_QUEUE)


def test_error_of_the_broker_does_not_show_its_url() -> None:
    broker = Broker(f"redis://:s3cret@127.0.0.1:{free_port()}/0")

    with pytest.raises(BrokerDownError) as caught:
        broker.notify(ANALYZE_TASK, GPU_QUEUE, [1])

    assert "s3cret" not in str(caught.value)


def test_message_holds_a_number_and_no_more() -> None:
    broker = Broker("memory://")
    broker.notify(ANALYZE_TASK, GPU_QUEUE, [42])

    assert broker.waiting(GPU_QUEUE) == 1
    with broker._app.connection_for_read() as connection:
        message = connection.SimpleQueue(GPU_QUEUE).get(block=False)
    arguments, keywords, _ = message.payload
    assert (arguments, keywords) == ([42], {})
    assert message.content_type == "application/json"
    assert broker.waiting(DELIVER_QUEUE) == 0


def test_message_names_the_ledger_that_it_speaks_of() -> None:
    broker = Broker("memory://")
    broker.speak_of("ab" * 16)
    broker.notify(ANALYZE_TASK, GPU_QUEUE, [42])

    with broker._app.connection_for_read() as connection:
        message = connection.SimpleQueue(GPU_QUEUE).get(block=False)

    assert message.headers["ledger"] == "ab" * 16


def test_celery_reads_json_and_acknowledges_late() -> None:
    configuration = celery_configuration("redis://localhost/0")

    assert configuration["accept_content"] == ["json"]
    assert configuration["result_accept_content"] == ["json"]
    assert configuration["task_serializer"] == "json"
    assert configuration["task_acks_late"]
    assert configuration["task_reject_on_worker_lost"]
    assert configuration["worker_prefetch_multiplier"] == 1
    assert configuration["task_ignore_result"]


def test_both_queues_are_declared_with_exchanges_of_their_own() -> None:
    queues = celery_configuration("redis://localhost/0")["task_queues"]

    told = {(queue.name, queue.exchange.name, queue.routing_key) for queue in queues}

    assert told == {("gpu", "gpu", "gpu"), ("deliver", "deliver", "deliver")}


@pytest.mark.parametrize("name", ["CELERY_BROKER_URL", "CELERY_BROKER_READ_URL"])
def test_another_broker_in_the_environment_is_refused_in_words(
    monkeypatch: pytest.MonkeyPatch, name: str
) -> None:
    monkeypatch.setenv(name, "redis://user:secret@elsewhere/0")

    with pytest.raises(SettingsError, match=name) as refused:
        Broker("redis://localhost/0")

    assert "secret" not in str(refused.value)


def test_same_broker_in_the_environment_is_no_contradiction(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setenv("CELERY_BROKER_URL", "redis://localhost/0")

    assert celery_configuration("redis://localhost/0")["broker_url"] == "redis://localhost/0"
