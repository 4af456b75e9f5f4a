"""The ways that mail gets here, as the pages of packaging/doc tell them: what those pages say is run as it stands there, with other
paths, ports and users, against a Postern that runs as a user of its own."""

import contextlib
import os
import pathlib
import pwd
import re
import shutil
import signal
import subprocess
import time

import postern

PAGES = pathlib.Path(__file__).resolve().parents[2] / "packaging/doc"
# Users that every Debian has stand for the two of the pages: only a run as root can be several users.
POSTERN, ANNA = "news", "games"

SUDO = """#!/bin/sh
# sudo, for one who is root already.
[ "$1" = -u ] || exec "$@"
user=$2; shift 2
exec setpriv --reuid="$user" --regid="$(id -g "$user")" --clear-groups "$@"
"""


class Page:
    """A page of packaging/doc, with what stands for something else put in place."""

    def __init__(self, title, replace):
        texts = [page.read_text() for page in PAGES.glob("*.md")]
        found = [text for text in texts if text.startswith(f"# {title}\n")]
        assert len(found) == 1, f"there is no page {title}"
        self.title, self.text, self.replace = title, found[0], replace

    def block(self, after, **more):
        """The first block after these words. `more` is what the test puts in place of the page's words, which must be
        there: a page that says something else is not what is tested."""
        assert after in self.text, f"{self.title}: no '{after}'"
        found = re.search(r"^```\w*\n(.*?)^```$", self.text.split(after, 1)[1], re.M | re.S)
        block = found.group(1)
        for old, new in more.pop("instead", {}).items():
            assert old in block, f"{self.title}: no '{old}' in the block after '{after}'"
            block = block.replace(old, new)
        for old, new in self.replace.items():
            block = block.replace(old, new)
        return block

    def command(self, after, key):
        """The value of a line of a block: of a unit's ExecStart."""
        return re.search(rf"^{key}=(.*)$", self.block(after), re.M).group(1)


class Home:
    """The machine at home: a Postern that runs as a user of its own, as the page on that tells."""

    def __init__(self, provider):
        """`provider` is an account of another Postern, from which mail is fetched."""
        assert os.getuid() == 0, "several users are needed, so this must run as root"
        self.provider, self.folder = provider, provider.folder / "machine"
        provider.server.folder.chmod(0o711)
        for part in ("bin", "etc", "home", "lib", "run", "srv", "units"):
            (self.folder / part).mkdir(parents=True)
            (self.folder / part).chmod(0o755)
        shutil.copy(provider.server.binary, self.folder / "bin/real")
        (self.folder / "bin/sudo").write_text(SUDO)
        (self.folder / "bin/postern").write_text(
            f'#!/bin/sh\nexec {self.folder}/bin/real --config {self.folder}/etc/postern.toml "$@"\n')
        for file in ("bin/sudo", "bin/postern", "bin/real"):
            (self.folder / file).chmod(0o755)
        for part in ("etc", "lib", "run"):
            shutil.chown(self.folder / part, POSTERN)
        (self.folder / "lib").chmod(0o700)
        self.anna = self.folder / "home/anna"
        self.anna.mkdir(mode=0o700)
        shutil.chown(self.anna, ANNA)
        self.replace = {
            "/usr/local/bin/postern": f"{self.folder}/bin/postern", "/etc/postern/postern.toml": f"{self.folder}/etc/postern.toml",
            "/var/lib/postern": f"{self.folder}/lib", "/run/postern": f"{self.folder}/run", "/srv/mail": f"{self.folder}/srv",
            "/home/anna": str(self.anna), "/etc/ssl/certs/ca-certificates.crt": str(provider.server.ca),
            "anna@example.org": provider.name, "the-password-at-the-provider": provider.password,
            "/var/tmp/anna": f"{self.folder}/srv/anna", "u:postern:": f"u:{POSTERN}:", "-o postern": f"-o {POSTERN}",
            "-u postern": f"-u {POSTERN}", "-o anna": f"-o {ANNA}",
        }
        page = self.page("Postern as a service")
        # Other ports than those, which may be taken, or are not to be had.
        config = re.sub(r'"\[::\]:\d+"', '"127.0.0.1:0"', page.block("/etc/postern/postern.toml"))
        (self.folder / "etc/postern.toml").write_text(config)
        self.serve = page.command("/etc/systemd/system/postern.service", "ExecStart").split()
        self.log = self.folder / "log"

    def page(self, title, *left):
        """A page; what is `left` stays as it stands there."""
        return Page(title, {old: new for old, new in self.replace.items() if old not in left})

    @contextlib.contextmanager
    def running(self):
        self.start()
        try:
            self.run("sudo postern account add anna --password-stdin", stdin=postern.OWN_PASSWORD)
            self.mine = postern.Account(self, "anna", None, postern.OWN_PASSWORD, self.anna)
            yield self
        except BaseException:
            print(self.run("sudo postern source list --json"))
            print(f"the end of {self.log}:", *self.log.read_text().splitlines()[-15:], sep="\n")
            raise
        finally:
            self.stop()
        assert "panicked" not in self.log.read_text(), self.log.read_text()[-3000:]

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(self.as_user(POSTERN, self.serve), stdin=subprocess.DEVNULL,
                                            stdout=subprocess.PIPE, stderr=log, text=True, cwd="/")
        for line in self.process.stdout:
            if line.startswith("ready "):
                words = dict(word.split("=", 1) for word in line.split() if "=" in word)
                self.imaps = int(words["imaps"].rsplit(":", 1)[1])
                self.ca = self.folder / "ca.pem"
                self.ca.write_text(self.run("sudo postern cert ca"))
                return
        raise RuntimeError("Postern did not start: " + self.log.read_text())

    def stop(self, number=signal.SIGTERM):
        self.process.send_signal(number)
        code = self.process.wait(20)
        self.process.stdout.close()
        assert code == (0 if number == signal.SIGTERM else -number), f"exit {code}"

    context = postern.Server.context

    def as_user(self, user, arguments):
        return [str(self.folder / "bin/sudo"), "-u", user, *map(str, arguments)]

    def environment(self, user="root"):
        entry = pwd.getpwnam(user)
        return {"PATH": f"{self.folder}/bin:/usr/sbin:/usr/bin:/sbin:/bin", "HOME": str(self.anna if user == ANNA else self.folder),
                "USER": user, "LOGNAME": user, "SHELL": entry.pw_shell, "LC_ALL": "C.UTF-8", "TZ": "UTC"}

    def run(self, block, user="root", code=0, stdin=""):
        """Runs a block as a shell does, until a line of it fails; gives what it wrote."""
        shell = ["sh", "-e", "-c", block]
        done = subprocess.run(shell if user == "root" else self.as_user(user, shell), env=self.environment(user), cwd="/",
                              input=stdin, text=True, capture_output=True, timeout=60)
        assert done.returncode == code, f"{block}\nexit {done.returncode}, not {code}\n{done.stdout}{done.stderr}"
        return done.stdout + done.stderr

    def write(self, path, text, owner=None, mode=None):
        """Writes a file; owner and mode only of one that is not there."""
        there = path.exists()
        path.write_text(text)
        if not there:
            shutil.chown(path, owner or "root")
            path.chmod(mode or 0o644)

    def unit(self, page, name):
        """Has systemd look at a unit of a page; gives the command that the unit runs, and as whom."""
        # systemd looks for the program and the user, and these have other names here.
        block = page.block(f"/etc/systemd/system/{name}")
        block = block.replace("User=postern", f"User={POSTERN}").replace("User=anna", f"User={ANNA}")
        (self.folder / "units" / name).write_text(block)
        if name.endswith(".service"):
            return re.search(r"^ExecStart=(.*)$", block, re.M).group(1), re.search(r"^User=(.*)$", block, re.M).group(1)

    def verify_units(self):
        """What systemd says of the units of `unit`; nothing is what is wanted."""
        if shutil.which("systemd-analyze"):
            units = sorted(map(str, (self.folder / "units").iterdir()))
            done = subprocess.run(["systemd-analyze", "verify", "--man=no", *units], text=True, capture_output=True, timeout=60,
                                  env={**os.environ, "SYSTEMD_UNIT_PATH": f"{self.folder}/units:"})
            said = [line for line in done.stderr.splitlines() if str(self.folder) in line]
            assert not said, said

    def holds(self, count, seconds=20):
        """Waits until the account holds so many messages, and a moment longer for one too many; gives all."""
        until = time.monotonic() + seconds
        while (found := sum(map(len, (all_of := self.mine.read()).values()))) < count:
            assert time.monotonic() < until, f"{found} messages, not {count}"
            time.sleep(0.1)
        assert found == count, f"{found} messages, not {count}"
        return all_of


def wait(found, what, seconds=20):
    until = time.monotonic() + seconds
    while not (answer := found()):
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)
    return answer


@contextlib.contextmanager
def background(home, command, user):
    """A program that runs on, as a unit of systemd would run it."""
    with open(home.folder / "background.log", "wb") as log:
        process = subprocess.Popen(home.as_user(user, command.split()), env=home.environment(user), cwd="/",
                                   stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        yield process
    except AssertionError:
        print((home.folder / "background.log").read_text()[-3000:])
        raise
    finally:
        process.terminate()
        process.wait(20)
