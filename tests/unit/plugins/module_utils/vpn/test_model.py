# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What the model says of itself in words: what a fix tells an operator to write reads as what it stands for."""

import pytest
import yaml
from ikeengine.vpn import declaration, identities
from ikeengine.vpn.model import Direction, IdentityKind, Route
from ikeengine.vpn.reading import Fields, Misfits
from ikeengine.vpn.selectors import Selector


@pytest.mark.parametrize(("kind", "value", "written"), [
    ("domain-name", "branch.example", "branch.example"), ("ip-address", "192.0.2.1", "192.0.2.1"),
    ("domain-information", "gw@branch.example", "gw@branch.example"), ("ip-address", "::", '"::"'),
    ("ip-address", "2001:10:20:30:40:50:51:52", '"2001:10:20:30:40:50:51:52"'), ("domain-name", "yes", '"yes"'),
    ("domain-name", "1.5", '"1.5"'), ("domain-name", "12", '"12"'), ("domain-name", "1.e-5", '"1.e-5"'),
    ("x500-name", "CN=hq, O=Example", '"CN=hq, O=Example"'), ("x500-name", r'CN=\"a\" #b', r'"CN=\\\"a\\\" #b"'),
    ("x500-name", "CN=Zürich: {x}", '"CN=Zürich: {x}"')])
def test_an_identity_reads_as_it_was_written(kind, value, written):
    identity = identities.parse(IdentityKind(kind), value)
    assert identity.as_yaml == f"{{type: {kind}, value: {written}}}"
    assert yaml.safe_load(identity.as_yaml) == {"type": kind, "value": value}


@pytest.mark.parametrize("direction", Direction)
@pytest.mark.parametrize(("local", "remote"), [
    ("10.1.0.0/24", "10.2.9.10-10.2.9.20"), ("::", "fd00::/64"), ("10.1.9.1", "0.0.0.0/0"), ("fd00::1-fd00::9", "::1")])
def test_a_route_reads_as_it_was_written(local, remote, direction):
    route, misfits = Route(Selector.parse(local), Selector.parse(remote), direction), Misfits("")
    fields = Fields(yaml.safe_load(route.as_yaml), "route", ("local", "remote", "direction"), misfits)
    assert declaration.read_route(fields) == route and not misfits.findings
    assert ("direction" in route.as_yaml) is (direction is not Direction.BOTH)
