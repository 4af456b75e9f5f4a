"""The real package on a real Debian, booted with systemd-nspawn: run.py DEB OLDER SET-FORMAT WORK BASE

DEB is a built package of this machine's architecture, OLDER one of an earlier version, SET-FORMAT the built program
set_format.rs, WORK a folder for copies of BASE, a debootstrapped root. Prints `ok STEP` or `FAILED STEP why`, and figures; exits 0 only if nothing failed. A step that fails ends the journey,
for each builds on those before."""

import hashlib
import os
import pathlib
import re
import shutil
import stat
import subprocess
import sys
import time
import traceback

import repository
from machine import Machine
from pages import lead_to_each_other

HERE = pathlib.Path(__file__).resolve().parent
PASSWORD = "correct horse battery"
LARGEST = 5_000_000
WORST_SECURITY = 1.5
STEPS = []


def step(function):
    STEPS.append(function)
    return function


class Journey:
    def __init__(self, deb, older, set_format, machine):
        self.deb, self.machine, self.set_format = deb, machine, set_format
        debs = machine.root / "root/debs"
        debs.mkdir()
        for package in (deb, older):
            shutil.copy(package, debs)
        self.inside, self.older = (f"/root/debs/{package.name}" for package in (deb, older))
        self.version, self.older_version = (package.name.split("_")[1] for package in (deb, older))

    def install(self, deb):
        return self.machine.run("apt-get", "install", "-y", "--allow-downgrades", "--no-install-recommends",
                                "-o", "Dpkg::Options::=--force-confdef", "-o", "Dpkg::Options::=--force-confold", deb)

    def subjects(self, mailbox="INBOX"):
        found = self.machine.on_its_network(sys.executable, str(HERE / "mail.py"), "anna", PASSWORD, mailbox)
        return found.splitlines()

    def deliver(self, subject, folder="/home/anna/Maildir"):
        """As many programs of anna's do: into tmp/, with mode 0600 whatever the folder's default list says, then new/."""
        self.machine.shell(f"cd {folder} && file=$(mktemp tmp/{time.time_ns()}.XXXXXX) && cat > $file && mv $file new/",
                           text=f"From: a@example.org\nSubject: {subject}\n\nHello.\n", user="anna")

    def wait_for(self, subject, mailbox="INBOX", seconds=20):
        until = time.monotonic() + seconds
        while (found := self.subjects(mailbox)).count(subject) != 1:
            assert time.monotonic() < until, f"{subject!r} is not among {found}\n{self.machine.run('postern', 'source', 'list')}"
            time.sleep(0.1)

    def log(self, unit="postern"):
        return self.machine.run("journalctl", "-u", unit, "-o", "cat", "--no-pager")

    def unit(self, name):
        return self.machine.run("systemctl", "show", "postern", "-p", name, "--value").strip()

    def stored(self):
        """Each file of the store with its content's hash."""
        store = self.machine.root / "var/lib/postern"
        return {path.relative_to(store): hashlib.sha256(path.read_bytes()).hexdigest()
                for path in store.rglob("*") if path.is_file() and path.name != "postern.lock"}


def figure(text):
    print(f"figure: {text}", flush=True)


def files_of(root):
    """What may be left behind by a package: all but what every installation changes."""
    skipped = ("var/log", "var/cache", "var/lib/dpkg", "var/lib/apt", "var/backups", "root", "home", "srv", "tmp", "run", "proc", "sys",
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
    errors = sum(line.startswith("E:") for line in found)
    figure(f"lintian: {errors} errors, {len(found) - errors} warnings")
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
def its_pages_of_help_are_there(journey):
    figure(f"{lead_to_each_other(journey.machine.root / 'usr/share/doc/postern')} pages in /usr/share/doc/postern")


@step
def runs_as_a_service_that_is_locked_in(journey):
    run = journey.machine.run
    shown = run("systemctl", "show", "postern", "-p", "ActiveState,SubState,Type,User,WatchdogUSec,NRestarts")
    for line in ("ActiveState=active", "SubState=running", "Type=notify", "User=postern", "WatchdogUSec=1min", "NRestarts=0"):
        assert line in shown.splitlines(), shown
    for unit in ("postern.service", "postern-share@.service"):
        scored = run("systemd-analyze", "security", "--no-pager", "--offline=true", f"--threshold={round(WORST_SECURITY * 10)}",
                     f"/lib/systemd/system/{unit}")
        figure(f"systemd-analyze security of {unit}: " + scored.strip().splitlines()[-1].split(": ", 1)[-1])
    pid = run("systemctl", "show", "postern", "-p", "MainPID", "--value").strip()
    status = run("cat", f"/proc/{pid}/status")
    capabilities = re.search(r"CapEff:\s*(\S+)", status)[1]
    assert int(capabilities, 16) == 1 << 10, f"not CAP_NET_BIND_SERVICE alone: {capabilities}"
    assert run("stat", "-c", "%a %U:%G", "/var/lib/postern").strip() == "700 postern:postern"
    assert run("stat", "-c", "%a %U:%G", "/run/postern/postern.sock").strip() == "660 postern:postern"
    log = journey.log()
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
def what_other_programs_make_for_themselves_alone_is_read_too(journey):
    run, shell = journey.machine.run, journey.machine.shell
    enabled = run("systemctl", "is-active", "postern-share@home-anna-Maildir")
    assert enabled.strip() == "active", enabled
    started = time.monotonic()
    journey.deliver("after it was added")
    journey.wait_for("after it was added")
    figure(f"a file of mode 0600 was read {time.monotonic() - started:.2f} s after its delivery began")
    # Where nothing gives the service its right back, it says which file it is, and the line that helps.
    unit = "postern-share@home-anna-Maildir.service"
    run("systemctl", "disable", "--now", unit)
    journey.deliver("not shared")
    until = time.monotonic() + 20
    while f"systemctl enable --now {unit}" not in (told := run("postern", "source", "list")):
        assert time.monotonic() < until, told
        time.sleep(0.2)
    assert "problem: one file" in told and "/home/anna/Maildir/new/" in told and "Permission denied" in told, told
    run("systemctl", "enable", "--now", unit)
    journey.wait_for("not shared")
    # A new folder, as mbsync makes one.
    shell("cd ~anna/Maildir && mkdir -m 700 .Sent .Sent/cur .Sent/new .Sent/tmp", user="anna")
    journey.deliver("sent", "/home/anna/Maildir/.Sent")
    journey.wait_for("sent", "Sent")
    pid = run("systemctl", "show", "postern-share@home-anna-Maildir", "-p", "MainPID", "--value").strip()
    status = run("cat", f"/proc/{pid}/status")
    assert re.search(r"Uid:\s+1000\s+1000\s+1000", status) and re.search(r"CapEff:\s+0+\n", status), status
    sizes = dict(re.findall(r"(?m)^(VmRSS|RssAnon):\s+(\d+ kB)$", status))
    figure(f"what lets it read them: {sizes['VmRSS']} resident, {sizes['RssAnon']} of them its own")
    list_of = run("getfacl", "--omit-header", "--absolute-names", shell("ls -d /home/anna/Maildir/new/*").split()[-1])
    assert "user:postern:r--\n" in list_of and "group::---\n" in list_of and "other::---" in list_of, list_of
    log = journey.log()
    assert log.count("cannot be read") == 1 and "ERROR" not in log + journey.log(unit), log


@step
def a_maildir_elsewhere_is_emptied_once_its_mail_is_stored(journey):
    run, shell = journey.machine.run, journey.machine.shell
    shell("install -d -o anna -m 700 '/srv/anna s' '/srv/anna s/Mail-dir'")
    shell("mkdir -m 700 '/srv/anna s/Mail-dir/'new '/srv/anna s/Mail-dir/'cur '/srv/anna s/Mail-dir/'tmp", user="anna")
    add = ["postern", "source", "add", "/srv/anna s/Mail-dir", "--account", "anna", "--mailbox", "Elsewhere", "--after", "delete"]
    for line in re.findall(r"(?m)^\s+(setfacl .*)$", run(*add, check=1)):
        shell(line)
    assert "watching" in run(*add)
    # What is moved in while it is watched goes at once; what lies there before, in ten minutes.
    until = time.monotonic() + 20
    while '"last_look": null' in run("postern", "source", "list", "--json"):
        assert time.monotonic() < until, run("postern", "source", "list")
        time.sleep(0.1)
    journey.deliver("elsewhere", "'/srv/anna s/Mail-dir'")
    journey.wait_for("elsewhere", "Elsewhere")
    until = time.monotonic() + 20
    while shell("ls '/srv/anna s/Mail-dir/new'").strip():
        assert time.monotonic() < until, run("postern", "source", "list")
        time.sleep(0.1)
    unit = shell("systemd-escape --path --template=postern-share@.service '/srv/anna s/Mail-dir'").strip()
    assert run("systemctl", "is-active", unit).strip() == "active"
    run("postern", "source", "remove", "/srv/anna s/Mail-dir")
    run("systemctl", "is-active", unit, check=3)


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
    log = journey.log()
    hosts = [found[1] for line in log.splitlines() if (found := re.match(looked_for, line))]
    assert hosts == ["127.0.0.1"], log


@step
def upgrades_with_the_mail_and_an_edited_configuration(journey):
    run, shell = journey.machine.run, journey.machine.shell
    shell("sed -i 's/^log_level = .*/log_level = \"debug\"/' /etc/postern/postern.toml")
    watch = subprocess.Popen(["nsenter", "-t", journey.machine.leader, "-n", sys.executable, str(HERE / "gap.py"), "anna", PASSWORD],
                             stdout=subprocess.PIPE, text=True)
    assert run("postern", "--version").strip() == f"postern {journey.older_version}"
    kept, old = journey.subjects(), journey.unit("MainPID")
    assert kept == ["before", "after it was added", "not shared", "delivered"], kept
    assert watch.stdout.readline() == "idle\n"
    output = journey.install(journey.inside)
    gap = watch.communicate(timeout=60)[0].strip()
    figure(f"while it was upgraded under a client in IDLE, port 993 was shut for {gap} s")
    assert float(gap) < 1.0, gap
    assert journey.unit("MainPID") != old, "it was not restarted"
    assert run("postern", "--version").strip() == f"postern {journey.version}"
    assert "setup?code=" not in output, output
    assert 'log_level = "debug"' in run("cat", "/etc/postern/postern.toml")
    assert journey.subjects() == kept
    journey.kept = kept
    assert run("dpkg-query", "-W", "-f", "${Version}", "postern") == journey.version
    for unit in ("postern", "postern-share@home-anna-Maildir"):
        run("systemctl", "is-active", unit)
    journey.deliver("after the upgrade")
    journey.wait_for("after the upgrade")
    kept.append("after the upgrade")


@step
def an_older_package_gets_the_store_back_as_it_was(journey):
    """The newer package changes the store's format, mail comes, and the older one is installed over it."""
    run, data = journey.machine.run, journey.machine.root / "var/lib/postern"
    run("systemctl", "stop", "postern")
    subprocess.run([journey.set_format, data / "index.redb", "1"], check=True)
    run("systemctl", "start", "postern")
    journey.wait_for(journey.kept[-1])
    assert (data / "index.before-1").exists()
    # By an MDA: what lies in the watched Maildir still would come again by itself.
    since = "From: a@example.org\nSubject: since the format changed\n\nHello.\n"
    run("postern", "deliver", "--account", "anna", user="anna", text=since)
    journey.wait_for("since the format changed")
    told = journey.install(journey.older)
    lines = [line.strip() for line in told.splitlines()]
    import_line = next((line for line in lines if line.startswith("postern import --account anna ")), None)
    assert import_line, told
    assert "the store goes back" in told, told
    since = journey.machine.root / "var/lib/postern.since-upgrade"
    assert import_line in (since / "bring-in.txt").read_text()
    assert stat.S_IMODE(since.stat().st_mode) == 0o700 and since.stat().st_uid == data.stat().st_uid
    assert run("postern", "--version").strip() == f"postern {journey.older_version}"
    assert journey.unit("ActiveState") == "active"
    assert journey.subjects() == journey.kept, journey.subjects()
    assert (data / "index.after-2").exists()
    journey.machine.shell(import_line)
    assert journey.subjects() == [*journey.kept, "since the format changed"], journey.subjects()
    journey.kept = journey.subjects()
    told = journey.install(journey.inside)
    assert "did not start" not in told, told
    assert journey.subjects() == journey.kept


@step
def an_older_package_over_a_newer_store_is_refused(journey):
    """The store is given a format to come; what opened it last is the newer package. The server stays and says so."""
    run = journey.machine.run
    index = journey.machine.root / "var/lib/postern/index.redb"
    run("systemctl", "stop", "postern")
    subprocess.run([journey.set_format, index, "1000"], check=True)
    before = journey.stored()
    told = journey.install(journey.older)
    why = f"the store has format 1000, postern {journey.older_version} knows 2: install postern {journey.version} or newer"
    assert "serves no mail" in told and why in told, told
    assert why in journey.log(), journey.log()
    assert run("postern", "--version").strip() == f"postern {journey.older_version}"
    # It stays, and says why to whoever asks: no start limit is ever run into.
    assert journey.unit("ActiveState") == "active", journey.unit("ActiveState")
    assert why in journey.unit("StatusText"), journey.unit("StatusText")
    assert why in run("postern", "status", check=1)
    after = journey.stored()
    # redb marks its file as open and closed; what it holds shows when the newer package reads it.
    changed = [str(name) for name in before.keys() | after.keys() if before.get(name) != after.get(name)]
    assert changed in ([], ["index.redb"]), f"the store was changed: {changed}"
    subprocess.run([journey.set_format, index, "2"], check=True)
    told = journey.install(journey.inside)
    assert "did not start" not in told, told
    assert journey.subjects() == journey.kept


@step
def removing_keeps_the_mail_and_reinstalling_finds_it(journey):
    run = journey.machine.run
    run("apt-get", "remove", "-y", "postern")
    assert not (journey.machine.root / "usr/bin/postern").exists()
    assert (journey.machine.root / "var/lib/postern/index.redb").exists()
    output = journey.install(journey.inside)
    assert "setup?code=" not in output, output
    assert 'log_level = "debug"' in run("cat", "/etc/postern/postern.toml")
    assert journey.subjects() == journey.kept


@step
def purging_keeps_the_mail_and_nothing_else(journey):
    output = journey.machine.run("apt-get", "purge", "-y", "postern")
    assert "The mail stays in /var/lib/postern" in output, output
    left = files_of(journey.machine.root) - journey.before
    other = sorted(path for path in left if not path.startswith("var/lib/postern"))
    assert "var/lib/postern/index.redb" in left and not other, other
    journey.install(journey.inside)
    assert journey.subjects() == journey.kept


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
    deb, older, set_format, work, base = map(pathlib.Path, sys.argv[1:6])
    work.mkdir(parents=True, exist_ok=True)
    failed = False
    with Machine(base, work / "root") as machine:
        journey = Journey(deb, older, set_format.resolve(), machine)
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
