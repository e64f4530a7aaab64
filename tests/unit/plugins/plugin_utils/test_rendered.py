# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Files of a rendering on the controller."""

from ansible_collections.tandem.vpn.plugins.module_utils.vpn.rendering import Rendering
from ansible_collections.tandem.vpn.plugins.plugin_utils import rendered

RENDERING = Rendering({"sheet.md": "\u2713\r\n"}, {"private/key.pem": "marker-that-no-output-may-hold"})


def test_a_file_is_its_octets_whatever_was_there(tmp_path):
    (tmp_path / "sheet.md").write_bytes(b"\xff")
    told = rendered.write(RENDERING, tmp_path, check_mode=False)
    assert told["changed"] and (tmp_path / "sheet.md").read_bytes() == "\u2713\r\n".encode()
    assert [(part["before"], part["after"]) for part in told["diff"]] == [("\ufffd", "\u2713\r\n")]
    again = rendered.write(RENDERING, tmp_path, check_mode=False)
    assert (again["changed"], again["diff"]) == (False, [])


def test_a_secret_is_for_its_owner_and_in_no_result(tmp_path):
    told = rendered.write(RENDERING, tmp_path, check_mode=False)
    assert "marker" not in str(told)
    assert (tmp_path / "private/key.pem").stat().st_mode & 0o777 == 0o600
    (tmp_path / "private/key.pem").chmod(0o644)
    assert rendered.write(RENDERING, tmp_path, check_mode=True)["changed"]
    assert (tmp_path / "private/key.pem").stat().st_mode & 0o777 == 0o644
