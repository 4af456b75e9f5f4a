"""OfflineIMAP: a whole account both ways, and IDLE."""

import email.parser
import email.policy
import os
import signal
import subprocess
import time

import mail
import program
from postern import must

CONFIG = """
[general]
accounts = a
metadata = {folder}/meta
ui = basic
[Account a]
localrepository = near
remoterepository = far
autorefresh = 5
[Repository near]
type = Maildir
localfolders = {folder}/mail
filename_use_mail_timestamp = no
utime_from_header = no
[Repository far]
type = IMAP
remotehost = localhost
remoteport = {imaps}
ssl = yes
sslcacertfile = {ca}
ssl_version = tls1_2
remoteuser = {name}
remotepass = {password}
idlefolders = ['INBOX']
"""

POLICY = email.policy.default.clone(cte_type="8bit", utf8=True, refold_source="none")  # offlineimap/folder/Base.py


def rewritten(content):
    """OfflineIMAP 8 reads every message with Python's parser and stores what that writes."""
    return email.parser.BytesParser(policy=POLICY).parsebytes(mail.crlf(content)).as_bytes(policy=POLICY)


def stable(content):
    """Whether Python's parser can write it at all, and leaves its own writing alone."""
    try:
        return mail.canonical(rewritten(rewritten(content))) == mail.canonical(rewritten(content))
    except (LookupError, ValueError, AttributeError, TypeError, IndexError, KeyError):
        return False


def rewritten_and_flags(message):
    return mail.canonical(rewritten(message.content)), *mail.text_and_flags(message)[1:]


def test_offlineimap(account):
    home = {mailbox: [message for message in messages if stable(message.content)]
            for mailbox, messages in mail.household(unix=True).items()}
    assert mail.count(home) > 300
    account.fill(home)
    config, root = account.folder / "rc", account.folder / "mail"
    config.write_text(CONFIG.format(imaps=account.server.imaps, name=account.name, password=account.password,
                                    ca=account.server.ca, folder=account.folder))
    sync = lambda: program.run(["offlineimap", "-c", config, "-o"], account)
    here = lambda: mail.read_maildirs(root, ".")

    sync()
    mail.same_mailboxes(home, here(), rewritten_and_flags)
    yield f"{mail.count(home)} messages down, with flags"

    mail.drop(root / "INBOX", b"From: me@example.org\nSubject: from offlineimap\n\nhello\n", "1790000002.M1P1.host")
    mail.make_maildir(root / "Neu")  # it does not make the parent of a new folder on both sides by itself
    mail.drop(root / mail.utf7("Neu.Größe"), home["INBOX"][-1].content, "1790000003.M1P1.host", "F")
    mail.flags_of(mail.find(root / "INBOX", b"<generated-1@"), lambda letters: set(letters) ^ {"F", "R"})
    mail.find(root / "INBOX", b"<generated-2@").unlink()
    account.add("Archive/2024/Reisen", b"From: they@example.org\r\nSubject: written there\r\n\r\ndown it goes\r\n")
    with account.session() as client:
        must(client.select("Viel"))
        must(client.uid("MOVE", "11:20", "INBOX"))
        must(client.store("1:5", "+FLAGS", "(\\Deleted)"))
        must(client.expunge())
        must(client.create("Dort"))
    sync()
    there = account.read()
    mail.same_mailboxes(there, here(), rewritten_and_flags)
    assert len(there["INBOX"]) == len(home["INBOX"]) + 1 - 1 + 10 and len(there["Viel"]) == 100 - 10 - 5
    assert any(b"from offlineimap" in message.content for message in there["INBOX"])
    assert [mail.text(message) for message in there["Neu/Größe"]] == [mail.text(home["INBOX"][-1])]
    assert (root / "Dort" / "cur").is_dir()
    yield "changes of both sides meet"

    with open(account.folder / "idle.log", "wb") as log:
        idling = subprocess.Popen(["offlineimap", "-c", config], stdin=subprocess.DEVNULL, stdout=log, stderr=log,
                                  env={**os.environ, "HOME": str(account.folder)})
    try:
        time.sleep(6)
        account.add("INBOX", b"From: they@example.org\r\nSubject: pushed\r\n\r\nnow\r\n")
        until = time.monotonic() + 10
        while not any(b"Subject: pushed" in message.content for message in mail.read_maildir(root / "INBOX")):
            assert time.monotonic() < until and idling.poll() is None, (account.folder / "idle.log").read_text()[-2000:]
            time.sleep(0.1)
    finally:
        idling.send_signal(signal.SIGTERM)
        try:
            idling.wait(10)
        except subprocess.TimeoutExpired:
            idling.kill()
            idling.wait()
    yield "IDLE hears of new mail"
