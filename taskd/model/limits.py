"""Every limit of the contract, in one place."""

from typing import NamedTuple


class Range(NamedTuple):
    """The values that a number may have, both ends included: an annotation of what can be set."""

    low: float
    high: float


MIB = 1024 * 1024

LAMBDA_PAYLOAD_MAX_BYTES = 6 * MIB
"""The largest event or result of a synchronous Lambda invocation."""
TASK_ENVELOPE_BYTES = 192 * 1024
"""Kept free in an event for the task's own fields around ``data`` (tags, ids, timestamps, links).

100 tags of 256 characters, each at most 6 bytes as JSON, are 150 KiB; the rest is a few KiB.
"""
TASK_DATA_MAX_BYTES = LAMBDA_PAYLOAD_MAX_BYTES - TASK_ENVELOPE_BYTES
TASK_DATA_MAX_DEPTH = 500
"""Nesting of arrays and objects in ``data``: whatever reads it on its way, stores included, must take as much."""
TASK_TAGS_MAX = 100
TASK_TAG_MAX_CHARS = 256
FUNCTION_REFERENCE_MAX_CHARS = 170
"""A bare function name or a Lambda ARN."""
PRIORITY_MAX = 9_007_199_254_740_991
"""The largest integer a JavaScript number holds exactly; priorities reach from minus to plus this."""

TIME_LIMIT_MIN_S = 3
TIME_LIMIT_MAX_S = 300
TIME_LIMIT_DEFAULT_S = 30
MEMORY_MIN_MB = 128
MEMORY_MAX_MB = 10240
MEMORY_DEFAULT_MB = 128
ENVIRONMENT_MAX_BYTES = 4096
"""Names and values of a function's environment variables, added up."""
DESCRIPTION_MAX_CHARS = 256
ENTRY_POINT_MAX_CHARS = 128
RETRY_ERRORS_MAX = 100
"""How many error names a retry policy may list."""
RETRY_ERROR_MAX_CHARS = 256
CONCURRENCY_MAX = 65_536
"""The most that a rule of concurrency lets run at once."""
THROTTLE_LIMIT_MAX = 1_000_000
"""The most starts in one period of a throttle, and the largest burst of one."""
THROTTLE_PERIOD_MIN_S = 0.001
THROTTLE_PERIOD_MAX_S = 31 * 86_400
KEY_PATH_MAX_CHARS = 256
"""Of a path into the data that tells tasks apart."""
CODE_UNPACKED_MAX_BYTES = 250 * MIB
CODE_FILES_MAX = 10_000
CODE_DEPTH_MAX = 100
"""Directories within directories, and the file in the last one."""
CODE_LINK_STEPS_MAX = 100_000
"""The names in the paths that all links of a zip point at: each of them is looked up, which takes 10 µs."""
CODE_UPLOAD_MAX_BYTES = 50 * MIB
"""The largest zip that AWS Lambda takes directly."""
FUNCTION_NAME_MAX_CHARS = 64

USERS_MAX = 10_000
"""Of those who were made over HTTP, as every change rewrites them all; `taskd auth` may make more."""
ROLES_MAX = 1_000
ROLE_PERMISSIONS_MAX = 1_000
ROLE_BODY_MAX_BYTES = 256 * 1024
EMAIL_LOOKUPS_MAX = 1_000
"""Addresses that were looked up and may be registered within the next moments."""

SCHEDULES_MAX = 10_000
"""Of one caller; others have shares of their own, see ``shares.py``. Every node keeps all schedules in view."""
NOTE_MAX_CHARS = 1_000
"""Of what people write for people."""
SCHEDULE_DATA_MAX_BYTES = 64 * 1024
SCHEDULE_CATCH_UP_MAX_S = 30 * 86_400
SCHEDULE_JITTER_MAX_S = 86_400
SCHEDULE_REMAINING_MAX = 1_000_000_000
SCHEDULE_TIMES_MAX = 100
"""Coming times that are told in one answer."""
BACKFILL_MAX_BYTES = 32 * MIB
"""Of the data of all tasks of one backfill."""
SCHEDULE_INTERVAL_MIN_S = 0.1
SCHEDULE_INTERVAL_MAX_S = 10 * 366 * 86_400
"""Ten years."""

EVENT_TYPE_MAX_CHARS = 256
EVENT_ID_MAX_CHARS = 255
EVENT_CONTENT_MAX_BYTES = 256 * 1024
EVENT_CONTENT_MAX_DEPTH = TASK_DATA_MAX_DEPTH - 2
"""In the data of a task it is two objects deeper."""
SUBSCRIPTIONS_MAX = 1_000
SUBSCRIBED_TYPES_MAX = 1_000
DISPATCHERS_MAX = 10_000
"""Every node keeps all of them in view."""
DISPATCHERS_PER_TYPE_MAX = 100
DISPATCHER_ACTIONS_MAX = 20
DISPATCHER_NAME_MAX_CHARS = 256
DISPATCHER_DATA_MAX_BYTES = 64 * 1024
"""Of one action. With the largest event it fits a task."""
DISPATCHED_DATA_MAX_BYTES = 8 * MIB
"""Of all actions for events of one type together."""
DISPATCHED_MAX_BYTES = 32 * MIB
"""Of the data of all tasks that one event makes, since they come with it in one step."""
MAIL_RECIPIENTS_MAX_BYTES = 16 * 1024
OPERATIONS_RUNNING_MAX = 100
OPERATIONS_KEPT = 1_000
"""Operations that have ended and are remembered; the oldest give way."""
OPERATIONS_KEPT_MS = 30 * 86_400_000
OPERATION_DATA_MAX_BYTES = 64 * 1024
"""Of what replays have in place of their own data: every node keeps it in view."""
OPERATION_RATE_MIN_PER_S = 0.001
OPERATION_RATE_MAX_PER_S = 1_000_000

LIVE_TASKS_MAX = 10_000_000
"""Tasks that wait or run."""
BULK_TASKS_MAX = 10_000
IDEMPOTENCY_KEY_MAX_CHARS = 255
IDEMPOTENCY_KEY_TTL_MS = 86_400_000
IDEMPOTENCY_KEYS_MAX = 1_000_000
"""Keys of one caller that are remembered at a time; others have shares of their own, see ``shares.py``."""

UNIQUE_KEY_MAX_CHARS = 256
UNIQUE_SECONDS_MAX = 366 * 86_400
"""For how long the key of a task may last, from its creation on."""
UNIQUE_KEYS_MAX = 1_000_000
"""Keys of one caller that last for some time and are remembered at a time; others have shares of their own."""

WEBHOOKS_MAX = 100
WEBHOOK_URL_MAX_CHARS = 2_048
WEBHOOK_EVENTS_MAX = 50
EVENT_TYPE_MAX_CHARS = 128
WEBHOOK_SECRET_MIN_BYTES = 24
WEBHOOK_SECRET_MAX_BYTES = 64
WEBHOOK_BODY_MAX_BYTES = 20_000
WEBHOOK_ERROR_TEXT_MAX_CHARS = 500
"""Of an error's name, and of its message, in the body of a webhook."""
WEBHOOK_TIME_LIMIT_S = 20.0
"""For one attempt to deliver, from looking up the address to the answer."""
WEBHOOK_ANSWER_MAX_BYTES = 4_096
"""Read of an answer's body; its connection is closed if there is more."""
DELIVERY_DELAYS_MS = tuple(
    round(seconds * 1000) for seconds in (5, 5 * 60, 30 * 60, *(hours * 3600 for hours in (2, 5, 10, 14, 20, 24)))
)
"""How long after a failed attempt a delivery is tried again; after the last of these it has failed."""
DELIVERY_JITTER = 0.1
"""The part of its delay that an attempt may be later."""
DELIVERIES_WAITING_MAX = 100_000
"""Of one webhook alone; where several have many, each has a share, see ``shares.py``. Past it, it is disabled."""
DELIVERIES_KEPT = 100_000
"""How many deliveries are remembered; of those that have ended the oldest give way."""
SECRET_OVERLAP_DEFAULT_S = 86_400
"""How long after a rotation bodies are signed with the secret before, too."""
SECRET_OVERLAP_MAX_S = 30 * 86_400

INDEXES_MAX = 16
"""Indexed fields of tasks' data: each is looked for in every task."""

BODY_MAX_BYTES = 6 * MIB
BULK_BODY_MAX_BYTES = 32 * MIB
CODE_BODY_MAX_BYTES = 16 * MIB
BODIES_MAX_BYTES = 256 * MIB
"""Of all requests in progress together."""
REQUESTS_MAX = 5_000
"""Requests in progress at once."""
LOGIN_BODY_MAX_BYTES = 16 * 1024
PAGE_LIMIT_DEFAULT = 20
PAGE_LIMIT_MAX = 100
PAGE_MAX_BYTES = 64 * MIB
"""Of one page as it is sent; it then has fewer records than were asked for, and its ``limit`` says how many."""
PAGE_IN_MEMORY_MAX_BYTES = 4 * MIB
"""Of one page, but for long data of tasks, which is read while it is sent."""
PAGE_DATA_IN_MEMORY_MAX_BYTES = 2 * MIB
"""Of the data of a page's tasks together: what is left of it for each of them decides whose data is long."""
LOG_PAGE_MAX_BYTES = 4 * MIB
"""Of the messages of one page of log lines, but for the last of them."""
ANSWERS_MAX_BYTES = 256 * MIB
"""Of answers that wait for clients to read them, together."""
ANSWER_STALL_S = 30.0
"""How long a client may read next to nothing of an answer."""
RQL_MAX_BYTES = 16 * 1024
RQL_MAX_DEPTH = 32
RQL_CONDITIONS_MAX = 250
"""Of a query, with groups and what is asked about the page: so many are read in milliseconds of the event loop."""
RQL_VALUES_MAX = 700
"""Of all lists of a query together, such as the fields of a ``select``: more than there is room for ids in a query."""
RQL_PATTERNS_COST_MAX = 4_000
"""What compiling all patterns of a query may take, in characters and states: a few milliseconds of the event loop."""
LISTING_TIME_LIMIT_S = 10.0

RETENTION_MIN_S = 60
RETENTION_MAX_S = 100 * 366 * 86_400
"""A hundred years: for ever."""

TASK_WAIT_MAX_S = 60
"""How long one request may wait for a task's end."""

RETRY_DELAYS_MS = (2_000, 5_000, 10_000)
"""How long after a failure each retry starts, unless the function says otherwise; their number is that of retries."""
RETRY_DELAYS_MAX = 20
"""How many delays a retry policy may list."""
RETRY_DELAY_MAX_S = 7 * 86_400
ZOMBIE_MARGIN_S = 15.0
"""How long past a function's own limit its answer is waited for."""
API_REQUESTS_KEPT = 100_000
"""How many API requests are kept, with their log lines; the oldest give way."""
DIRECT_TIME_LIMIT_MAX_S = 30
"""The largest time limit of a function that a client may wait for: direct execution and API functions."""
LOG_MAX_BYTES_PER_CALL = MIB
"""Log lines kept of one invocation by the local runtime."""
FUNCTION_LOG_WINDOW_MAX_S = 24 * 3600
"""How long a time one listing of a function's log may span."""
ERROR_TEXT_MAX_CHARS = 16 * 1024
"""Kept of a failed task's error name and message: a function may raise with megabytes."""
NOT_READY_MAX_S = 600.0
"""How long tasks are held back for a function that is there but not ready to be invoked."""
