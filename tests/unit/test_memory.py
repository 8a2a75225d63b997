"""How much memory there is: the machine's, or what a control group leaves of it, whichever is less."""

from pathlib import Path

import pytest

from taskd.model import limits
from taskd.store.embedded.settings import StoreSettings
from taskd.system import memory

GIB = 1 << 30


@pytest.fixture
def groups(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The root of control groups, which the process is in at ``system.slice/taskd.service``."""
    own = tmp_path / "cgroup"
    own.write_text("0::/system.slice/taskd.service\n")
    root = tmp_path / "fs"
    (root / "system.slice" / "taskd.service").mkdir(parents=True)
    monkeypatch.setattr(memory, "_OWN_GROUP", own)
    monkeypatch.setattr(memory, "_CGROUPS", root)
    return root


def test_where_nothing_limits_it_it_is_the_machines(groups: Path) -> None:
    (groups / "system.slice" / "taskd.service" / "memory.max").write_text("max\n")
    machine_kib = int(Path("/proc/meminfo").read_text().partition("MemTotal:")[2].split()[0])
    assert memory.memory_bytes() == machine_kib * 1024


@pytest.mark.parametrize("folder", ["", "system.slice", "system.slice/taskd.service"])
def test_any_group_above_may_limit_it(groups: Path, folder: str) -> None:
    (groups / folder / "memory.max").write_text(f"{GIB}\n")
    assert memory.memory_bytes() == GIB
    assert StoreSettings().live_memory_bytes == GIB // 4


def test_the_least_limit_counts(groups: Path) -> None:
    (groups / "memory.max").write_text(f"{GIB}\n")
    (groups / "system.slice" / "memory.max").write_text(f"{GIB // 2}\n")
    assert memory.memory_bytes() == GIB // 2


@pytest.mark.parametrize("text", ["", "12:memory:/docker/1\n", "0::/gone\n", "0::/../../elsewhere\n"])
def test_groups_that_cannot_be_told_limit_nothing(groups: Path, text: str) -> None:
    memory._OWN_GROUP.write_text(text)
    assert memory.memory_bytes() > 0


def test_tasks_may_take_something_on_the_smallest_machine_and_what_is_set_on_any(groups: Path) -> None:
    (groups / "memory.max").write_text("1\n")
    assert StoreSettings().live_memory_bytes == 64 * limits.MIB
    assert StoreSettings(live_memory_mib=16).live_memory_bytes == 16 * limits.MIB
