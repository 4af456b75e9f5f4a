"""fetchmail: fetches to deliver, once and with IDLE."""

import os
import subprocess
import time

import mail
import program

CONFIG = """
set no bouncemail
set no syslog
poll localhost protocol imap port {imaps}
    username "{name}" password "{password}"
    ssl sslcertck sslcertfile "{ca}" sslcertpath "{folder}"
    folder {folders}
    fetchall keep {idle}
    no rewrite
    mda "cat > {folder}/fetched/$(date +%s%N)"
"""


def test_fetchmail(account):
    # It mends heads that have no sound shape, and that is not what is asked here.
    home = {mailbox: [message for message in messages if mail.sound_head(message)]
            for mailbox, messages in mail.household(unix=True).items()}
    assert mail.count(home) > 250
    account.fill(home)
    config, fetched = account.folder / "rc", account.folder / "fetched"
    fetched.mkdir()

    def fetch(ca=account.server.ca, code=0):
        config.write_text(CONFIG.format(imaps=account.server.imaps, name=account.name, password=account.password, ca=ca,
                                        folder=account.folder, folders='"INBOX", "Archive/2024/Reisen"', idle=""))
        config.chmod(0o600)
        return program.run(["fetchmail", "-f", config, "--invisible"], account, code)

    fetch(ca="/dev/null", code=2)
    fetch()
    found = [mail.Mail(file.read_bytes()) for file in fetched.iterdir()]
    mail.same(home["INBOX"] + home["Archive/2024/Reisen"], found, mail.text)
    yield f"{len(found)} messages down; nothing without the CA"

    config.write_text(CONFIG.format(imaps=account.server.imaps, name=account.name, password=account.password,
                                    ca=account.server.ca, folder=account.folder, folders='"Sent"', idle="idle"))
    with open(account.folder / "log", "wb") as log:
        idling = subprocess.Popen(["fetchmail", "-v", "-f", config, "--invisible", "--pidfile", account.folder / "pid"],
                                  env={**os.environ, "HOME": str(account.folder)}, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
    try:
        said = lambda what: wait(lambda: what in (account.folder / "log").read_bytes(), what)
        said(b"IDLE")
        account.add("Sent", b"From: they@example.org\r\nSubject: pushed\r\n\r\nnow\r\n")
        wait(lambda: any(b"Subject: pushed" in file.read_bytes() for file in fetched.iterdir()), "the message")
    finally:
        idling.kill()
        idling.wait()
    yield "IDLE hears of new mail"


def wait(found, what, seconds=10):
    until = time.monotonic() + seconds
    while not found():
        assert time.monotonic() < until, f"waited in vain for {what}"
        time.sleep(0.05)
