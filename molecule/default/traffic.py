# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Ten pings from LAN to LAN, and what the router saw of them, as JSON."""

import json
import re
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

CHECKOUT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(CHECKOUT))

from tests.testbed.capture import Capture  # noqa: E402
from tests.testbed.topology import Bed  # noqa: E402

bed = Bed("molecule")
with TemporaryDirectory() as folder:
    with Capture(bed.router, "wan-hq", Path(folder, "router.pcap")) as capture:
        ping = ["ping", "-q", "-c", "10", "-i", "0.1", "-W", "2", "10.2.0.2"]
        said = bed.namespaces["lan-hq"].run(ping, check=False).stdout
    counts = capture.counts(bed.LANS)
received = re.search(r"(\d+) received", said)
print(json.dumps({"received": int(received[1]) if received else 0, "clear_packets": counts.clear,
                  "encrypted": counts.esp + counts.esp_in_udp}))
