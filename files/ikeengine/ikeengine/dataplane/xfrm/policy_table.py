# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""Our policies in the kernel, of which the two data planes own a kind each.

Those with a template are the kernel data plane's, those that only block or allow userspace's, but for what the kernel
data plane lets pass. The kernel knows a policy by selector and direction, so a tunnel that changes its data plane has
its policies replaced in place, and the old owner must find that they are no longer its own.
"""

from __future__ import annotations

import errno
from collections.abc import Collection, Iterator, Mapping

from pyroute2.netlink import nlmsg

from ..interface import Departure
from ..netlink import NetlinkError, NetlinkSocket
from . import messages, policies, states
from .policies import Body, Key, Template


class PolicyTable:
    """The policies of one owner, the kernel data plane or userspace's."""

    def __init__(self, kernel: NetlinkSocket, of_kernel: bool) -> None:
        self._kernel, self._of_kernel = kernel, of_kernel

    def listed(self) -> Iterator[Key]:
        """All that is there now, also from earlier runs. Raises NetlinkError."""
        for policy in self._kernel.dump("listing policies", messages.build(messages.XFRM_MSG_GETPOLICY)):
            if self._owns(policy):
                yield policies.key_of(policy)

    def put(self, key: Key, action: int, template: Template | None = None) -> None:
        """Install a policy, or replace what stands under its name. Raises NetlinkError."""
        self._kernel.change(f"installing {key}", messages.build(messages.XFRM_MSG_UPDPOLICY,
                                                                *policies.policy(key, action, template)))

    def delete(self, key: Key) -> None:
        """Delete a policy unless it is gone or has become the other owner's. Raises NetlinkError."""
        try:
            named = key.fields, key.binding.attributes
            policy = self._kernel.get(f"reading {key}", messages.build(messages.XFRM_MSG_GETPOLICY, *named))
            if self._owns(policy):
                self._kernel.change(f"deleting {key}", messages.build(messages.XFRM_MSG_DELPOLICY, *named))
        except NetlinkError as error:
            if error.errno != errno.ENOENT:
                raise

    def audit(self, wanted: Mapping[Key, Collection[Body]]) -> Iterator[Departure]:
        """How what is there departs from these, each with all that it may hold. Raises NetlinkError."""
        listed = self._kernel.dump("listing policies", messages.build(messages.XFRM_MSG_GETPOLICY))
        standing = {policies.key_of(policy): policy for policy in listed}
        for key, bodies in wanted.items():
            if key not in standing:
                yield Departure(str(key), "there", "not there")
            elif policies.body_of(standing[key]) not in bodies or standing[key]["priority"] != key.priority:
                yield Departure(str(key), "as the daemon installed it", "changed")
        for key, policy in standing.items():
            if key not in wanted and self._owns(policy):
                yield Departure(str(key), "not there", "there")

    def _owns(self, policy: nlmsg) -> bool:
        template = policy.get_attr("XFRMA_TMPL")
        if not policies.is_ours(policy["priority"]):
            return False
        if template is None:
            return policies.kernel_passes(policy) is self._of_kernel
        return self._of_kernel and states.daemon_reqid(template["reqid"]) is not None
