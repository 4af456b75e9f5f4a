"""The page on Postfix: through `postern deliver`, as the user whose mail it is, and for a domain. Postern is killed
while mail comes in, and each message is there once in the end."""

import contextlib
import os
import pathlib
import re
import shutil
import smtplib
import socket
import subprocess

import mail
import ways

# Where Postfix is, and who may connect: no port but one of the loopback, no file outside of a folder.
MAIN = """
compatibility_level = 3.6
queue_directory = {folder}/queue
data_directory = {folder}/data
command_directory = /usr/sbin
daemon_directory = /usr/lib/postfix/sbin
mail_owner = postfix
setgid_group = postdrop
inet_interfaces = 127.0.0.1
inet_protocols = ipv4
myhostname = machine.example.net
mydestination = localhost
mynetworks = 127.0.0.0/8
alias_maps =
alias_database =
maillog_file = {folder}/log
maillog_file_prefixes = {folder}
queue_run_delay = 1s
minimal_backoff_time = 1s
maximal_backoff_time = 2s
"""
ADDED = re.compile(rb"(?:Return-Path|X-Original-To|Delivered-To|Received):.*\r\n(?:[ \t].*\r\n)*")
BEFORE, DURING = 40, 60
AT_A_TIME = 4  # processes of the pipe


def text(message):
    """For `same`: the text without what Postfix adds at its top."""
    content = mail.text(message)
    while added := ADDED.match(content):
        content = content[added.end():]
    return content


class Postfix:
    """An instance of its own."""

    def __init__(self, home, main, master):
        self.folder = home.folder / f"postfix{len(list(home.folder.glob('postfix*')))}"
        for part in ("etc", "queue", "data"):
            (self.folder / part).mkdir(parents=True)
        shutil.chown(self.folder / "data", "postfix")
        (self.folder / "etc/main.cf").write_text(MAIN.format(folder=self.folder) + main)
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            self.port = free.getsockname()[1]
        rows = []
        for row in pathlib.Path("/usr/share/postfix/master.cf.dist").read_text().splitlines(keepends=True):
            fields = row.split()
            if row[0].isalpha() and len(fields) >= 8:
                fields[4] = "n"  # a chroot lacks the system's files
                row = " ".join(fields) + "\n"
            rows.append(re.sub(r"^smtp inet", f"127.0.0.1:{self.port} inet", row))
        (self.folder / "etc/master.cf").write_text("".join(rows) + master)

    def postfix(self, command):
        done = subprocess.run(["postfix", "-c", self.folder / "etc", command], capture_output=True, text=True, timeout=60)
        assert done.returncode == 0, f"postfix {command}: {done.stdout}{done.stderr}{self.log()[-2000:]}"
        assert "warning" not in done.stdout + done.stderr, done.stdout + done.stderr

    def log(self):
        return (self.folder / "log").read_text() if (self.folder / "log").exists() else ""

    @contextlib.contextmanager
    def running(self):
        self.postfix("check")
        self.postfix("start")
        try:
            yield self
        except BaseException:
            print("the end of Postfix's log:", *self.log().splitlines()[-25:], sep="\n")
            raise
        finally:
            pid = int((self.folder / "queue/pid/master.pid").read_text())
            self.postfix("stop")
            ways.wait(lambda: not os.path.exists(f"/proc/{pid}"), "Postfix to end")

    def send(self, to, messages):
        with smtplib.SMTP("127.0.0.1", self.port, timeout=30) as client:
            for message in messages:
                client.sendmail("they@example.org", [to], message.content)

    def waiting(self):
        queue = self.folder / "queue"
        return sum(1 for part in ("maildrop", "incoming", "active", "deferred") for file in (queue / part).rglob("*") if file.is_file())


def messages(start, count):
    """Each of another size, the largest of some MB."""
    for n in range(start, start + count):
        body = f"Line {n} of a message.\n..and a dot\n.\nFrom here\n" * (40_000 if n % 50 == 7 else 1 + n % 9)
        yield mail.Mail(mail.crlf(f"From: they@example.org\nTo: anna@example.org\nSubject: Number {n}\n"
                                  f"Date: Mon, 02 Nov 2026 10:00:00 +0100\nMessage-ID: <{n}@way>\n\n{body}".encode()))


def test_way_postfix(account):
    machine = ways.Home(account)
    with machine.running() as home:
        page = home.page("Postfix", "anna@example.org")
        # The account has the name of the user, who is one of this system.
        home.run(f"sudo postern account add {ways.ANNA} --password-stdin", stdin="correct horse battery")
        anna = ways.postern.Account(home, ways.ANNA, None, ways.postern.OWN_PASSWORD, home.anna)
        first = list(messages(0, BEFORE))
        with Postfix(home, page.block("**Every user"), "").running() as postfix:
            postfix.send(f"{ways.ANNA}@localhost", first)
            ways.wait(lambda: not postfix.waiting(), "the queue to empty")
            found = anna.inbox()
            mail.same(first, found, text)
            assert postfix.log().count("status=sent") == BEFORE, postfix.log()[-2000:]
            assert all(b"Return-Path: <they@example.org>" in message.content for message in found)
        yield f"{BEFORE} messages by mailbox_command, as the user whose mail it is"

        (home.folder / "etc/people").write_text(page.block("each address and its account"))
        main = page.block("In `/etc/postfix/main.cf`:", instead={"/etc/postfix/people": f"{home.folder}/etc/people"})
        master = page.block("`/etc/postfix/master.cf`:")
        first, second = list(messages(1000, BEFORE)), list(messages(2000, DURING))
        with Postfix(home, main, master).running() as postfix:
            postfix.send("anna@example.org", first)
            home.holds(BEFORE)
            for third in range(3):
                part, deferred = second[third::3], postfix.log().count("status=deferred")
                postfix.send("anna@example.org", part[:10])
                home.stop(ways.signal.SIGKILL)
                postfix.send("anna@example.org", part[10:])
                ways.wait(lambda: postfix.log().count("status=deferred") > deferred, "a deferral")
                home.start()
            ways.wait(lambda: not postfix.waiting(), "the queue to empty", 40)
            # What is killed between storing a message and saying so is given it again.
            found = list(map(text, home.mine.inbox()))
            assert set(found) == set(map(text, first + second)), "a message is lost, or none of these"
            twice = len(found) - len(set(found))
            assert twice <= 3 * AT_A_TIME, f"{twice} messages are there twice"
            log = postfix.log()
            assert "status=bounced" not in log and "dsn=5" not in log, log[-3000:]
        deferred = log.count("status=deferred")
        yield f"{BEFORE + DURING} messages for a domain, as nobody; 3 times killed in between, {deferred} times deferred, none lost, {twice} there twice"

        with Postfix(home, main, master).running() as postfix:
            home.stop()
            postfix.send("anna@example.org", messages(3000, 1))
            ways.wait(lambda: "status=deferred" in postfix.log(), "a deferral")
            try:
                postfix.send("nobody.there@example.org", messages(3001, 1))
                raise AssertionError("mail for no account was taken")
            except smtplib.SMTPRecipientsRefused:
                pass
            home.start()
            ways.wait(lambda: not postfix.waiting(), "the queue to empty")
            home.holds(BEFORE + DURING + twice + 1)
        yield "while Postern is stopped mail waits; an address without an account is refused at the door"
