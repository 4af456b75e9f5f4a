"""The page on fetchmail: through `postern deliver`."""

import re

import mail
import ways

# fetchmail puts one before the message.
RECEIVED = re.compile(rb"Received: from localhost \[.*?\]\r\n(?:[ \t].*\r\n)*|Return-Path:.*\r\n")


def text(message):
    """For `same`: the text without what fetchmail adds."""
    return RECEIVED.sub(b"", mail.text(message))


def test_way_fetchmail(account):
    inbox = [message for message in mail.household(unix=True)["INBOX"] if mail.sound_head(message)]
    inbox = [mail.Mail(message.content) for message in inbox]
    account.fill({"INBOX": inbox[:-2]})
    machine = ways.Home(account)
    with machine.running() as home:
        page = home.page("fetchmail")
        far = {"poll imap.example.org protocol imap": f"poll localhost protocol imap port {account.server.imaps}",
               "ssl sslcertck": f'ssl sslcertck sslcertfile "{account.server.ca}" sslcertpath "{home.folder}/units"'}
        config = page.block("`/home/anna/.fetchmailrc`:", instead=far)
        home.write(home.anna / ".fetchmailrc", config, ways.ANNA)
        first = page.block("Try it:").replace("sudo apt-get install fetchmail\n", "")

        home.write(home.anna / ".fetchmailrc", config.replace(str(account.server.ca), str(home.ca)))
        home.run(first, ways.ANNA, code=2)
        home.write(home.anna / ".fetchmailrc", config)
        home.run(first, ways.ANNA)
        found = home.holds(len(inbox) - 2)
        mail.same(inbox[:-2], found["INBOX"], text)
        assert len(account.inbox()) == len(inbox) - 2
        yield f"{len(inbox) - 2} messages through deliver, as a user of no rights; none from a server of another certificate"

        home.stop()
        account.fill({"INBOX": inbox[-2:-1]})
        home.run(first.strip() + " || true", ways.ANNA)
        assert sum("\\Seen" not in message.flags for message in account.inbox()) == 1
        home.start()
        command, user = home.unit(page, "fetchmail-anna.service")
        home.verify_units()
        # Not in five minutes, but now.
        assert "--daemon 300" in command
        with ways.background(home, command.replace("--daemon 300", "--daemon 1"), user):
            home.holds(len(inbox) - 1)
            account.fill({"INBOX": inbox[-1:]})
            found = home.holds(len(inbox))
        mail.same(inbox, found["INBOX"], text)
        yield "what could not be delivered is fetched when Postern is back, once; the unit fetches what is new"

        assert "`fetchall nokeep`" in page.text and config.count("    keep\n") == 1
        home.write(home.anna / ".fetchmailrc", config.replace("    keep\n", "    fetchall nokeep\n"))
        home.stop()
        home.run(first.strip() + " || true", ways.ANNA)
        assert len(account.inbox()) == len(inbox)
        home.start()
        home.run(first, ways.ANNA)
        found = home.holds(2 * len(inbox))
        assert account.inbox() == []
        yield "nokeep deletes at the provider what Postern has, and nothing before"
