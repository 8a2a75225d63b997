"""The service is removed as the first lines of its unit say. `conftest.py` sees to it that this comes last."""

import pytest
from support.service.machine import DATA, SOURCE, Machine
from support.service.unit_header import commands
from support.service.work import FAR_FUTURE, create

pytestmark = pytest.mark.boot


def test_removed_it_leaves_nothing_but_its_data_and_then_not_that(service: Machine) -> None:
    waiting = create(service, startTimestamp=FAR_FUTURE)
    [owner] = service.owners()
    unit = (service.root / SOURCE[1:] / "systemd/taskd.service").read_text()
    *removal, everything = commands(unit, "remove")
    service.run(" && ".join(removal))
    assert service.processes() == ""
    assert service.try_to("curl -s localhost:8080/health").returncode == 7
    assert service.try_to("systemctl cat taskd").returncode != 0
    assert service.try_to("getent passwd taskd").returncode == 2
    service.run(f"grep -aq {waiting} {DATA}/journal/*.journal")
    service.run(everything)
    named = f"\\( -user {owner.partition(':')[0]} -o -name 'taskd*' \\)"
    assert service.run(f"find /etc /opt /usr/local /var /tmp {named}") == ""
