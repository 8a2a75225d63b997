"""What can be set about the AWS runtime.

``name_prefix`` belongs to a service, not to a node: all nodes of one service have the same, since they invoke the same
functions, and each service in an account has another. One node alone may have any.
"""

from typing import Annotated

from msgspec import Struct

from taskd.model import limits


class AwsSettings(Struct, frozen=True, forbid_unknown_fields=True):
    """The ``[aws]`` table of the configuration. What is unset comes from the AWS environment and files."""

    region: str | None = None
    profile: str | None = None
    endpoint_url: str | None = None
    """A Lambda-compatible endpoint other than AWS's own, for example ``http://127.0.0.1:9001``."""
    connect_timeout_s: Annotated[float, limits.Range(0.1, 300)] = 5.0
    idle_connection_s: Annotated[float, limits.Range(0.1, 300)] = 5.0
    """A kept connection unused for longer is not used again: the peer may be closing it this very moment."""
    role: str | None = None
    """The ARN of the role that deployed functions run as. Without it nothing is deployed."""
    name_prefix: str | None = None
    """Stands before the name of every deployed function at AWS, so that several taskds can share an account."""
    tags: dict[str, str] = {}
    """Put on every deployed function, besides the tag that says it is taskd's."""
    deploy_timeout_s: Annotated[float, limits.Range(1, 900)] = 60.0
    """How long AWS may take to make a function ready, or to delete one."""
    full_logs: bool = True
    """Whether logs over the 4 KB that come with an answer are fetched from CloudWatch Logs."""
    logs_endpoint_url: str | None = None
    """A CloudWatch-Logs-compatible endpoint other than AWS's own."""

    @property
    def fetches_logs(self) -> bool:
        """Logs of what does not run at AWS are not looked for at AWS."""
        return self.full_logs and (self.endpoint_url is None or self.logs_endpoint_url is not None)
