"""A package unpacked, not installed, and its mail journey: unpacked.py DEB [QEMU SYSROOT]

For another architecture, under qemu's user emulation; or where no Debian can be booted. What dpkg and systemd do is
the same for all, and run.py's. Prints `ok` and `FAILED`."""

import imaplib
import pathlib
import re
import ssl
import subprocess
import sys
import tempfile
import time

from pages import lead_to_each_other

LARGEST = 5_000_000
PASSWORD = "correct horse battery"
START = 120


def main():
    deb, *emulator = sys.argv[1:]
    if emulator:
        emulator = [emulator[0], "-L", emulator[1]]
    failed = False
    for check in (package, pages, journey):
        try:
            check(pathlib.Path(deb), emulator)
            print(f"ok {pathlib.Path(deb).name}: {check.__name__}", flush=True)
        except Exception as error:
            failed = True
            print(f"FAILED {pathlib.Path(deb).name}: {check.__name__}: {type(error).__name__}: {error}", flush=True)
    return 1 if failed else 0


def package(deb, _):
    size = deb.stat().st_size
    said = subprocess.run(["lintian", "--allow-root", "--tag-display-limit", "0", deb], capture_output=True, text=True)
    found = [line for line in (said.stdout + said.stderr).splitlines() if line.startswith(("E:", "W:"))]
    errors = sum(line.startswith("E:") for line in found)
    print(f"figure: {deb.name}: {size:,} bytes; lintian: {errors} errors, {len(found) - errors} warnings")
    assert size < LARGEST and not found and said.returncode == 0, found or said.stderr


def pages(deb, _):
    """The pages of help lie where README leads, and name each other."""
    with tempfile.TemporaryDirectory(prefix="postern-pages-") as folder:
        subprocess.run(["dpkg-deb", "-x", deb, folder], check=True)
        led = lead_to_each_other(pathlib.Path(folder) / "usr/share/doc/postern")
        print(f"figure: {deb.name}: {led} pages")


def journey(deb, emulator):
    with tempfile.TemporaryDirectory(prefix="postern-foreign-") as folder:
        folder = pathlib.Path(folder)
        subprocess.run(["dpkg-deb", "-x", deb, folder / "root"], check=True)
        postern = [*emulator, folder / "root/usr/bin/postern", "--data", folder / "data"]

        def run(*arguments, text=""):
            return subprocess.run([*postern, *arguments], input=text, check=True, capture_output=True, text=True, timeout=START).stdout

        print("figure:", run("--version").strip(), "of", deb.name)
        maildir = folder / "Maildir"
        for name in ("new", "cur", "tmp"):
            (maildir / name).mkdir(parents=True)
        (maildir / "new/1.a.pi").write_text("From: a@example.org\nSubject: before\n\nHello.\n")
        run("account", "add", "anna", "--password-stdin", text=PASSWORD)
        run("source", "add", str(maildir), "--account", "anna", "--after", "keep")
        started = time.monotonic()
        server = subprocess.Popen([*postern, "serve", "--imaps", "127.0.0.1:0", "--imap", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
                                  stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
        try:
            port = re.search(r"imaps=\S+:(\d+)", server.stdout.readline())[1]
            (maildir / "new/2.a.pi").write_text("From: a@example.org\nSubject: while it runs\n\nHello.\n")
            wanted = ["before", "while it runs"]
            while (found := subjects(port)) != wanted:
                assert time.monotonic() - started < START, found
                time.sleep(0.5)
            print(f"figure: {'emulated' if emulator else 'unpacked'}, {time.monotonic() - started:.1f} s from its start to the mail read")
        finally:
            server.terminate()
            server.wait(START)
        assert server.returncode == 0, server.returncode


def subjects(port):
    context = ssl.create_default_context()
    context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
    client = imaplib.IMAP4_SSL("127.0.0.1", int(port), ssl_context=context, timeout=60)
    client.login("anna", PASSWORD)
    client.select("INBOX", readonly=True)
    found = []
    for uid in client.uid("SEARCH", "ALL")[1][0].split():
        parts = client.uid("FETCH", uid, "(BODY.PEEK[HEADER.FIELDS (SUBJECT)])")[1]
        found.append(parts[0][1].decode().strip().removeprefix("Subject: "))
    client.logout()
    return sorted(found)


sys.exit(main())
