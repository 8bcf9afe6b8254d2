"""Hosts that are only kernel namespaces: each with processes, network, name, /tmp and /dev/shm of its own, and an sshd.

Everything lives inside one outermost set of namespaces, the laptop's, and ends with it: when the laptop's first process
loses the pipe that this process holds, the kernel kills whatever was started in it, on the hosts too.
"""

from __future__ import annotations

import contextlib
import os
import re
import shlex
import shutil
import subprocess
import time
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

import psutil

NEEDED = ("unshare", "nsenter", "ip", "mount", "ssh", "ssh-keygen", "rsync", "tmux", "make", "flock", "/usr/sbin/sshd")
NAMESPACES = ("net", "mnt", "pid", "uts", "ipc")
NETWORK = "10.77.0"  # exists only inside
FIRST = {"laptop": 1, "head-host": 2, "worker-host": 3}  # the last byte of each address


def refusal() -> str:
    """Why this computer cannot hold such hosts, or "" where it can: found out by trying."""
    trial = "mount -t tmpfs none /run && ip link add name b0 type bridge && ip netns add n && ip link add v type veth"
    if missing := [tool for tool in NEEDED if _which(tool) is None]:
        return f"not installed: {', '.join(missing)}"
    tried = subprocess.run(
        ["unshare", *_flags(), "sh", "-ec", trial], stdin=subprocess.DEVNULL, capture_output=True, text=True
    )
    return "" if tried.returncode == 0 else f"namespaces are not permitted: {tried.stderr.strip()}"


@dataclass
class Hosts:
    """The laptop and its two hosts, whose users share one home folder as with NFS homes.

    `keep` are paths that a host sees as they are although its /tmp is its own.
    """

    folder: Path
    keep: Iterable[Path] = ()
    laptop_keep: Iterable[Path] = ()
    _laptop: subprocess.Popen[bytes] = field(init=False)
    _pid: int = field(init=False)

    @property
    def home(self) -> Path:
        return self.folder / "home"

    @property
    def key(self) -> Path:
        return self.folder / "laptop" / "key"

    @staticmethod
    def address(host: str) -> str:
        return f"{NETWORK}.{FIRST[host]}"

    def __enter__(self) -> Hosts:
        (self.folder / "laptop").mkdir(parents=True)
        self.home.mkdir()
        self._write_files()
        script = self._private("laptop", self.folder / "laptop", [*self.keep, *self.laptop_keep]) + self._network()
        self._laptop = subprocess.Popen(
            ["unshare", *_flags(), "bash", "-c", f"set -e\n{script}\necho ready\ncat > /dev/null; exit"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        )
        assert self._laptop.stdout is not None
        try:
            assert self._laptop.stdout.readline() == b"ready\n", "the namespaces did not come up"
            self._pid = psutil.Process(self._laptop.pid).children()[0].pid
            for host in FIRST:
                if host != "laptop":
                    self._boot(host)
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(self, *error: object) -> None:
        self.close()

    def close(self) -> None:
        assert self._laptop.stdin is not None
        assert self._laptop.stdout is not None
        self._laptop.stdin.close()
        try:
            self._laptop.wait(timeout=30)
        finally:
            self._laptop.kill()  # which kills its child too
        self._laptop.stdout.close()

    def run(
        self, *command: str | Path, cwd: Path | None = None, timeout: float = 120, environment: Mapping[str, str] = {}
    ) -> subprocess.CompletedProcess[str]:
        """Run a command on the laptop and return what it said, both streams together."""
        clean = {"PATH": "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "LANG": "C.UTF-8"}
        clean |= {"HOME": str(self.folder / "laptop"), "TERM": "dumb"} | dict(environment)
        inside = ["nsenter", f"--target={self._pid}", *(f"--{_long(kind)}" for kind in NAMESPACES)]
        inside += [f"--wd={cwd or self.folder / 'laptop'}", *map(str, command)]
        return subprocess.run(
            inside,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            timeout=timeout,
            env=clean,
        )

    def ssh(self, host: str, command: str, timeout: float = 60) -> str:
        done = self._ssh(host, command, timeout)
        assert done.returncode == 0, done.stdout
        return done.stdout

    def _ssh(self, host: str, command: str, timeout: float) -> subprocess.CompletedProcess[str]:
        settings = ("StrictHostKeyChecking=no", "UserKnownHostsFile=/dev/null", "LogLevel=ERROR", "BatchMode=yes")
        options = [f"-o{setting}" for setting in settings]
        return self.run("ssh", "-i", self.key, *options, f"root@{self.address(host)}", command, timeout=timeout)

    def processes(self) -> dict[int, str]:
        """Every process inside, on the laptop and on the hosts, as this computer knows them."""
        inside = psutil.Process(self._pid)
        found = {}
        for process in (inside, *inside.children(recursive=True)):
            with contextlib.suppress(psutil.Error):
                found[process.pid] = " ".join(process.cmdline())
        return found

    def _write_files(self) -> None:
        subprocess.run(["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "", "-f", self.key], check=True)
        (self.home / ".ssh").mkdir(mode=0o700)
        (self.home / ".ssh" / "authorized_keys").write_bytes(self.key.with_suffix(".pub").read_bytes())
        names = "".join(f"{self.address(host)} {host}\n" for host in FIRST)
        (self.folder / "hosts").write_text(f"127.0.0.1 localhost\n{names}")
        (self.folder / "resolv.conf").write_text("nameserver 127.0.0.1\noptions timeout:1 attempts:1\n")
        (self.folder / "shadow").write_text("root:*:20000:0:99999:7:::\n")  # no password, yet not locked
        users = Path("/etc/passwd").read_text()
        for home in (self.home, self.folder / "laptop"):
            changed = re.sub(r"^(root:[^:]*:0:0:[^:]*:)[^:]*:[^:\n]*$", rf"\1{home}:/bin/bash", users, flags=re.M)
            (self.folder / f"passwd-{home.name}").write_text(changed)
        for host in FIRST:
            if host != "laptop":
                subprocess.run(
                    ["ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", self.folder / f"{host}.key"], check=True
                )

    def _private(self, host: str, home: Path, keep: Iterable[Path]) -> str:
        """Shell lines that give a host its own files; `keep` is put aside while /tmp becomes its own."""
        lines = ["mount -t tmpfs none /run", "mkdir -p /run/sshd /run/kept"]
        kept = [path for path in [self.folder, *keep] if path.is_relative_to("/tmp")]
        for i, path in enumerate(kept):
            lines += [f"mkdir /run/kept/{i}", f"mount --bind {shlex.quote(str(path))} /run/kept/{i}"]
        lines += ["mount -t tmpfs none /tmp", "chmod 1777 /tmp", "mount -t tmpfs none /dev/shm"]
        for i, path in enumerate(kept):
            lines += [f"mkdir -p {shlex.quote(str(path))}", f"mount --bind /run/kept/{i} {shlex.quote(str(path))}"]
        files = {"passwd": f"passwd-{home.name}", "shadow": "shadow", "hosts": "hosts", "resolv.conf": "resolv.conf"}
        lines += [f"mount --bind {shlex.quote(str(self.folder / own))} /etc/{name}" for name, own in files.items()]
        return "\n".join([*lines, f"hostname {host}", "ip link set lo up"]) + "\n"

    def _network(self) -> str:
        lines = ["ip link add name bridge type bridge", f"ip addr add {self.address('laptop')}/24 dev bridge"]
        lines += ["ip link set bridge up"]
        for host, number in FIRST.items():
            if host == "laptop":
                continue
            lines += [
                f"ip netns add {host}",
                f"ip link add name port{number} type veth peer name eth0 netns {host}",
                f"ip link set port{number} master bridge up",
                f"ip -n {host} addr add {self.address(host)}/24 dev eth0",
                f"ip -n {host} link set eth0 up",
                f"ip -n {host} route add default via {self.address('laptop')}",
            ]
        return "\n".join(lines) + "\n"

    def _boot(self, host: str) -> None:
        config = self.folder / f"{host}.sshd"
        config.write_text(
            f"HostKey {self.folder / host}.key\nPidFile none\nUsePAM no\nUseDNS no\nPasswordAuthentication no\n"
            "StrictModes no\nKbdInteractiveAuthentication no\nPermitRootLogin prohibit-password\n"
            "PrintMotd no\nMaxStartups 100\nMaxSessions 100\nLogLevel ERROR\n"
        )
        log = self.folder / f"{host}.log"
        script = f"set -e\n{self._private(host, self.home, self.keep)}exec /usr/sbin/sshd -D -e -f {config}"
        unshare = ["unshare", *(flag for flag in _flags() if flag != "--net"), "bash", "-c", script]
        command = shlex.join(["ip", "netns", "exec", host, *unshare])
        started = self.run("bash", "-c", f"{command} > {shlex.quote(str(log))} 2>&1 < /dev/null &")
        assert started.returncode == 0, started.stdout
        limit = time.monotonic() + 20
        while True:
            tried = self._ssh(host, "true", 60)
            if tried.returncode == 0:
                return
            assert time.monotonic() < limit, f"{host} does not answer: {tried.stdout}{log.read_text()}"
            time.sleep(0.2)


def _flags() -> list[str]:
    """What unshare takes away from a host; its first process dies with unshare, and everything else with that."""
    return ["--net", "--mount", "--pid", "--uts", "--ipc", "--fork", "--kill-child", "--mount-proc"]


def _long(kind: str) -> str:
    return {"mnt": "mount"}.get(kind, kind)


def _which(tool: str) -> str | None:
    return shutil.which(tool, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin")
