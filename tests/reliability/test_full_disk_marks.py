"""On a full disk OAuth 1 clients are still answered: the record of their timestamps takes no more space."""

from pathlib import Path

import pytest
from support.disk.full_disk import fill

from taskd.auth.replay_marks import AHEAD_MAX, FILE_NAME, ReplayMarks
from taskd.model import errors
from taskd.model.errors import ContractError

NOW_S = 1_700_000_000


async def test_marks_move_on_a_full_disk(small_disk: Path) -> None:
    marks = ReplayMarks(small_disk / FILE_NAME)
    marks.start(NOW_S, 300)
    await marks.move(NOW_S, "token", NOW_S)
    fill(small_disk)
    for number in range(AHEAD_MAX):
        await marks.move(NOW_S + 100, f"token {number}", NOW_S)
    await marks.move(NOW_S + 50, "token", NOW_S + 50)
    marks.close()
    after = ReplayMarks(small_disk / FILE_NAME)
    after.start(NOW_S, 300)
    for timestamp_s, signer in ((NOW_S + 50, "token"), (NOW_S + 100, "token 0"), (NOW_S + 100, "token 999")):
        with pytest.raises(ContractError, match="started anew"):
            after.check(timestamp_s, signer)
    after.check(NOW_S + 100, "token")
    after.close()


async def test_requests_are_refused_where_there_is_not_even_space_for_the_first_mark(small_disk: Path) -> None:
    marks = ReplayMarks(small_disk / FILE_NAME)
    marks.start(NOW_S, 300)
    filler = fill(small_disk)
    with pytest.raises(ContractError) as refusal:
        await marks.move(NOW_S, "token", NOW_S)
    assert refusal.value.kind is errors.UNAVAILABLE
    filler.unlink()
    await marks.move(NOW_S, "token", NOW_S)
    marks.close()
