"""Celery: prefork workers, Redis."""

import os
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.peers.lambda_call import blocking_client, invoke
from benchmarks.peers.work import mark

app = Celery("benchmark", broker=os.environ["BENCHMARK_BROKER"])
app.conf.update(task_ignore_result=True, broker_connection_retry_on_startup=True)
clients: list[Any] = []


@worker_process_init.connect
def open_client(**_: object) -> None:
    """A client for each worker process."""
    clients.append(blocking_client())


@app.task(name="call")
def call(number: int) -> None:
    """The task."""
    invoke(clients[0])


@app.task(name="nothing")
def nothing(number: int) -> None:
    """The task that does nothing."""
    mark()


def put_in(count: int, task: str) -> None:
    """Puts in ``count`` tasks."""
    for number in range(count):
        app.tasks[task].delay(number)
