"""Python's imaplib, and imapclient with IDLE."""

import datetime
import imaplib
import ssl
import threading
import time

import mail
from postern import OWN_PASSWORD, must


def test_imaplib(account):
    home = mail.household()
    account.fill(home)
    mail.same_mailboxes(home, account.read())
    yield f"{mail.count(home)} messages byte for byte, with flags and dates"

    with account.session() as client:
        must(client.select("INBOX"))
        found = must(client.search("UTF-8", "SUBJECT", '"こんにちは"'.encode()))[0].split()
        assert len(found) == 60, found
        assert len(must(client.search(None, "SUBJECT", '"generated 17"'))[0].split()) == 1
        assert len(must(client.search(None, "BODY", '"Zeile mit"', "NOT", "ANSWERED"))[0].split()) in range(40, 61)
        yield "search"

        must(client.store("1:3", "+FLAGS", "(\\Deleted)"))
        assert len(must(client.expunge())) == 3
        must(client.create("Notes/2026"))
        must(client.uid("COPY", "1:20", "Notes/2026"))
        must(client.uid("MOVE", "21:30", "Notes/2026"))
        must(client.rename("Notes", mail.quoted("Merkzettel")))
        must(client.delete("Viel"))
    inbox = [message for n, message in enumerate(home["INBOX"], 1) if n > 3 and not 21 <= n <= 30]
    now = account.read()
    mail.same(inbox, now["INBOX"])
    mail.same(home["INBOX"][3:30], now["Merkzettel/2026"])
    assert "Viel" not in now and "Notes/2026" not in now, sorted(now)
    yield "expunge, copy, move, rename, delete"


def test_certificate(account):
    server = account.server
    for context, host in ((ssl.create_default_context(), "localhost"), (server.context(), "mail.example.org")):
        try:
            imaplib.IMAP4_SSL("127.0.0.1", server.imaps, ssl_context=Named(context, host))
            raise AssertionError(f"{host} was trusted")
        except ssl.SSLCertVerificationError:
            pass
    yield "refused without the CA, and for another host's name"

    client = imaplib.IMAP4("localhost", server.imap)
    assert "LOGINDISABLED" in client.capabilities or client.host in ("localhost", "127.0.0.1")
    client.starttls(server.context())
    client.login(account.name, account.password)
    assert "STARTTLS" not in client.capabilities and "LOGINDISABLED" not in client.capabilities
    client.logout()
    yield "STARTTLS"


class Named:
    """A TLS context that asks for another host than it connects to."""

    def __init__(self, context, host):
        self.context, self.host = context, host

    def wrap_socket(self, sock, server_hostname):
        return self.context.wrap_socket(sock, server_hostname=self.host)


def test_passwords(account):
    with account.session() as client:
        must(client.noop())
    for password, works in ((OWN_PASSWORD, True), (account.password.replace("-", ""), True), ("wrong", False)):
        client = imaplib.IMAP4_SSL("localhost", account.server.imaps, ssl_context=account.server.context())
        try:
            client.login(account.name, password)
            assert works, f"{password} was let in"
        except imaplib.IMAP4.error as refused:
            assert not works, refused
        client.logout()
    yield "of a device with and without dashes, of the account, and a wrong one"

    account.server.command("device", "revoke", account.device, "--account", account.name)
    try:
        account.session()
        raise AssertionError("a revoked device was let in")
    except imaplib.IMAP4.error:
        yield "a revoked one is refused"


def test_imapclient(account):
    import imapclient
    home = mail.household()
    account.fill(home)
    client = imapclient.IMAPClient("localhost", account.server.imaps, ssl_context=account.server.context())
    client.login(account.name, account.password)
    folders = {name: flags for flags, _, name in client.list_folders()}
    assert home.keys() <= folders.keys(), sorted(folders)
    assert {b"\\Sent", b"\\Trash", b"\\Drafts", b"\\Junk", b"\\Archive"} <= {flag for flags in folders.values() for flag in flags}
    for mailbox, expected in home.items():
        assert client.select_folder(mailbox, readonly=True)[b"EXISTS"] == len(expected)
        rows = client.fetch(client.search(), ["BODY.PEEK[]", "FLAGS", "INTERNALDATE", "RFC822.SIZE", "ENVELOPE", "BODYSTRUCTURE"])
        found = [mail.Mail(row[b"BODY[]"], frozenset(flag.decode() for flag in row[b"FLAGS"]) - {"\\Recent"},
                           int(row[b"INTERNALDATE"].replace(tzinfo=datetime.timezone.utc).timestamp())) for row in rows.values()]
        mail.same(expected, found)
        for row in rows.values():
            assert row[b"RFC822.SIZE"] == len(row[b"BODY[]"])
            assert row[b"ENVELOPE"] is not None and row[b"BODYSTRUCTURE"] is not None
        if mailbox == "INBOX":
            subjects = {row[b"ENVELOPE"].subject for row in rows.values()}
            assert len([subject for subject in subjects if subject and b"Generated" in subject]) >= 40, subjects
    yield "every mailbox, with envelopes and structures"

    client.select_folder("INBOX")
    assert len(client.search(["SUBJECT", "こんにちは"], charset="UTF-8")) == 60
    moved = client.search(["SUBJECT", "generated 7"])
    client.move(moved, "Archive/2024/Reisen")
    client.select_folder("Archive/2024/Reisen")
    assert len(client.search(["SUBJECT", "generated 7"])) == len(moved) == 1
    client.create_folder("Ünïcode/📬 Post")
    answer = client.append("Ünïcode/📬 Post", home["INBOX"][0].content, ["\\Seen", "$Label1"])
    assert b"APPENDUID" in answer, answer
    assert account.read()["Ünïcode/📬 Post"][0].flags == {"\\Seen", "$Label1"}
    yield "search, move, create, append"

    client.select_folder("INBOX")
    client.idle()
    expected = len(home["INBOX"])
    took = heard(client, lambda: account.add("INBOX", home["Viel"][0].content), lambda a: (expected, b"EXISTS") in a)
    print(f"figure: imapclient heard of a new message {took * 1000:.0f} ms after the APPEND was answered")
    assert took < 1, took
    heard(client, lambda: other(account, "1", "+FLAGS", "$Sent"), lambda a: any(row[1] == b"FETCH" and row[0] == 1 for row in a))
    heard(client, lambda: other(account, "2", "+FLAGS", "\\Deleted"), lambda a: (2, b"EXPUNGE") in a)
    client.idle_done()
    rows = client.fetch(client.search()[-1:], ["BODY.PEEK[]"])
    assert [row[b"BODY[]"] for row in rows.values()] == [home["Viel"][0].content]
    client.logout()
    yield "IDLE hears of new mail, flags and expunges"


def other(account, numbers, how, flag):
    """Another session changes flags, and expunges what is \\Deleted."""
    with account.session() as session:
        must(session.select("INBOX"))
        must(session.store(numbers, how, f"({flag})"))
        must(session.expunge())


def heard(client, act, found):
    """Acts aside, and waits for an idling client to hear of it; gives how long that took after the act was done."""
    done = []
    thread = threading.Thread(target=lambda: (act(), done.append(time.monotonic())))
    thread.start()
    answers, until = [], time.monotonic() + 10
    while not found(answers):
        assert time.monotonic() < until, f"heard only {answers}"
        answers += client.idle_check(timeout=0.5)
    now = time.monotonic()
    thread.join()
    return max(0, now - done[0])


def test_watched_maildir(account):
    """Mail dropped into a watched Maildir reaches an idling client within a second."""
    import imapclient
    box = mail.make_maildir(account.folder / "watched")
    account.server.command("source", "add", box, "--account", account.name, "--after", "keep")
    client = imapclient.IMAPClient("localhost", account.server.imaps, ssl_context=account.server.context())
    client.login(account.name, account.password)
    client.select_folder("INBOX")
    client.idle()
    content = mail.household()["INBOX"][0].content
    took = heard(client, lambda: mail.drop(box, content, "1790000003.M2P2.host"), lambda a: (1, b"EXISTS") in a)
    print(f"figure: a mail dropped into a watched Maildir was heard of after {took * 1000:.0f} ms")
    assert took < 1, took
    client.idle_done()
    client.logout()
    assert [mail.canonical(message.content) for message in account.inbox()] == [mail.canonical(content)]
    assert len(mail.read_maildir(box)) == 1
    yield "heard of within a second, kept where it was"
