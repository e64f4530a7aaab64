# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""ikectl: what an operator asks of a running ikeengine. Imports little, so that it answers at once."""

from __future__ import annotations

import argparse
import json
import os
import socket
import sys
import time
from collections.abc import Callable, Iterator
from typing import Any, TypeAlias

from . import layout
from .vpn import by_hand, explained

FAILED, USAGE = 1, 2  # exit statuses
_ANSWER_LIMIT = 30.0  # seconds, beyond what a command itself may take

Json: TypeAlias = dict[str, Any]


class Failure(Exception):
    """What went wrong, for the operator, and the exit status that says so."""

    def __init__(self, message: str, status: int = FAILED) -> None:
        super().__init__(message)
        self.status = status


def main(arguments: list[str] | None = None) -> int:
    """Exit status 0: done. 1: the daemon could not do it. 2: wrong usage, or no daemon."""
    options = _parser().parse_args(arguments)
    try:
        command: Callable[[argparse.Namespace], None] = options.run
        command(options)
    except Failure as failure:
        print(f"ikectl: {failure}", file=sys.stderr)
        return failure.status
    except BrokenPipeError:  # the reader of our output, such as head, has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except KeyboardInterrupt:
        return 130
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="ikectl", description="Speak to the IKE daemon of this host.")
    parser.add_argument("--control", metavar="SOCKET", default=f"{layout.RUNTIME_DIRECTORY}/{layout.CONTROL_SOCKET}",
                        help="the control socket (default: %(default)s)")
    common = argparse.ArgumentParser(add_help=False)
    common.add_argument("--json", action="store_true", help="print the daemon's answer as JSON")
    commands = parser.add_subparsers(required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[argparse.Namespace], None], text: str) -> argparse.ArgumentParser:
        command = commands.add_parser(name, parents=[common], help=text, description=text)
        command.set_defaults(run=run, command=name)
        return command

    add("status", _status, "show gateways, tunnels and their SAs")
    command = add("explain", _explain, "say what is declared with a peer, and how its last negotiations went and why")
    command.add_argument("gateway", metavar="PEER", help="a gateway's name, or the address of any peer")
    command.add_argument("--all", "-a", action="store_true", help="show the negotiations though all is well")
    for name, text in (("up", "bring a gateway or tunnel up and wait until it is"),
                       ("down", "take a gateway or tunnel down, until the next up"),
                       ("rekey", "replace the keys of a gateway or tunnel and wait for the new SA")):
        command = add(name, _steer, text)
        command.add_argument("gateway", nargs="?", help="the gateway's name; it or --tunnel is needed")
        command.add_argument("--tunnel", help="a tunnel's name")
        if name == "rekey":
            command.add_argument("--reauthenticate", action="store_true",
                                 help="authenticate anew: a new IKE SA beside the one that is up, with SAs of its own")
        if name != "down":
            command.add_argument("--timeout", type=_seconds, default=30.0, metavar="SECONDS",
                                 help=f"more than 0 and at most {layout.LONGEST_TIMEOUT:g}; default: %(default)g")
    command = add("reload", _reload, "give the daemon the declaration of this host's files")
    for option, file in (("--declaration", layout.DECLARATION), ("--secrets", layout.SECRETS)):
        command.add_argument(option, metavar="FILE", default=f"{layout.DIRECTORY}/{file}", help="default: %(default)s")
    command = add("log", _log, "show the daemon's log")
    command.add_argument("--lines", "-n", type=_count, default=100, help="default: %(default)d")
    command.add_argument("--follow", "-f", action="store_true", help="go on with what comes")
    add("audit", _audit, "say what somebody changed by hand of what the daemon has installed or was told to do")
    add("mend", _audit, "bring all of that back as it was declared")
    add("abilities", _abilities, "show what this host's kernel and userspace can do")
    add("flush", _flush, "close every SA and remove every policy; nothing is declared afterwards, and traffic to the "
                         "tunnels' networks goes unprotected until ikectl reload or a restart of the service brings "
                         "all back")
    return parser


def _seconds(text: str) -> float:
    """What the daemon takes, too; said here, it is wrong usage and names what was written."""
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds <= layout.LONGEST_TIMEOUT:
        raise argparse.ArgumentTypeError(f"{text!r} is no number of seconds that is more than 0 and at most "
                                         f"{layout.LONGEST_TIMEOUT:g}")
    return seconds


def _count(text: str) -> int:
    if not text.isdecimal():
        raise argparse.ArgumentTypeError(f"{text!r} is no whole number that is 0 or more")
    return int(text)


def _status(options: argparse.Namespace) -> None:
    result = _ask(options, "status")
    if options.json:
        _print_json(result)
        return
    for line in _status_lines(result, time.time()):
        print(line)


def _explain(options: argparse.Namespace) -> None:
    result = _ask(options, "explain", gateway=options.gateway)
    if options.json:
        _print_json(result)
        return
    for number, explanation in enumerate(result["explanations"]):
        if number:
            print()
        for line in explained.lines(explanation, time.time(), everything=options.all):
            print(line)


def _steer(options: argparse.Namespace) -> None:
    if not options.gateway and not options.tunnel:
        raise Failure(f"{options.command} needs a gateway's name or --tunnel; ikectl status shows them", USAGE)
    if options.tunnel and getattr(options, "reauthenticate", False):
        raise Failure("--reauthenticate makes the IKE SA of a gateway anew, with all its tunnels: name the gateway "
                      f"alone, without --tunnel {options.tunnel}", USAGE)
    named = {key: value for key in ("gateway", "tunnel", "timeout", "reauthenticate")
             if (value := getattr(options, key, None))}
    result = _ask(options, options.command, **named)
    if options.json:
        _print_json(result)
        return
    for done, names in result.items():
        print(f"{done}: {', '.join(names) or 'nothing'}")


def _reload(options: argparse.Namespace) -> None:
    result = _ask(options, "reload", declaration=_file(options.declaration), secrets=_file(options.secrets))
    _print_changes(options, result)


def _flush(options: argparse.Namespace) -> None:
    _print_changes(options, _ask(options, "flush"))
    if not options.json:
        print("Nothing is declared now and no policies stand, so traffic to the tunnels' networks goes unprotected. "
              "ikectl reload, or a restart of the service, brings all back.")


def _audit(options: argparse.Namespace) -> None:
    result = _ask(options, options.command)
    if options.json:
        _print_json(result)
        return
    (found,) = result.values()
    is_mended = options.command == "mend"
    for row in found:
        print("mended: " * is_mended + by_hand.sentence(row, mended=is_mended))
    if not found:
        print("nothing departs from what is declared")


def _log(options: argparse.Namespace) -> None:
    for result in _answers(options, "log", {"lines": options.lines, "follow": options.follow}):
        for entry in result["entries"]:
            print(json.dumps(entry) if options.json else _entry_line(entry), flush=options.follow)


def _abilities(options: argparse.Namespace) -> None:
    result = _ask(options, "abilities")
    if options.json:
        _print_json(result)
        return
    for name, ability in result["dataplanes"].items():
        print(f"{name}: {'available' if ability['available'] else 'not available'}")
        for missing in ability["missing"]:
            print(f"  missing: {missing}")


def _ask(options: argparse.Namespace, command: str, **arguments: Any) -> Json:
    return next(_answers(options, command, arguments))


def _answers(options: argparse.Namespace, command: str, arguments: Json) -> Iterator[Json]:
    """The results that the daemon gives, until it closes. Raises Failure."""
    request = json.dumps({"version": layout.CONTROL_VERSION, "command": command, **arguments}).encode() + b"\n"
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as sock:
        following, answered = arguments.get("follow"), False
        sock.settimeout(None if following else _ANSWER_LIMIT + arguments.get("timeout", 0.0))
        try:
            sock.connect(options.control)
            sock.sendall(request)
            with sock.makefile("rb") as stream:
                while line := stream.readline():
                    answered = True
                    yield _result(json.loads(line))
                    if not following:
                        return
        except PermissionError:
            raise Failure(f"the control socket {options.control} is root's: run ikectl as root", USAGE) from None
        except TimeoutError:
            raise Failure("the daemon does not answer; journalctl -u ikeengine may say why") from None
        except BrokenPipeError:
            raise
        except OSError as error:
            raise Failure(f"no daemon answers at {options.control} ({error.strerror}): is the service running? "
                          "systemctl status ikeengine", USAGE) from None
        except ValueError:
            raise Failure("the daemon's answer is no JSON; are ikectl and the daemon of the same release?") from None
    if not answered:
        raise Failure("the daemon closed the connection without an answer; journalctl -u ikeengine may say why")


def _result(answer: Json) -> Json:
    if answer.get("ok"):
        result: Json = answer["result"]
        return result
    error = answer["error"]
    findings = "".join(f"\n  {finding['message']}" for finding in error.get("findings", ()))
    if findings:
        raise Failure(f"the declaration is not valid; the one before stays in force:{findings}")
    raise Failure(error["message"])


def _file(path: str) -> Json:
    try:
        with open(path, encoding="utf-8") as file:
            data = json.load(file)
    except OSError as error:
        raise Failure(f"cannot read {path}: {error.strerror}", USAGE) from None
    except ValueError:
        raise Failure(f"{path} holds no JSON", USAGE) from None
    if not isinstance(data, dict):
        raise Failure(f"{path} holds no JSON object", USAGE)
    return data


def _print_json(result: Json) -> None:
    print(json.dumps(result, indent=2))


def _print_changes(options: argparse.Namespace, result: Json) -> None:
    if options.json:
        _print_json(result)
        return
    for kind in ("added", "changed", "removed", "unchanged"):
        if result[kind]:
            print(f"{kind}: {', '.join(result[kind])}")


def _entry_line(entry: Json) -> str:
    stamp = time.strftime("%Y-%m-%d %H:%M:%S", time.localtime(entry["time"]))
    rest = " ".join(f"{name}={value}" for name, value in entry.items() if name not in ("time", "level", "message"))
    return f"{stamp} {entry['level']:7} {entry['message']} {rest}".rstrip()


def _status_lines(status: Json, now: float) -> Iterator[str]:
    daemon = status["daemon"]
    yield f"ikeengine {daemon['version']}, pid {daemon['pid']}, running for {_duration(now - daemon['started_at'])}"
    for name, plane in status["dataplanes"].items():
        reason = "" if plane["available"] else f": {'; '.join(plane['missing'])}"
        yield f"{name} data plane {'available' if plane['available'] else 'not available'}{reason}"
    yield ""
    yield from _table(("GATEWAY", "STATE", "PEER", "IDENTITY", "IKE SUITE", "AGE", "REKEY IN"),
                      [row for gateway in status["gateways"] for row in _gateway_rows(gateway, now)])
    yield ""
    yield from _table(("TUNNEL", "STATE", "ROUTE", "SUITE", "SPI IN", "SPI OUT", "PACKETS IN", "PACKETS OUT", "AGE",
                       "REKEY IN"), [row for tunnel in status["tunnels"] for row in _tunnel_rows(tunnel, now)])
    if status["tunnels"]:
        yield ""
        yield from _choices(status["tunnels"])
    errors = dict.fromkeys(item["last_error"] for kind in ("gateways", "tunnels") for item in status[kind]
                           if item["last_error"])
    if errors:
        yield ""
        yield from errors


def _gateway_rows(gateway: Json, now: float) -> Iterator[tuple[str, ...]]:
    if not gateway["ike"]:
        yield (gateway["name"], gateway["state"], "", "", "", "", "")
    for ike in gateway["ike"]:
        yield (gateway["name"], gateway["state"], ike["remote"], ike["remote_identity"] or "", ike["suite"] or "",
               _age(ike["established_at"], now), _remaining(ike["rekey_in"]))


def _tunnel_rows(tunnel: Json, now: float) -> Iterator[tuple[str, ...]]:
    for route in tunnel["routes"]:
        declared = route["declared"]
        name, text = tunnel["name"], f"{declared['local']} {_ARROWS[declared['direction']]} {declared['remote']}"
        if not route["sas"]:
            yield (name, route["state"], text, "", "", "", "", "", "", "")
        for sa in route["sas"]:
            suite = f"{sa['esp']} in UDP" if sa["encapsulation"] == "udp" else sa["esp"]
            yield (name, route["state"], text, suite, sa["spi_in"], sa["spi_out"], str(sa["packets_in"]),
                   str(sa["packets_out"]), _age(sa["installed_at"], now), _remaining(sa["rekey_in"]))


def _choices(tunnels: list[Json]) -> Iterator[str]:
    """Which data plane carries which tunnels, by which device, and why."""
    chosen: dict[tuple[str, str], list[str]] = {}
    for tunnel in tunnels:
        device = tunnel["interface"]
        chosen.setdefault((tunnel["dataplane"], tunnel["dataplane_reason"]), []).append(
            f"{tunnel['name']} by {device['name']} ({device['kind']})" if device else tunnel["name"])
    for (plane, reason), names in chosen.items():
        more = f" and {len(names) - _MOST_NAMED} more" if len(names) > _MOST_NAMED else ""
        yield f"{plane} data plane ({reason}): {', '.join(names[:_MOST_NAMED])}{more}"


_MOST_NAMED = 8
_ARROWS = {"both": "<->", "local-to-remote": "->", "remote-to-local": "<-"}
_COLOURS = {"established": "32", "up": "32", "connecting": "33", "down": "31"}


def _table(header: tuple[str, ...], rows: list[tuple[str, ...]]) -> Iterator[str]:
    """Aligned columns; the state, which is the second, is coloured on a terminal."""
    widths = [max(len(row[column]) for row in [header, *rows]) for column in range(len(header))]
    coloured = sys.stdout.isatty() and "NO_COLOR" not in os.environ
    for row in [header, *rows]:
        cells = [cell.ljust(width) for cell, width in zip(row, widths, strict=True)]
        if coloured and row[1] in _COLOURS:
            cells[1] = f"\x1b[{_COLOURS[row[1]]}m{cells[1]}\x1b[0m"
        yield "  ".join(cells).rstrip()


def _age(moment: float | None, now: float) -> str:
    return "" if moment is None else _duration(now - moment)


def _remaining(seconds: float | None) -> str:
    return "" if seconds is None else _duration(seconds)


def _duration(seconds: float) -> str:
    """``3d 4h``, ``5h 6m``, ``7m 8s`` or ``9s``."""
    whole = max(0, int(seconds))
    minutes, hours, days = whole // 60, whole // 3600, whole // 86400
    if days:
        return f"{days}d {hours % 24}h"
    if hours:
        return f"{hours}h {minutes % 60}m"
    return f"{minutes}m {whole % 60}s" if minutes else f"{whole}s"


if __name__ == "__main__":
    sys.exit(main())
