"""getmail: fetches all mailboxes into one Maildir, and leaves or deletes what it fetched."""

import email
import email.generator
import io

import mail
import program

CONFIG = """
[retriever]
type = SimpleIMAPSSLRetriever
server = localhost
port = {imaps}
username = {name}
password = {password}
mailboxes = {mailboxes}
ca_certs = {ca}
ssl_cert_hostname = localhost
[destination]
type = Maildir
path = {folder}/mail/
[options]
delete = {delete}
read_all = false
received = false
delivered_to = false
verbose = 1
"""


def kept_by_python(content):
    """Whether Python's parser writes a message as it was: getmail stores what that writes."""
    text = content.replace(b"\r\n", b"\n")
    written = io.BytesIO()
    email.generator.BytesGenerator(written, mangle_from_=False, maxheaderlen=78).flatten(email.message_from_bytes(text))
    return written.getvalue() == text


def test_getmail(account):
    home = {mailbox: [message for message in messages if kept_by_python(message.content)]
            for mailbox, messages in mail.household(unix=True).items()}
    assert mail.count(home) > 230
    account.fill(home)
    mail.make_maildir(account.folder / "mail")
    names = tuple(home)

    def fetch(ca, delete, code=0):
        (account.folder / "getmailrc").write_text(CONFIG.format(
            imaps=account.server.imaps, name=account.name, password=account.password, folder=account.folder, ca=ca,
            delete=delete, mailboxes="(" + ", ".join(f"'{name}'" for name in names) + ",)"))
        program.give_away(account.folder)
        return program.run(program.as_owner(["getmail", "--getmaildir", account.folder]), account, code)

    fetch(account.server.ca, "false")
    found = mail.read_maildir(account.folder / "mail")
    mail.same([message for messages in home.values() for message in messages], found,
              mail.text_without("Return-Path", "X-getmail-retrieved-from-mailbox"))
    yield f"{len(found)} messages down"

    new = b"From: they@example.org\r\nSubject: later\r\n\r\nnow\r\n"
    account.add("INBOX", new)
    fetch(account.server.ca, "true")
    assert len(mail.read_maildir(account.folder / "mail")) == len(found) + 1
    assert mail.count(account.read()) == 0
    yield "fetches only what is new, and deletes"
