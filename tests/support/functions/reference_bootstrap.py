"""Runs a Python handler as AWS does: ``awslambdaric`` with its own client, over the Runtime API.

For functions of ``provided.al2``, from a copy in their zip: what taskd's own program must not differ from.
"""

import os
import sys


def main() -> None:
    """Serves calls until the Runtime API is gone."""
    os.environ["AWS_EXECUTION_ENV"] = os.environ.pop("REFERENCE_EXECUTION_ENV")
    from awslambdaric import bootstrap  # noqa: PLC0415 - it reads the variable
    from awslambdaric.lambda_runtime_client import LambdaRuntimeClient  # noqa: PLC0415

    sys.path.insert(0, os.environ["LAMBDA_TASK_ROOT"])
    bootstrap.ERROR_LOG_LINE_TERMINATE = "\n"
    bootstrap.ERROR_LOG_IDENT = " "
    authority, _, path = os.environ["AWS_LAMBDA_RUNTIME_API"].partition("/")
    client = LambdaRuntimeClient(authority)
    call_rapid = client.call_rapid
    client.call_rapid = lambda method, endpoint, *rest: call_rapid(method, f"/{path}{endpoint}", *rest)
    bootstrap.run(os.environ["_HANDLER"], client)


if __name__ == "__main__":
    main()
