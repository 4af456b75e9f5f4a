"""The real package on a real Debian, booted with systemd-nspawn: run.py DEB BASE WORK

DEB is a built package of this machine's architecture, BASE a debootstrapped root, WORK a folder for its copies.
Prints `ok STEP` or `FAILED STEP why`, and figures; exits 0 only if nothing failed. A step that fails ends the journey,
for each builds on those before."""

import os
import pathlib
import re
import shutil
import subprocess
import sys
import time
import traceback

import repository
from machine import Machine

HERE = pathlib.Path(__file__).resolve().parent
PASSWORD = "correct horse battery"
OLDER = "0.0.1"
LARGEST = 5_000_000
WORST_SECURITY = 1.5
STEPS = []


def step(function):
    STEPS.append(function)
    return function


class Journey:
    def __init__(self, deb, machine, work):
        self.deb, self.machine, self.work = deb, machine, work
        debs = machine.root / "root/debs"
        debs.mkdir()
        self.inside = f"/root/debs/{deb.name}"
        shutil.copy(deb, debs)
        self.older = f"/root/debs/{repacked(deb, debs, OLDER).name}"

    def install(self, deb):
        return self.machine.run("apt-get", "install", "-y", "--allow-downgrades", "--no-install-recommends",
                                "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", deb)

    def subjects(self):
        return self.machine.on_its_network(sys.executable, str(HERE / "mail.py"), "anna", PASSWORD).splitlines()

    def deliver(self, subject):
        """As a mail program of anna's does: into tmp/, then new/. A file has mode 0600 by her umask; once the Maildir has
        a default ACL, that goes before the umask. A program that asks for 0600 itself masks the ACL away: not tested."""
        name = f"{time.time_ns()}.a.pi"
        self.machine.shell(f"umask 077; cd /home/anna/Maildir && cat > tmp/{name} && mv tmp/{name} new/{name}",
                           text=f"From: a@example.org\nSubject: {subject}\n\nHello.\n", user="anna")

    def wait_for(self, subject, seconds=20):
        until = time.monotonic() + seconds
        while (found := self.subjects()).count(subject) != 1:
            assert time.monotonic() < until, f"{subject!r} is not among {found}\n{self.machine.run('postern', 'status')}"
            time.sleep(0.1)


def repacked(deb, folder, version):
    """The same package under another version."""
    tree = folder / "tree"
    subprocess.run(["dpkg-deb", "-R", deb, tree], check=True)
    control = tree / "DEBIAN/control"
    control.write_text(re.sub(r"(?m)^Version: .*$", f"Version: {version}", control.read_text()))
    new = folder / re.sub(r"_[^_]*_", f"_{version}_", deb.name)
    subprocess.run(["dpkg-deb", "--root-owner-group", "-b", tree, new], check=True, stdout=subprocess.DEVNULL)
    shutil.rmtree(tree)
    return new


def figure(text):
    print(f"figure: {text}", flush=True)


def files_of(root):
    """What may be left behind by a package: all but what every installation changes."""
    skipped = ("var/log", "var/cache", "var/lib/dpkg", "var/lib/apt", "var/backups", "root", "home", "tmp", "run", "proc", "sys",
               "dev", "var/lib/systemd", "var/tmp")
    changed = ("etc/subuid-", "etc/subgid-", "etc/passwd-", "etc/shadow-", "etc/group-", "etc/gshadow-", "etc/.pwd.lock")
    found = set()
    for folder, folders, files in os.walk(root):
        at = os.path.relpath(folder, root)
        folders[:] = [name for name in folders if os.path.normpath(f"{at}/{name}") not in skipped]
        found.update(os.path.normpath(f"{at}/{name}") for name in folders + files)
    return found - set(changed)


@step
def is_small_and_has_no_lintian_error_or_warning(journey):
    size = journey.deb.stat().st_size
    figure(f"{journey.deb.name}: {size:,} bytes")
    assert size < LARGEST
    said = subprocess.run(["lintian", "--allow-root", "--tag-display-limit", "0", str(journey.deb)], capture_output=True, text=True)
    found = [line for line in (said.stdout + said.stderr).splitlines() if line.startswith(("E:", "W:"))]
    figure(f"lintian: {len(found)} errors and warnings")
    assert not found and said.returncode == 0, "\n".join(found) or said.stderr


@step
def installs_and_prints_the_set_up_link(journey):
    journey.before = files_of(journey.machine.root)
    journey.passwd = (journey.machine.root / "etc/passwd").read_text()
    journey.started = time.monotonic()
    output = journey.install(journey.older)
    figure(f"installing took {time.monotonic() - journey.started:.1f} s")
    link = re.search(r"https://\S+/setup\?code=\S+", output)
    assert link, output
    journey.link = link[0]
    assert ":8443/" in journey.link, journey.link


@step
def runs_as_a_service_that_is_locked_in(journey):
    run = journey.machine.run
    shown = run("systemctl", "show", "postern", "-p", "ActiveState,SubState,Type,User,WatchdogUSec,NRestarts")
    for line in ("ActiveState=active", "SubState=running", "Type=notify", "User=postern", "WatchdogUSec=1min", "NRestarts=0"):
        assert line in shown.splitlines(), shown
    scored = run("systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={round(WORST_SECURITY * 10)}",
                 "/lib/systemd/system/postern.service")
    figure("systemd-analyze security: " + scored.strip().splitlines()[-1].split(": ", 1)[-1])
    pid = run("systemctl", "show", "postern", "-p", "MainPID", "--value").strip()
    status = run("cat", f"/proc/{pid}/status")
    capabilities = re.search(r"CapEff:\s*(\S+)", status)[1]
    assert int(capabilities, 16) == 1 << 10, f"not CAP_NET_BIND_SERVICE alone: {capabilities}"
    assert run("stat", "-c", "%a %U:%G", "/var/lib/postern").strip() == "700 postern:postern"
    assert run("stat", "-c", "%a %U:%G", "/run/postern/postern.sock").strip() == "660 postern:postern"
    log = run("journalctl", "-u", "postern", "-o", "cat", "--no-pager")
    assert "ERROR" not in log and "WARN" not in log, log


@step
def is_set_up_through_the_link(journey):
    link = journey.link.replace(re.search(r"https://([^/:]+)", journey.link)[1], "127.0.0.1", 1)
    code = link.split("code=")[1]
    page = journey.machine.on_its_network("curl", "-sSk", link)
    assert 'name="again"' in page, page
    answer = journey.machine.on_its_network(
        "curl", "-sSk", "-o", "/dev/null", "-w", "%{http_code} %{redirect_url}", "-H", "Origin: https://127.0.0.1:8443",
        "--data-urlencode", f"code={code}", "--data-urlencode", f"password={PASSWORD}", "--data-urlencode", f"again={PASSWORD}",
        "https://127.0.0.1:8443/setup")
    assert answer.startswith("303 "), answer
    assert "used already" in journey.machine.on_its_network("curl", "-sSk", link)


@step
def a_maildir_in_a_closed_home_is_opened_to_it(journey):
    run, shell = journey.machine.run, journey.machine.shell
    run("postern", "account", "add", "anna", "--password-stdin", text=PASSWORD)
    shell("useradd -m anna && chmod 700 /home/anna")
    shell("umask 077; mkdir -p ~anna/Maildir/new ~anna/Maildir/cur ~anna/Maildir/tmp", user="anna")
    journey.deliver("before")
    add = ["postern", "source", "add", "/home/anna/Maildir", "--account", "anna", "--after", "keep"]
    # Whoever is only in the group is told what root is to do.
    shell("useradd -m -G postern ben")
    told = run(*add, user="ben", check=1)
    assert "BindReadOnlyPaths=-/home/anna/Maildir" in told and "setfacl -R -m u:postern:rX /home/anna/Maildir" in told, told
    # Root writes it, and is told the rest.
    told = run(*add, check=1)
    lines = re.findall(r"(?m)^\s+(setfacl .*)$", told)
    assert lines and "BindReadOnlyPaths" in run("cat", "/etc/systemd/system/postern.service.d/source-home-anna-Maildir.conf"), told
    for line in lines:
        shell(line)
    assert "watching /home/anna/Maildir" in run(*add)
    assert run("stat", "-c", "%a", "/home/anna").strip() == "700"


@step
def its_mail_is_read_over_993(journey):
    journey.wait_for("before")
    figure(f"from the start of the installation to the first mail read: {time.monotonic() - journey.started:.1f} s")


@step
def any_user_may_deliver_and_do_nothing_else(journey):
    run = journey.machine.run
    run("postern", "deliver", "--account", "anna", user="anna", text="From: a@example.org\nSubject: delivered\n\nHello.\n")
    journey.wait_for("delivered")
    refused = run("postern", "account", "list", user="anna", check=1)
    assert "only root and members of the group" in refused, refused


@step
def a_wrong_password_is_logged_as_fail2ban_looks_for_it(journey):
    failed = subprocess.run(["nsenter", "-t", journey.machine.leader, "-n", sys.executable, str(HERE / "mail.py"), "anna", "wrong"],
                            capture_output=True, text=True, timeout=60)
    assert "AUTHENTICATIONFAILED" in failed.stderr, failed.stderr
    looked_for = (journey.machine.root / "etc/fail2ban/filter.d/postern.conf").read_text()
    looked_for = re.search(r"__prefix_line\)s(.*wrong name.*)", looked_for)[1].replace("<HOST>", r"(?:::ffff:)?(\S+)")
    log = journey.machine.run("journalctl", "-u", "postern", "-o", "cat", "--no-pager")
    hosts = [found[1] for line in log.splitlines() if (found := re.match(looked_for, line))]
    assert hosts == ["127.0.0.1"], log


@step
def upgrades_with_the_mail_and_an_edited_configuration(journey):
    run, shell = journey.machine.run, journey.machine.shell
    shell("sed -i 's/^log_level = .*/log_level = \"debug\"/' /etc/postern/postern.toml")
    watch = subprocess.Popen(["nsenter", "-t", journey.machine.leader, "-n", sys.executable, str(HERE / "gap.py"), "anna", PASSWORD],
                             stdout=subprocess.PIPE, text=True)
    process = lambda: run("systemctl", "show", "postern", "-p", "MainPID", "--value")
    old = process()
    assert watch.stdout.readline() == "idle\n"
    output = journey.install(journey.inside)
    gap = watch.communicate(timeout=60)[0].strip()
    figure(f"while it was upgraded under a client in IDLE, port 993 was shut for {gap} s")
    assert float(gap) < 1.0, gap
    assert process() != old, "it was not restarted"
    assert "setup?code=" not in output, output
    assert 'log_level = "debug"' in run("cat", "/etc/postern/postern.toml")
    assert journey.subjects() == ["before", "delivered"]
    shown = run("dpkg-query", "-W", "-f", "${Version}", "postern")
    assert shown != OLDER, shown
    run("systemctl", "is-active", "postern")


@step
def removing_keeps_the_mail_and_reinstalling_finds_it(journey):
    run = journey.machine.run
    run("apt-get", "remove", "-y", "postern")
    assert not (journey.machine.root / "usr/bin/postern").exists()
    assert (journey.machine.root / "var/lib/postern/index.redb").exists()
    output = journey.install(journey.inside)
    assert "setup?code=" not in output, output
    assert 'log_level = "debug"' in run("cat", "/etc/postern/postern.toml")
    assert journey.subjects() == ["before", "delivered"]


@step
def purging_keeps_the_mail_and_nothing_else(journey):
    output = journey.machine.run("apt-get", "purge", "-y", "postern")
    assert "The mail stays in /var/lib/postern" in output, output
    left = files_of(journey.machine.root) - journey.before
    other = sorted(path for path in left if not path.startswith("var/lib/postern"))
    assert "var/lib/postern/index.redb" in left and not other, other
    journey.install(journey.inside)
    assert journey.subjects() == ["before", "delivered"]


@step
def purging_with_the_mail_leaves_nothing(journey):
    journey.machine.run("debconf-set-selections", text="postern postern/purge-mail boolean true\n")
    journey.machine.run("apt-get", "purge", "-y", "postern")
    left = sorted(files_of(journey.machine.root) - journey.before)
    assert not left, left
    users = [line for line in (journey.machine.root / "etc/passwd").read_text().splitlines() if line.startswith("postern:")]
    assert not users, users
    assert "postern" not in journey.machine.run("debconf-show", "postern", check=None)


@step
def apt_installs_it_from_a_signed_repository_only(journey):
    run, root = journey.machine.run, journey.machine.root
    repository.make(root / "root/repository", journey.deb)
    shutil.copy(root / "root/repository/postern-archive-keyring.gpg", root / "usr/share/keyrings")
    line = "deb [signed-by=/usr/share/keyrings/postern-archive-keyring.gpg] file:/root/repository stable main\n"
    (root / "etc/apt/sources.list").write_text(line)
    # apt reads files as its own user.
    journey.machine.shell("chmod 755 /root && apt-get update && apt-get install -y --no-install-recommends postern")
    run("systemctl", "is-active", "postern")
    run("apt-get", "purge", "-y", "postern")
    for damaged in ("dists/stable/InRelease", "dists/stable/Release", "dists/stable/Release.gpg"):
        path = root / "root/repository" / damaged
        path.write_bytes(path.read_bytes().replace(b"Origin: Postern", b"Origin: Another") if path.suffix != ".gpg" else b"")
    # With an index of before apt goes on; without one nothing can be installed.
    journey.machine.shell("rm -rf /var/lib/apt/lists/*")
    refused = run("apt-get", "update", check=100)
    assert "invalid" in refused or "manipulated" in refused, refused
    run("apt-get", "install", "-y", "postern", check=100)


def main():
    deb, base, work = map(pathlib.Path, sys.argv[1:4])
    work.mkdir(parents=True, exist_ok=True)
    failed = False
    with Machine(base, work / "root") as machine:
        journey = Journey(deb, machine, work)
        for function in STEPS:
            name, started = function.__name__.replace("_", " "), time.monotonic()
            try:
                function(journey)
                print(f"ok {name} ({time.monotonic() - started:.1f} s)", flush=True)
            except Exception:
                why = traceback.format_exc()
                print(f"FAILED {name}: {why.strip().splitlines()[-1][:200]}\n{why}", flush=True)
                print(machine.run("journalctl", "-u", "postern", "-o", "cat", "--no-pager", "-n", "30", check=None))
                failed = True
                break
    shutil.rmtree(work / "root")
    return 1 if failed else 0


sys.exit(main())
