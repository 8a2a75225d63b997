"""What the header of a listing that looked at every record says."""

import pytest

from taskd.api.http.notices import COUNTED_MAX, NOTICE_HEADER, scan_notice
from taskd.rql.parser import parse

SCANNED = "this listing looked at every record, as no index answers it"
COUNTED = f"; skipCount() would spare it counting {COUNTED_MAX + 1} of them"
INDEX = '; [store] indexes = ["data.n"] would spare it that'


@pytest.mark.parametrize(
    ("text", "total", "advice"),
    [
        *(("priority=1", COUNTED_MAX, ""), ("priority=1", COUNTED_MAX + 1, COUNTED)),
        *(("priority=1&skipCount()", None, ""), ("data.n=1", COUNTED_MAX + 1, INDEX + COUNTED)),
    ],
)
def test_beyond_very_many_it_advises_not_to_count(text: str, total: int | None, advice: str) -> None:
    assert scan_notice(parse(text), total) == {NOTICE_HEADER: SCANNED + advice}
