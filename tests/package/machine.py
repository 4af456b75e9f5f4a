"""A Debian system in a folder, booted with systemd-nspawn: what is installed there runs as it does on a machine."""

import os
import pathlib
import shutil
import signal
import subprocess
import time

BOOT = 90


class Machine:
    """A copy of a debootstrapped root, booted while this is used in `with`."""

    def __init__(self, base, root):
        self.root = pathlib.Path(root)
        if self.root.exists():
            shutil.rmtree(self.root)
        subprocess.run(["cp", "-a", "--reflink=auto", str(base), str(root)], check=True)
        (self.root / "etc/hostname").write_text("pi\n")
        (self.root / "etc/hosts").write_text("127.0.0.1 localhost\n127.0.1.1 pi\n")
        self.process = self.leader = None

    def __enter__(self):
        self.log = open(self.root.with_suffix(".console"), "wb")
        self.process = subprocess.Popen(
            ["systemd-nspawn", "--quiet", "-D", str(self.root), "--private-network", "--register=no", "--keep-unit",
             "--console=pipe", "--machine=pi", "-b"], stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        until = time.monotonic() + BOOT
        while time.monotonic() < until and self.process.poll() is None:
            self.leader = self.leader or self._child()
            if self.leader and self.run("systemctl", "is-system-running", check=None).strip() in ("running", "degraded"):
                return self
            time.sleep(0.2)
        self.__exit__()
        raise AssertionError(f"the machine did not boot: see {self.log.name}")

    def _child(self):
        children = pathlib.Path(f"/proc/{self.process.pid}/task/{self.process.pid}/children").read_text().split()
        return children[0] if children else None

    def __exit__(self, *_):
        if self.process.poll() is None:
            # The container's init powers off on this: systemd-nspawn(1), --kill-signal.
            self.process.terminate()
            try:
                self.process.wait(30)
            except subprocess.TimeoutExpired:
                if self.leader:
                    os.kill(int(self.leader), signal.SIGKILL)
                self.process.wait(10)
        self.log.close()

    def run(self, *command, check=0, text="", timeout=120, user=None):
        """Runs a command inside; gives what it wrote to both. `check` is the exit code that it must have."""
        inside = ["nsenter", "-t", self.leader, "-a", "env", "-i", "PATH=/usr/sbin:/usr/bin:/sbin:/bin", "LC_ALL=C.UTF-8",
                  "DEBIAN_FRONTEND=noninteractive", "HOME=/root"]
        if user:
            inside += ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        done = subprocess.run(inside + list(map(str, command)), input=text.encode(), stdout=subprocess.PIPE,
                              stderr=subprocess.STDOUT, timeout=timeout)
        output = done.stdout.decode("utf-8", "replace")
        assert check is None or done.returncode == check, f"{' '.join(map(str, command))}: exit {done.returncode}\n{output}"
        return output

    def shell(self, script, **options):
        """Runs a script inside."""
        return self.run("sh", "-c", script, **options)

    def on_its_network(self, *command, timeout=60):
        """Runs a program of this machine on the other's network."""
        done = subprocess.run(["nsenter", "-t", self.leader, "-n", *command], capture_output=True, text=True, timeout=timeout)
        assert done.returncode == 0, f"{' '.join(command)}: exit {done.returncode}\n{done.stdout}{done.stderr}"
        return done.stdout
