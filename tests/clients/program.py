"""Running a client that is a program: to its end, or in a terminal of its own while the test looks on."""

import os
import pty
import select
import signal
import subprocess
import time

TIMEOUT = 60
OWNER = os.getuid() or 65534  # nobody


def run(arguments, account, code=0, **options):
    """Runs it to its end, with a home of its own; gives what it wrote."""
    environment = {**os.environ, "HOME": str(account.folder), "TERM": "xterm", "LC_ALL": "C.UTF-8"}
    try:
        done = subprocess.run(list(map(str, arguments)), stdin=subprocess.DEVNULL, capture_output=True, timeout=TIMEOUT,
                              env={**environment, **options})
    except subprocess.TimeoutExpired as late:
        raise AssertionError(f"{arguments[0]}: did not end\n{text(late.stdout or b'')[-3000:]}{text(late.stderr or b'')[-3000:]}") from None
    assert done.returncode == code, (
        f"{arguments[0]}: exit {done.returncode}, not {code}\n{text(done.stdout)[-3000:]}{text(done.stderr)[-3000:]}")
    return done.stdout


def give_away(folder):
    """Makes all below a folder belong to OWNER, for a client that will not work as root."""
    if os.getuid() == 0:
        folder.parent.chmod(0o711)
        for path in (folder, *folder.rglob("*")):
            os.chown(path, OWNER, OWNER)


def as_owner(arguments):
    """The command, to run as OWNER."""
    return arguments if os.getuid() else ["setpriv", f"--reuid={OWNER}", f"--regid={OWNER}", "--clear-groups", *arguments]


def text(output):
    return output.decode("utf-8", "replace")


class Terminal:
    """A program in a terminal of 200 columns."""

    def __init__(self, arguments, account):
        self.output = b""
        self.process, self.master = pty.fork()
        if self.process == 0:
            os.environ.update(HOME=str(account.folder), TERM="xterm", LC_ALL="C.UTF-8", COLUMNS="200", LINES="50")
            os.execvp(arguments[0], list(map(str, arguments)))
        import fcntl
        import struct
        import termios
        fcntl.ioctl(self.master, termios.TIOCSWINSZ, struct.pack("HHHH", 50, 200, 0, 0))

    def read(self, seconds):
        """What it writes within this time, or until it ends; gives whether it still runs."""
        until = time.monotonic() + seconds
        while (left := until - time.monotonic()) > 0:
            if select.select([self.master], [], [], left)[0]:
                try:
                    more = os.read(self.master, 65536)
                except OSError:
                    return False
                if not more:
                    return False
                self.output += more
                return True
        return True

    def until(self, part, seconds=30):
        """Waits for it to show this; gives how long that took."""
        started = time.monotonic()
        while part not in self.output:
            left = seconds - (time.monotonic() - started)
            assert left > 0 and self.read(left), f"never showed {part}; the end: {text(self.output)[-1500:]}"
        return time.monotonic() - started

    def type(self, keys):
        self.output = b""
        os.write(self.master, keys.encode())

    def end(self, seconds=60):
        """Waits until it ends by itself; it must say that all went well."""
        started = time.monotonic()
        while self.read(1):
            assert time.monotonic() - started < seconds, f"did not end: {text(self.output)[-1500:]}"
        status = os.waitpid(self.process, 0)[1]
        os.close(self.master)
        self.process = None
        assert status == 0, f"exit {status}: {text(self.output)[-1500:]}"

    def __enter__(self):
        return self

    def __exit__(self, *_):
        if self.process is not None:
            os.kill(self.process, signal.SIGKILL)
            os.waitpid(self.process, 0)
            os.close(self.master)
