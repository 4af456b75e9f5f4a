"""The page on mbsync: all folders of the provider into a Maildir that Postern watches."""

import mail
import ways


def test_way_mbsync(account):
    household = mail.household(unix=True)
    account.fill(household)
    machine = ways.Home(account)
    with machine.running() as home:
        page = home.page("mbsync")
        home.run(page.block("so runs as `postern`").replace("sudo apt-get install isync\n", ""))
        far = {"Host imap.example.org\n": f"Host localhost\nPort {account.server.imaps}\n",
               "SSLType IMAPS\n": "SSLType IMAPS\nSystemCertificates no\n"}
        config = page.block("`/srv/mail/mbsync/anna`", instead=far)
        path = home.folder / "srv/mbsync/anna"
        first = page.block("Try it:")

        home.write(path, config.replace(str(account.server.ca), str(home.ca)))
        home.run(first.splitlines()[0], code=1)
        home.write(path, config)
        home.run(first)
        found = home.holds(mail.count(household), seconds=40)
        mail.same_mailboxes(household, found, mail.text_flags_date)
        yield f"{mail.count(household)} messages through the Maildir, with folders, flags and dates"

        command, user = home.unit(page, "mbsync-anna.service")
        home.unit(page, "mbsync-anna.timer")
        home.verify_units()
        cron = page.block("Or by cron").split()
        assert " ".join(cron[6:]) == command and cron[5] == "postern", cron
        # What was there before the watch stays for ten minutes: it is imported, and its file may not be whole.
        account.add("Archive/2024/Reisen", b"From: they@example.org\r\nSubject: later\r\n\r\nnow\r\n")
        before = account.read()
        home.run(command, user)
        home.holds(mail.count(household) + 1)
        home.run(command, user)
        found = home.holds(mail.count(household) + 1)
        mail.same_mailboxes(before, found, mail.text_and_flags)
        assert account.read() == before
        yield "the unit fetches what is new, once, and leaves the provider's as it is"
