"""Runs a Python handler: AWS's ``awslambdaric``, adapted to a Runtime API whose address has a path.

The program of a sandbox. Imports nothing of taskd, whose modules the function must not see.
"""

import os
import sys
from typing import Any

from awslambdaric import bootstrap
from awslambdaric.lambda_runtime_client import LambdaRuntimeClient


def main() -> None:
    """Serves calls until the Runtime API is gone."""
    # only now, so that no module of the function takes the place of one that awslambdaric needs
    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    # an error is printed as lines, not as one line with carriage returns in it
    bootstrap.ERROR_LOG_LINE_TERMINATE = "\n"
    bootstrap.ERROR_LOG_IDENT = " "
    bootstrap.run(os.environ["_HANDLER"], client(os.environ["AWS_LAMBDA_RUNTIME_API"]))


def client(address: str) -> Any:
    """A client for ``host:port/path``; by itself it takes only ``host:port`` where it reports a failed start."""
    authority, _, path = address.partition("/")
    runtime_client = LambdaRuntimeClient(authority)
    call_rapid = runtime_client.call_rapid
    runtime_client.call_rapid = lambda method, endpoint, *rest: call_rapid(method, f"/{path}{endpoint}", *rest)
    return runtime_client


if __name__ == "__main__":
    main()
