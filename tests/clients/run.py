"""Real clients against the real binary over IMAPS: run.py BINARY TOOLS. One line a check: ok NAME or FAILED NAME."""

import email.message
import hashlib
import imaplib
import os
import pathlib
import random
import shutil
import socket
import ssl
import subprocess
import sys
import tempfile
import threading
import time
import traceback

BINARY = os.path.abspath(sys.argv[1])
TOOLS = os.path.abspath(sys.argv[2])
HERE = pathlib.Path(__file__).resolve().parent
PASSWORD = "correct horse"
ONLY = os.environ.get("CLIENT")


class Server:
    """A server with its data in a temporary folder, and one account a test."""

    def __init__(self):
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="postern-clients-"))
        self.data = self.folder / "data"
        self.accounts = 0
        self.log = open(self.folder / "log", "ab")
        self.start()
        self.ca = self.folder / "ca.pem"
        self.ca.write_text(self.command("cert", "ca"))

    def start(self):
        self.process = subprocess.Popen(
            [BINARY, "serve", "--data", self.data, "--imaps", "127.0.0.1:0", "--imap", "127.0.0.1:0", "--admin", "127.0.0.1:0"],
            stdout=subprocess.PIPE, stderr=self.log, text=True)
        for line in self.process.stdout:
            if line.startswith("ready "):
                words = dict(word.split("=", 1) for word in line.split() if "=" in word)
                self.imaps = int(words["imaps"].rsplit(":", 1)[1])
                self.imap = int(words["imap"].rsplit(":", 1)[1])
                return
        raise RuntimeError("the server did not start: " + (self.folder / "log").read_text())

    def command(self, *arguments, stdin=""):
        done = subprocess.run([BINARY, *arguments, "--data", self.data], input=stdin, text=True,
                              capture_output=True)
        if done.returncode != 0:
            raise RuntimeError(f"postern {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done.stdout

    def account(self):
        self.accounts += 1
        name = f"user{self.accounts}"
        self.command("account", "add", name, "--password-stdin", stdin=PASSWORD)
        return name

    def context(self):
        return ssl.create_default_context(cafile=str(self.ca))

    def imaplib(self, name):
        client = imaplib.IMAP4_SSL("localhost", self.imaps, ssl_context=self.context())
        client.login(name, f'"{PASSWORD}"' if False else PASSWORD)
        return client

    def stop(self):
        self.process.terminate()
        code = self.process.wait(20)
        self.log.close()
        shutil.rmtree(self.folder, ignore_errors=True)
        return code


def samples():
    """Real messages: those that Python's own email tests ship with, where they are, and generated ones."""
    found = []
    for folder in sys.path + [os.path.dirname(email.__file__) + "/../"]:
        data = pathlib.Path(folder) / "test" / "test_email" / "data"
        if data.is_dir():
            found += [path.read_bytes() for path in sorted(data.glob("msg_*.txt"))]
            break
    seeded = random.Random(7)
    for n in range(40):
        message = email.message.EmailMessage()
        message["From"] = f"Sender {n} <sender{n}@example.org>"
        message["To"] = "Ünïcode Person <to@example.net>"
        message["Subject"] = f"Generated {n}: こんにちは 🎉"
        message["Message-ID"] = f"<generated-{n}@example.org>"
        message["Date"] = "Mon, 02 Nov 2026 10:00:00 +0100"
        message.set_content("Zeile mit Umlauten: äöü\n" * seeded.randrange(1, 200))
        if n % 3 == 0:
            message.add_attachment(seeded.randbytes(seeded.randrange(1, 60000)), maintype="application",
                                   subtype="octet-stream", filename=f"datei-{n}.bin")
        found.append(message.as_bytes())
    return [crlf(message) for message in found if message]


def crlf(message):
    return message.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def digest(messages):
    """What must arrive, whatever the order; clients may drop X-TUID and the like, so callers pass bytes."""
    return sorted(hashlib.sha256(message).hexdigest() for message in messages)


def fill(server, name, messages, mailbox="INBOX"):
    client = server.imaplib(name)
    for message in messages:
        status, answer = client.append(mailbox, "(\\Seen)", imaplib.Time2Internaldate(1790000000), message)
        assert status == "OK", answer
    client.logout()


def contents(server, name, mailbox="INBOX"):
    client = server.imaplib(name)
    status, answer = client.select(f'"{mailbox}"', readonly=True)
    assert status == "OK", answer
    status, rows = client.uid("FETCH", "1:*", "(FLAGS BODY.PEEK[])") if int(answer[0]) else ("OK", [])
    client.logout()
    return [row[1] for row in rows if isinstance(row, tuple)]


def run(arguments, **options):
    done = subprocess.run(arguments, capture_output=True, text=True, timeout=120, **options)
    assert done.returncode == 0, f"{arguments[0]}: exit {done.returncode}\n{done.stdout[-2000:]}{done.stderr[-2000:]}"
    return done.stdout + done.stderr


def maildir(path):
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(parents=True, exist_ok=True)
    return path


def read_maildir(path):
    return [file.read_bytes() for part in ("cur", "new") for file in sorted((path / part).glob("*"))]


def test_imaplib(server):
    name, mail = server.account(), samples()
    fill(server, name, mail)
    assert digest(contents(server, name)) == digest(mail)
    client = server.imaplib(name)
    client.select("INBOX")
    assert client.search(None, "SUBJECT", '"Generated 7"')[1][0].split() != []
    assert client.store("1:3", "+FLAGS", "\\Deleted")[0] == "OK"
    assert len(client.expunge()[1]) == 3
    assert client.create("Notes")[0] == "OK" and client.copy("1:5", "Notes")[0] == "OK"
    assert len(contents(server, name, "Notes")) == 5
    client.logout()


def test_starttls(server):
    name = server.account()
    client = imaplib.IMAP4("localhost", server.imap)
    client.starttls(server.context())
    client.login(name, PASSWORD)
    assert "STARTTLS" not in client.capabilities
    client.logout()


def test_imapclient_idle(server):
    import imapclient
    name = server.account()
    client = imapclient.IMAPClient("localhost", server.imaps, ssl_context=server.context())
    client.login(name, PASSWORD)
    client.select_folder("INBOX")
    client.idle()
    started = time.monotonic()
    threading.Timer(0.2, fill, (server, name, samples()[:1])).start()
    answers = []
    while time.monotonic() - started < 10 and (1, b"EXISTS") not in answers:
        answers += client.idle_check(timeout=1)
    assert (1, b"EXISTS") in answers, answers
    client.idle_done()
    rows = client.fetch([1], ["ENVELOPE", "BODYSTRUCTURE", "FLAGS", "INTERNALDATE", "RFC822.SIZE"])
    assert len(rows) == 1 and rows[list(rows)[0]][b"ENVELOPE"] is not None
    assert {b"\\Sent", b"\\Trash"} <= {flag for flags, _, _ in client.list_folders() for flag in flags}
    client.logout()


def test_mbsync(server):
    name, mail = server.account(), samples()
    fill(server, name, mail)
    folder = server.folder / "mbsync"
    folder.mkdir()
    config = folder / "mbsyncrc"
    config.write_text(f"""
IMAPAccount a
Host localhost
Port {server.imaps}
User {name}
Pass "{PASSWORD}"
SSLType IMAPS
CertificateFile {server.ca}
IMAPStore far
Account a
MaildirStore near
SubFolders Verbatim
Path {folder}/mail/
Inbox {folder}/mail/INBOX
Channel c
Far :far:
Near :near:
Patterns *
Create Both
Expunge Both
SyncState *
""")
    (folder / "mail").mkdir()
    run(["mbsync", "-c", str(config), "c"])
    here = folder / "mail" / "INBOX"
    strip = lambda message: b"\r\n".join(line for line in crlf(message).split(b"\r\n") if not line.startswith(b"X-TUID:"))
    assert digest(map(strip, read_maildir(here))) == digest(mail)
    new = crlf(b"From: me@example.org\nSubject: written here\n\nup it goes\n")
    (here / "new" / "1790000001.M1P1.host").write_bytes(new.replace(b"\r\n", b"\n"))
    gone = sorted((here / "cur").glob("*"))[0]
    gone.rename(str(gone) + "T" if gone.name.endswith("S") else str(gone))
    run(["mbsync", "-c", str(config), "c"])
    there = list(map(strip, contents(server, name)))
    assert strip(new) in there and len(there) == len(mail), len(there)


def test_offlineimap(server):
    name, mail = server.account(), samples()
    fill(server, name, mail)
    folder = server.folder / "offlineimap"
    folder.mkdir()
    config = folder / "rc"
    config.write_text(f"""
[general]
accounts = a
metadata = {folder}/meta
ui = basic
[Account a]
localrepository = near
remoterepository = far
[Repository near]
type = Maildir
localfolders = {folder}/mail
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {server.imaps}
ssl = yes
sslcacertfile = {server.ca}
remoteuser = {name}
remotepass = {PASSWORD}
""")
    run(["offlineimap", "-c", str(config), "-o"], env={**os.environ, "HOME": str(folder)})
    local = folder / "mail" / "INBOX"
    assert len(read_maildir(local)) == len(mail), len(read_maildir(local))
    (local / "new" / "1790000002.M1P1.host").write_bytes(b"From: me@example.org\nSubject: from offlineimap\n\nhello\n")
    run(["offlineimap", "-c", str(config), "-o"], env={**os.environ, "HOME": str(folder)})
    assert any(b"from offlineimap" in message for message in contents(server, name))


def test_mutt(server):
    name, mail = server.account(), samples()
    fill(server, name, mail)
    folder = server.folder / "mutt"
    folder.mkdir()
    config = folder / "muttrc"
    copied = folder / "copied"
    config.write_text(f"""
set folder="imaps://{name}@localhost:{server.imaps}/"
set spoolfile="+INBOX"
set imap_user="{name}"
set imap_pass="{PASSWORD}"
set ssl_force_tls=yes
set certificate_file="{server.ca}"
set ssl_starttls=yes
set ssl_verify_host=no
set mbox_type=Maildir
set confirmappend=no
set confirmcreate=no
set delete=yes
set quit=yes
set sleep_time=0
set copy=no
set wait_key=no
set header_cache="{folder}/cache"
set message_cachedir="{folder}/cache"
""")
    keys = f'<tag-pattern>~A<enter><tag-prefix><copy-message>{copied}<enter><exit>'
    run(["timeout", "60", "script", "-qec", f"mutt -F {config} -e 'push \"{keys}\"'", "/dev/null"],
        env={**os.environ, "TERM": "xterm", "HOME": str(folder)}, stdin=subprocess.DEVNULL)
    assert len(read_maildir(copied)) == len(mail), len(read_maildir(copied))


def test_curl(server):
    name, mail = server.account(), samples()
    fill(server, name, mail[:3])
    base = ["curl", "-sS", "--cacert", str(server.ca), "-u", f"{name}:{PASSWORD}"]
    url = f"imaps://localhost:{server.imaps}"
    raw = subprocess.run([*base, f"{url}/INBOX;MAILINDEX=2"], capture_output=True, timeout=60)
    assert raw.returncode == 0 and raw.stdout.rstrip() == mail[1].rstrip(), raw.stderr
    upload = server.folder / "upload.eml"
    upload.write_bytes(mail[5])
    run([*base, "-T", str(upload), f"{url}/Archive"])
    assert digest(contents(server, name, "Archive")) == digest([mail[5]])
    assert "EXAMINE" not in run([*base, "-X", "STATUS INBOX (MESSAGES)", url]) 
    assert "MESSAGES 3" in run([*base, "-X", "STATUS INBOX (MESSAGES)", url])


def test_imapflow(server):
    name, mail = server.account(), samples()
    fill(server, name, mail)
    environment = {**os.environ, "NODE_PATH": f"{TOOLS}/node_modules", "NODE_EXTRA_CA_CERTS": str(server.ca),
                   "PORT": str(server.imaps), "ACCOUNT": name, "PASSWORD": PASSWORD, "COUNT": str(len(mail))}
    run(["node", str(HERE / "imapflow.js")], env=environment)


def test_watched_maildir(server):
    """Mail dropped into a watched Maildir reaches an idling client within a second."""
    import imapclient
    name = server.account()
    box = maildir(server.folder / "watched")
    server.command("source", "add", str(box), "--account", name, "--after", "keep")
    client = imapclient.IMAPClient("localhost", server.imaps, ssl_context=server.context())
    client.login(name, PASSWORD)
    client.select_folder("INBOX")
    time.sleep(1)
    client.idle()
    (box / "tmp" / "1.x").write_bytes(b"Subject: dropped\n\nhere\n")
    started = time.monotonic()
    (box / "tmp" / "1.x").rename(box / "new" / "1790000003.M2P2.host")
    answers = []
    while time.monotonic() - started < 10 and (1, b"EXISTS") not in answers:
        answers += client.idle_check(timeout=0.2)
    took = time.monotonic() - started
    assert (1, b"EXISTS") in answers, answers
    print(f"figure: a dropped mail was told after {took * 1000:.0f} ms")
    client.idle_done()
    client.logout()
    assert (box / "new" / "1790000003.M2P2.host").exists()


def main():
    server = Server()
    tests = [(name[5:], test) for name, test in globals().items() if name.startswith("test_")]
    for name, test in tests:
        if ONLY and ONLY != name:
            continue
        try:
            test(server)
            print(f"ok {name}", flush=True)
        except Exception:
            print(f"FAILED {name}\n{traceback.format_exc()}", flush=True)
    code = server.stop()
    print("ok orderly_end" if code == 0 else f"FAILED orderly_end: exit {code}")


main()
