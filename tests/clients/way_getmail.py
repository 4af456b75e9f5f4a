"""The page on getmail: into a Maildir that Postern watches."""

import mail
import ways
from client_getmail import kept_by_python

FAR = {"ssl_cert_hostname = imap.example.org": "ssl_cert_hostname = localhost"}
TEXT = mail.text_without("Return-Path", "X-getmail-retrieved-from-mailbox")


def test_way_getmail(account):
    inbox = [message for message in mail.household(unix=True)["INBOX"] if kept_by_python(message.content)]
    assert len(inbox) > 90
    account.fill({"INBOX": inbox})
    machine = ways.Home(account)
    with machine.running() as home:
        page = home.page("getmail")
        home.run(page.block("no rights need to be set").replace("sudo apt-get install getmail6\n", ""))
        config = home.folder / "srv/getmail/anna"
        far = {**FAR, "server = imap.example.org\n": f"server = localhost\nport = {account.server.imaps}\n"}
        block = page.block("`/srv/mail/getmail/anna`:", instead=far)
        first = page.block("Try it:")

        home.write(config, block.replace(str(account.server.ca), str(home.ca)))
        home.run(first.splitlines()[0], code=127)
        assert not any((home.folder / "srv/anna/new").iterdir())
        home.write(config, block)
        said = home.run(first)
        assert "anna" in said, said
        mail.same(inbox, home.holds(len(inbox))["INBOX"], TEXT)
        yield f"{len(inbox)} messages through the Maildir, none from a server of another certificate"

        # What was not renamed in under the watch stays for ten minutes: it is imported, and its file may not be whole.
        command, user = home.unit(page, "getmail-anna.service")
        home.unit(page, "getmail-anna.timer")
        home.verify_units()
        account.add("INBOX", b"From: they@example.org\r\nSubject: later\r\n\r\nnow\r\n")
        home.run(command, user)
        home.holds(len(inbox) + 1)
        cron = page.block("Or by cron").split()
        assert " ".join(cron[6:]) == command and cron[5] == "postern", cron
        home.run(command, user)
        home.holds(len(inbox) + 1)
        assert len(account.inbox()) == len(inbox) + 1
        yield "the unit fetches what is new, once, and leaves the provider's as it is"
