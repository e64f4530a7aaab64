# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""What two gateways say of their tunnels, held against each other: plain data in, plain data and findings out."""

from collections.abc import Iterator
from typing import Any

Json = dict[str, Any]


def tunnels(statuses: dict[str, Json]) -> list[Json]:
    """Every tunnel route of two hosts as each end sees it: ``{"name": ..., "ends": {host: {...}}}``.

    `statuses` is what ``ikectl status --json`` printed, by host. An end that has no SA is left out of `ends`.
    """
    (left, right), found = statuses, []
    far_ends = list(_ends(statuses[right]))
    for name, near in _ends(statuses[left]):
        mirror = next((end[1] for end in far_ends if mirrored(near, end[1])), None)
        found.append({"name": name, "ends": {left: near, **({right: mirror} if mirror else {})}})
        far_ends = [(other, far) for other, far in far_ends if far is not mirror]
    return found + [{"name": name, "ends": {right: far}} for name, far in far_ends]


def _ends(status: Json) -> Iterator[tuple[str, Json]]:
    suites = {gateway["name"]: gateway["ike"][-1]["suite"] for gateway in status["gateways"] if gateway["ike"]}
    for tunnel in status["tunnels"]:
        for route in tunnel["routes"]:
            if not route["sas"]:
                continue
            sa = max(route["sas"], key=lambda sa: sa["installed_at"])
            seen = ("spi_in", "spi_out", "local", "remote", "packets_in", "packets_out")
            yield (
                tunnel["name"],
                {"dataplane": tunnel["dataplane"], "ike": suites.get(tunnel["gateway"]), "esp": sa["esp"]}
                | {key: sa[key] for key in seen},
            )


def mirrored(near: Json, far: Json) -> bool:
    """Whether two ends have each other's selectors."""
    return (near["local"], near["remote"]) == (far["remote"], far["local"])


def seconds_to_up(statuses: dict[str, Json]) -> float | None:
    """From the first initiation of an IKE SA in force to the last installation of an SA, over both ends."""
    gateways = [gateway for status in statuses.values() for gateway in status["gateways"]]
    routes = [route for status in statuses.values() for tunnel in status["tunnels"] for route in tunnel["routes"]]
    initiated = [ike["initiated_at"] for gateway in gateways for ike in gateway["ike"] if ike["initiated_at"]]
    installed = [sa["installed_at"] for route in routes for sa in route["sas"]]
    return max(installed) - min(initiated) if initiated and installed else None


def findings(result: Json) -> list[str]:
    """A sentence for each way in which a demo's `result` is not what it has to be; empty if all holds."""
    said = [] if result["tunnels"] else ["neither end has a tunnel"]
    for tunnel in result["tunnels"]:
        name, ends = tunnel["name"], tunnel["ends"]
        if len(ends) < 2:
            said.append(f"tunnel {name}: only {', '.join(ends)} has an SA with these selectors")
            continue
        (left, near), (right, far) = ends.items()
        if (near["spi_in"], near["spi_out"]) != (far["spi_out"], far["spi_in"]):
            said.append(f"tunnel {name}: the SPIs of {left} and {right} are not each other's")
    sent, received = result["ping"]["sent"], result["ping"]["received"]
    if not sent:
        said.append("no ping was sent")
    if received < sent:
        said.append(f"{sent - received} of {sent} pings were lost")
    for host in {host: None for tunnel in result["tunnels"] for host in tunnel["ends"]}:
        for way in ("packets_in", "packets_out"):
            counted = sum(tunnel["ends"].get(host, {}).get(way, 0) for tunnel in result["tunnels"])
            if counted < sent:
                said.append(f"{host} counted {counted} {way.replace('_', ' ')} after {sent} pings")
    if result["clear_packets"]:
        said.append(f"{result['clear_packets']} packets were readable at the router")
    if result["second_run"]["changed"]:
        said.append(f"the second run changed {result['second_run']['changed']} things")
    return said


def table(result: Json) -> str:
    """The tunnels as each end sees them, for people."""
    rows: list[tuple[str, ...]] = []
    for tunnel in result["tunnels"]:
        ends = tunnel["ends"]
        rows += [
            (f"tunnel {tunnel['name']}", *ends),
            ("  data plane", *(end["dataplane"] for end in ends.values())),
            ("  IKE", *(end["ike"] or "no SA" for end in ends.values())),
            ("  child SA", *(end["esp"] for end in ends.values())),
            ("  SPI in, out", *(f"{end['spi_in']}, {end['spi_out']}" for end in ends.values())),
            ("  route", *(f"{end['local']} - {end['remote']}" for end in ends.values())),
            ("  packets in, out", *(f"{end['packets_in']}, {end['packets_out']}" for end in ends.values())),
        ]
    return "\n".join(f"{row[0]:20}" + "".join(f"{cell:34}" for cell in row[1:]).rstrip() for row in rows)
