# Copyright: The tandem.vpn authors
# GNU General Public License v3.0+ (see LICENSE or https://www.gnu.org/licenses/gpl-3.0.txt)
# SPDX-License-Identifier: GPL-3.0-or-later
"""The distribution's own kernel, which has what User-Mode Linux lacks, on this machine's files: scripts run in qemu.

It emulates the processor, so that no machine needs hardware support for it; everything takes up to twenty times longer.
The kernel's package is downloaded and unpacked, never installed.
"""

import fcntl
import gzip
import shutil
import stat
import subprocess
from collections.abc import Iterator
from pathlib import Path

from . import CHECKOUT
from .virtual_machine import MachineFailed, Result, run

EMULATOR = "qemu-system-x86_64"
INIT = Path(__file__).with_name("qemu-init.sh")
CACHE = CHECKOUT / "build" / "qemu"
KERNEL_PACKAGE, SHELL_PACKAGE = "linux-image-amd64", "busybox-static"
#: What the first root has to load to reach the second: they bring what they depend on.
MODULES = ("virtio_pci", "9pnet_virtio", "9p", "overlay")
APPLETS = ("sh", "mount", "mkdir", "insmod", "switch_root", "sleep")
#: The kernel hands INIT over in the environment.
FIRST_INIT = """#!/bin/sh
mount -t proc proc /proc
while read -r module; do insmod "$module"; done < /order
mount -t tmpfs layers /layers
mkdir /layers/lower /layers/upper /layers/work
mount -t 9p -o ro,trans=virtio,version=9p2000.L,msize=512000,cache=loose root /layers/lower
mount -t overlay -o lowerdir=/layers/lower,upperdir=/layers/upper,workdir=/layers/work overlay /root
exec switch_root /root "$INIT"
"""


def run_in_qemu(script: str, *, timeout: float = 300, memory: str = "1G") -> Result:
    """Run a bash script as `uml.run_in_uml` does, on a kernel with xfrm interfaces. Raises MachineFailed."""
    emulator = shutil.which(EMULATOR)
    if emulator is None:
        raise MachineFailed(f"{EMULATOR} is not installed: apt-get install qemu-system-x86 seabios")
    kernel, modules, first_root = _unpacked()

    def command(folder: Path) -> list[str]:
        shares = [word for name, path, access in (("root", "/", ",readonly=on"), ("folder", folder, ""))
                  for word in ("-fsdev", f"local,id={name},path={path},security_model=none,multidevs=remap{access}",
                               "-device", f"virtio-9p-pci,fsdev={name},mount_tag={name}")]
        return [emulator, "-accel", "tcg,thread=multi", "-cpu", "max", "-machine", "q35", "-m", memory, "-smp", "1",
                "-nodefaults", "-no-user-config", "-display", "none", "-serial", "stdio", "-no-reboot",
                "-kernel", str(kernel), "-initrd", str(first_root), "-device", "virtio-rng-pci", *shares,
                "-append", "console=ttyS0 quiet panic=-1 mitigations=off tsc=reliable "
                           f"INIT={INIT} MODULES={modules} WORK={CHECKOUT}"]

    return run("qemu", script, timeout, command)


def _unpacked() -> tuple[Path, Path, Path]:
    """The kernel, its modules, and the first root. Each version of the package is unpacked once."""
    CACHE.mkdir(parents=True, exist_ok=True)
    with (CACHE / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        package = next((word for line in _run("apt-cache", "depends", KERNEL_PACKAGE).splitlines()
                        for word in line.split() if word.startswith("linux-image-")
                        and word != KERNEL_PACKAGE), None)
        if package is None:
            raise MachineFailed(f"apt-cache knows no {KERNEL_PACKAGE}: apt-get update")
        version = package.removeprefix("linux-image-")
        folder = CACHE / version
        first_root, unpacked = folder / "first-root.gz", folder / "unpacked"
        if not unpacked.exists():
            shutil.rmtree(folder, ignore_errors=True)
            folder.mkdir()
            for each in (package, SHELL_PACKAGE):
                _run("apt-get", "download", each, cwd=folder)
            for archive in folder.glob("*.deb"):
                _run("dpkg-deb", "-x", str(archive), str(folder))
                archive.unlink()
            _run("depmod", "-b", str(folder), version)
            unpacked.touch()
        (folder / "new").write_bytes(gzip.compress(b"".join(_archive(_first_root(folder, version))), 1))
        (folder / "new").rename(first_root)  # whoever boots from the one before reads it to its end
        return folder / "boot" / f"vmlinuz-{version}", folder / "lib" / "modules" / version, first_root


def _first_root(folder: Path, version: str) -> Iterator[tuple[str, int, bytes]]:
    """Files by name, each with its mode and content, which is the target of a link."""
    order: dict[str, Path] = {}
    for module in MODULES:
        for line in _run("modprobe", "-d", str(folder), "-S", version, "--show-depends", module).splitlines():
            word, _space, path = line.strip().partition(" ")
            if word == "insmod":
                order.setdefault(Path(path).name, Path(path))
    for name in ("bin", "proc", "dev", "layers", "root", "modules"):
        yield name, stat.S_IFDIR | 0o755, b""
    yield "bin/busybox", stat.S_IFREG | 0o755, (folder / "bin" / "busybox").read_bytes()
    for applet in APPLETS:
        yield f"bin/{applet}", stat.S_IFLNK | 0o777, b"busybox"
    for name, module_path in order.items():
        yield f"modules/{name}", stat.S_IFREG | 0o644, module_path.read_bytes()
    yield "order", stat.S_IFREG | 0o644, "".join(f"/modules/{name}\n" for name in order).encode()
    yield "init", stat.S_IFREG | 0o755, FIRST_INIT.encode()


def _archive(files: Iterator[tuple[str, int, bytes]]) -> Iterator[bytes]:
    """In the format "newc" of cpio (Linux Documentation/driver-api/early-userspace/buffer-format.rst)."""
    for number, (name, mode, content) in enumerate([*files, ("TRAILER!!!", 0, b"")], 1):
        fields = (number, mode, 0, 0, 1, 0, len(content), 0, 0, 0, 0, len(name) + 1, 0)
        header = b"070701" + b"".join(b"%08x" % field for field in fields) + name.encode() + b"\0"
        for part in (header, content):
            yield part + bytes(-len(part) % 4)


def _run(*argv: str, cwd: Path | None = None) -> str:
    done = subprocess.run(argv, cwd=cwd, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        raise MachineFailed(f"{' '.join(argv)}: {done.stderr.strip()}")
    return done.stdout
