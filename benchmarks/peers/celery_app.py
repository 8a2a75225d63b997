"""Celery: prefork workers, Redis. Run with a number to put in as many tasks."""

import os
import sys
from typing import Any

from celery import Celery
from celery.signals import worker_process_init

from benchmarks.peers.lambda_call import blocking_client, invoke

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


if __name__ == "__main__":
    for each in range(int(sys.argv[1])):
        call.delay(each)
