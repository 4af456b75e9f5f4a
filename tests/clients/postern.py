"""A Postern with its data in a temporary folder, and the accounts that the clients log in to."""

import imaplib
import json
import pathlib
import re
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading

import mail

# imaplib would change a lone CR in what it appends into a line end.
imaplib.MapCRLF = re.compile(b"\r\n")

OWN_PASSWORD = "correct horse battery"


class Server:
    """The real binary. Its certificate is checked by every client: there is no switch for less."""

    def __init__(self, binary):
        self.binary = binary
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="postern-clients-"))
        self.data = self.folder / "data"
        self.accounts = 0
        self.log = self.folder / "log"
        self.start()
        self.ca = self.folder / "ca.pem"
        self.ca.write_text(self.command("cert", "ca"))

    def start(self):
        with open(self.log, "ab") as log:
            self.process = subprocess.Popen(
                [self.binary, "serve", "--data", self.data, "--imaps", "127.0.0.1:0", "--imap", "127.0.0.1:0",
                 "--admin", "127.0.0.1:0"],
                stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=log, text=True)
        for line in self.process.stdout:
            if line.startswith("ready "):
                words = dict(word.split("=", 1) for word in line.split() if "=" in word)
                self.imaps = int(words["imaps"].rsplit(":", 1)[1])
                self.imap = int(words["imap"].rsplit(":", 1)[1])
                threading.Thread(target=self.process.stdout.read, daemon=True).start()
                return
        raise RuntimeError("the server did not start: " + self.log.read_text())

    def command(self, *arguments, stdin=""):
        done = subprocess.run([self.binary, *map(str, arguments), "--data", self.data], input=stdin, text=True,
                              capture_output=True, timeout=60)
        if done.returncode != 0:
            raise RuntimeError(f"postern {' '.join(map(str, arguments))}: {done.stdout}{done.stderr}")
        return done.stdout

    def account(self, name):
        """A new account with one device; its folder is for the client's own files."""
        self.command("account", "add", name, "--password-stdin", stdin=OWN_PASSWORD)
        device = json.loads(self.command("device", "add", f"{name}'s machine", "--account", name, "--json"))
        folder = self.folder / name
        folder.mkdir()
        return Account(self, name, device["id"], device["password"], folder)

    def context(self):
        return ssl.create_default_context(cafile=str(self.ca))

    def stop(self):
        """Ends it in order; gives its exit code."""
        self.process.terminate()
        try:
            return self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            return "killed: it did not end within 20 s"

    def remove(self):
        shutil.rmtree(self.folder, ignore_errors=True)


class Account:
    """An account as its owner knows it: the name, and the password of one device."""

    def __init__(self, server, name, device, password, folder):
        self.server, self.name, self.device, self.password, self.folder = server, name, device, password, folder

    def session(self):
        """A logged-in connection of imaplib: the other side of what a client did."""
        client = imaplib.IMAP4_SSL("localhost", self.server.imaps, ssl_context=self.server.context(), timeout=30)
        # imaplib sends a literal and its line end apart: without this each APPEND waits 40 ms for an ACK.
        client.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        client.login(self.name, self.password)
        return client

    def fill(self, mailboxes):
        """Appends {mailbox: [Mail]}, and makes the mailboxes that are missing."""
        with self.session() as client:
            known = self.mailboxes(client)
            for mailbox, messages in mailboxes.items():
                if mailbox not in known:
                    must(client.create(mail.quoted(mailbox)))
                    must(client.subscribe(mail.quoted(mailbox)))
                for message in messages:
                    flags = f"({' '.join(sorted(message.flags))})"
                    must(client.append(mail.quoted(mailbox), flags, imaplib.Time2Internaldate(message.date), message.content))

    def add(self, mailbox, content):
        self.fill({mailbox: [mail.Mail(content)]})

    def mailboxes(self, client):
        rows = must(client.list())
        return [mail.listed(row) for row in rows if row is not None]

    def read(self):
        """Everything: {mailbox: [Mail]}, empty mailboxes too."""
        with self.session() as client:
            return {mailbox: self.messages(client, mailbox) for mailbox in self.mailboxes(client)}

    def messages(self, client, mailbox):
        count = int(must(client.select(mail.quoted(mailbox), readonly=True))[0])
        rows = must(client.uid("FETCH", "1:*", "(FLAGS INTERNALDATE BODY.PEEK[])")) if count else []
        found = [mail.fetched(row[0], row[1]) for row in rows if isinstance(row, tuple)]
        assert len(found) == count, f"{mailbox}: EXISTS says {count}, FETCH gives {len(found)}"
        return found

    def inbox(self):
        return self.read()["INBOX"]


def must(answer):
    """The data of an answer that has to be OK."""
    status, data = answer
    assert status == "OK", (status, data)
    return data
