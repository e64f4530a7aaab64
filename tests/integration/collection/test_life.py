# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""From a fresh host to a proved tunnel and back to a fresh host, over ssh, as users do."""

from __future__ import annotations

import json
import re
import subprocess
import threading
from pathlib import Path

import pytest

from tests.testbed.topology import Bed

from .conftest import MARKER, Site

pytestmark = [pytest.mark.hosts, pytest.mark.slow]

# Everything that an installation may touch, without what the system itself writes all the time.
WATCHED = "/etc /opt /usr/local /var/lib /home /srv"
PUT_INTO_THE_KERNEL = """
ip xfrm policy; ip xfrm state; ip -o link show type tun; ip rule | grep -v 'lookup \\(local\\|main\\|default\\)'
ip route show table all proto 206; nft list tables 2>/dev/null | grep ikeengine
ip route | grep -v '^default\\|dev mgmt\\|dev wan proto kernel\\|dev lan proto kernel'
true
"""
TRACES = f"""
ls -d /etc/ikeengine /opt/ikeengine /run/ikeengine /usr/local/sbin/ike* /etc/systemd/system/ikeengine.service \
      /etc/systemd/system/*/ikeengine.service /etc/sysctl.d/60-ikeengine.conf /var/log/ikeengine.log 2>/dev/null
getent passwd ikeengine; getent group ikeengine
{PUT_INTO_THE_KERNEL}
pgrep -u ikeengine
true
"""


def on(bed: Bed, host: str, command: str) -> str:
    argv = ["ssh", "-F", str(bed.ssh_config), host, command]
    return subprocess.run(argv, capture_output=True, text=True, check=True, timeout=60).stdout


def changed(done: subprocess.CompletedProcess[str]) -> dict[str, int]:
    return {host: int(count) for host, count in re.findall(r"^(\S+)\s+: ok=\d+\s+changed=(\d+)", done.stdout, re.M)}


def proved(done: subprocess.CompletedProcess[str]) -> int:
    """For how many routes the proof's table says that both ends hold the same SAs, counted at each end.

    Where both ends begin, there may be the SAs of both for a moment: a row each.
    """
    rows = [re.split("  +", line) for line in done.stdout.splitlines() if line.endswith("  both ends")]
    return len({(row[0], row[1], row[-3], row[-2]) for row in rows})


def received(bed: Bed) -> str:
    ping = bed.namespaces["lan-hq"].run(["ping", "-q", "-c", "5", "-i", "0.1", "-W", "2", "10.2.0.2"], check=False)
    return re.search(r"\d+ received", ping.stdout)[0]


def status(bed: Bed, host: str) -> dict:
    return json.loads(on(bed, host, "ikectl status --json"))


def test_check_mode_on_a_fresh_host_says_what_would_change_and_changes_nothing(fresh: Site, bed: Bed):
    before = {host: on(bed, host, f"touch /run/before; find {WATCHED} -xdev | sort | sha256sum") for host in bed.hosts}
    done = fresh.play("--check", "--diff")
    assert done.returncode == 0, done.stdout
    assert all(count >= 2 for count in changed(done).values())
    assert '"gateways[branch].endpoints[0].remote.address": "198.51.100.2"' in done.stdout
    assert "No tunnel was proved, because check mode deploys none." in done.stdout
    for host in bed.hosts:
        assert on(bed, host, f"find {WATCHED} -xdev | sort | sha256sum") == before[host]
        assert on(bed, host, f"find {WATCHED} -xdev -cnewer /run/before") == ""
        assert on(bed, host, TRACES) == ""


def test_the_first_run_ends_with_a_proved_tunnel_and_the_second_changes_nothing(fresh: Site, bed: Bed):
    first = fresh.play()
    assert first.returncode == 0, first.stdout + first.stderr
    assert proved(first) == 2
    sas = {host: status(bed, host)["tunnels"][0]["routes"][0]["sas"][0] for host in bed.hosts}
    assert (sas["hq"]["spi_in"], sas["hq"]["spi_out"]) == (sas["branch"]["spi_out"], sas["branch"]["spi_in"])
    assert received(bed) == "5 received"
    second = fresh.play()
    assert (second.returncode, changed(second)) == (0, {"hq": 0, "branch": 0}), second.stdout
    assert proved(second) == 2
    assert status(bed, "hq")["tunnels"][0]["routes"][0]["sas"][0]["spi_in"] == sas["hq"]["spi_in"]


def test_check_and_diff_on_a_converged_host_are_silent(converged: Site):
    done = converged.play("--check", "--diff")
    assert (done.returncode, changed(done)) == (0, {"hq": 0, "branch": 0}), done.stdout
    assert not re.search(r"^(---|\+\+\+|[-+] )", done.stdout, re.M)


def test_no_secret_in_any_output_or_file_or_process_list(fresh: Site, bed: Bed):
    seen: list[str] = []
    watched: set[bytes] = set()
    ended = threading.Event()

    def sample() -> None:
        while not ended.wait(0.05):
            for path in Path("/proc").glob("[0-9]*/cmdline"):
                try:
                    words = path.read_bytes()
                    watched.update(word for word in (b"ansible-playbook", b"ikeengine") if word in words)
                    if MARKER.encode() in words:
                        seen.append(str(path))
                except OSError:
                    continue

    sampler = threading.Thread(target=sample)
    sampler.start()
    done = fresh.play("-vvv", "--diff")
    ended.set()
    sampler.join()
    assert done.returncode == 0, done.stdout
    assert MARKER not in done.stdout + done.stderr
    assert seen == []
    assert watched == {b"ansible-playbook", b"ikeengine"}  # the sampling saw the controller and the hosts
    for host in bed.hosts:
        assert MARKER not in on(bed, host, "ikectl status --json; ikectl log; journalctl --no-pager -o verbose")
        readable = "grep -rslF " + MARKER + " /etc /opt /run /tmp /usr/local /var /root /home"
        assert on(bed, host, f"setpriv --reuid nobody --regid nogroup --clear-groups {readable} || true") == ""
        kept = on(bed, host, f"{readable} || true").split()
        assert [name for name in kept if not name.startswith("/run/credentials/")] == ["/etc/ikeengine/secrets.json"]


def test_an_edit_by_hand_is_drift_and_is_mended(converged: Site, bed: Bed):
    on(bed, "hq", f"sed -i s/{MARKER}/by-hand/ /etc/ikeengine/secrets.json")
    check = converged.play("--check", "--diff")
    assert changed(check) == {"hq": 2, "branch": 0}  # each role says it, since neither does it
    assert re.search(r"keyed digest [0-9a-f]{16}", check.stdout)
    assert changed(converged.play()) == {"hq": 1, "branch": 0}
    on(bed, "branch", "sed -i 's/\"boot\"/\"answer\"/' /etc/ikeengine/declaration.json")
    assert changed(converged.play()) == {"hq": 0, "branch": 1}
    assert changed(converged.play()) == {"hq": 0, "branch": 0}
    assert received(bed) == "5 received"


def test_an_edit_of_one_option_keeps_the_key_and_the_tunnel(converged: Site, bed: Bed):
    spis = status(bed, "hq")["tunnels"][0]["routes"][0]["sas"]
    transform = {"name": "spare", "key_group": "19"}
    assert changed(converged.task("ipsec_transform", transform)) == {"hq": 1}
    assert changed(converged.task("ipsec_transform", transform)) == {"hq": 0}
    assert changed(converged.task("ipsec_transform", {"name": "spare", "state": "absent"})) == {"hq": 1}
    assert MARKER in on(bed, "hq", "cat /etc/ikeengine/secrets.json")
    assert [sa["spi_in"] for sa in status(bed, "hq")["tunnels"][0]["routes"][0]["sas"]] == [sa["spi_in"] for sa in spis]
    assert received(bed) == "5 received"


@pytest.mark.parametrize(("credential", "endpoints"), [
    (f"psk={MARKER}", []),
    ({"method": "psk", "pks": MARKER}, []),
    ({"psk": [MARKER]}, []),
    ({"method": "psk", "psk": MARKER}, 5),
    ({"method": MARKER, "psk": MARKER}, [{"local": 5}]),
])
def test_a_task_that_fails_on_its_options_prints_no_key(site: Site, credential, endpoints):
    gateway = {"name": "branch", "credential": credential, "endpoints": endpoints}
    one = site.task("ipsec_gateway", gateway, "-vvv")
    whole = site.task("ipsec_config", {"gateways": [gateway], "tunnels": 5}, "-vvv")
    for done in (one, whole):
        assert done.returncode != 0
        assert MARKER not in done.stdout + done.stderr


def test_a_tunnel_that_is_not_there_fails_with_the_reasons_of_both_ends(converged: Site, bed: Bed):
    for host in bed.hosts:
        on(bed, host, "ip route del default; systemctl restart ikeengine")
    try:
        done = converged.play("-e", "ipsec_tunnel_proof_timeout=3")
    finally:
        on(bed, "hq", "ip route add default via 192.0.2.1")
        on(bed, "branch", "ip route add default via 198.51.100.1")
    assert done.returncode != 0
    assert "Not every tunnel is there" in done.stdout + done.stderr
    assert re.search(r"tunnel lan is not up: (hq|branch):lan.+; (hq|branch):lan", done.stdout + done.stderr)
    assert "failed=0" not in done.stdout.partition("PLAY RECAP")[2].partition("hq ")[2].partition("\n")[0]


def test_a_proof_that_fails_prints_what_either_end_explains(converged: Site, bed: Bed):
    """Somebody gave one daemon another key than its files have."""
    converged.write_play("proof.yml", [{"import_role": {"name": "tandem.vpn.ipsec_tunnel", "tasks_from": "proof"}}])
    on(bed, "branch", f"sed s/{MARKER}/by-hand/ /etc/ikeengine/secrets.json > /run/other.json; "
                      "ikectl reload --secrets /run/other.json; ikectl rekey hq --timeout 2 || true; ikectl down hq; "
                      "ikectl up hq --timeout 2 || true")
    done = converged.play("-e", "ipsec_tunnel_proof_timeout=3", playbook="proof.yml")
    said = " ".join(done.stdout.split())
    assert done.returncode != 0 and MARKER not in done.stdout + done.stderr and "by-hand" not in done.stdout
    assert "branch says: gateway hq: down" in said and "hq says: gateway branch: down" in said
    assert re.search(r"credential: the peer \S+ has one pre-shared key, we have another: the keys must be equal", said)
    assert "credential the proof is not that of our pre-shared key" in said
    assert re.search(r"credential or phase 1 identifier: the peer \S+ answered AUTHENTICATION_FAILED", said)
    assert converged.play().returncode == 0


def test_a_tunnel_that_is_taken_out_has_no_sa_at_either_end(converged: Site, bed: Bed):
    """The peer hears it in a DELETE, at once; its own policies stand, since it declares the tunnel."""
    assert changed(converged.task("ipsec_tunnel", {"name": "lan", "state": "absent"})) == {"hq": 1}
    for host in bed.hosts:
        ours = status(bed, host)
        assert [route["sas"] for tunnel in ours["tunnels"] for route in tunnel["routes"]] == [[]] * len(ours["tunnels"])
        assert on(bed, host, "ip xfrm state | grep 'enc \\|aead ' || true") == ""
    assert on(bed, "hq", f"({PUT_INTO_THE_KERNEL}) | grep '10\\.2\\|tun\\|proto 206' || true") == ""
    assert "10.1.0.0/24" in on(bed, "branch", PUT_INTO_THE_KERNEL)


def test_absent_leaves_nothing_though_the_peer_cannot_be_reached(converged: Site, bed: Bed):
    absent = ["-e", "ipsec_gateway_state=absent ipsec_tunnel_state=absent"]
    check = converged.play("--check", *absent)
    assert (check.returncode, min(changed(check).values()) > 0) == (0, True)
    assert status(bed, "hq")["tunnels"][0]["state"] == "up"
    on(bed, "hq", "ip route del default")
    try:
        done = converged.play(*absent)
    finally:
        on(bed, "hq", "ip route add default via 192.0.2.1")
    assert done.returncode == 0, done.stdout
    for host in bed.hosts:
        assert on(bed, host, TRACES) == ""
    assert changed(converged.play(*absent)) == {"hq": 0, "branch": 0}


def test_info_works_without_a_daemon(fresh: Site):
    done = fresh.task("ipsec_info", {}, "-v")
    assert done.returncode == 0, done.stdout
    assert '"declared": {}' in done.stdout
    assert "ikeengine is not running" in done.stdout
