"""The queues, one per operation, under the names of their topics."""

from kombu import Exchange, Queue

from jobs.operations import OPERATIONS


def task_queues() -> list[Queue]:
    """Return a durable direct queue for each operation: exchange, queue and routing key are all the topic's name."""
    topics = [operation.topic for operation in OPERATIONS.values()]
    return [Queue(topic, Exchange(topic, type="direct"), routing_key=topic) for topic in topics]
