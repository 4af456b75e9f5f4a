"""mutt and neomutt, in a terminal: copy all down, upload, flags, deletion, and IDLE."""

import mail
import program

CONFIG = """
set folder="imaps://{name}@localhost:{imaps}/"
set spoolfile="+INBOX"
set imap_user="{name}"
set imap_pass="{password}"
set ssl_force_tls=yes
set ssl_ca_certificates_file="{ca}"
set certificate_file="{folder}/accepted"
set ssl_verify_host=yes
set imap_idle=yes
set imap_keepalive=30
set timeout=1
set mail_check=1
set mbox_type=Maildir
set charset=utf-8
set confirmappend=no
set confirmcreate=no
set delete=yes
set quit=yes
set move=no
set sleep_time=0
set wait_key=no
set wrap_search=no
set sort=mailbox-order
set header_cache="{folder}/cache"
set message_cachedir="{folder}/bodies"
set index_format="%4C %Z %s"
set record=""
"""


def test_mutt(account):
    yield from both("mutt", account)


def test_neomutt(account):
    yield from both("neomutt", account)


def both(client, account):
    home = mail.household(unix=True)
    account.fill(home)
    config = account.folder / "muttrc"
    (account.folder / "cache").mkdir()
    (account.folder / "bodies").mkdir()
    config.write_text(CONFIG.format(name=account.name, imaps=account.server.imaps, password=account.password,
                                    ca=account.server.ca, folder=account.folder))

    def keys(pushed, mailbox="+INBOX"):
        with program.Terminal([client, "-n", "-F", config, "-f", mailbox, "-e", f'push "{pushed}"'], account) as terminal:
            terminal.end()

    for n, (mailbox, expected) in enumerate(home.items()):
        copied = account.folder / f"copied{n}"
        keys(f"<tag-pattern>~A<enter><tag-prefix><copy-message>{copied}<enter><quit>", f"+{mailbox}")
        assert len(mail.read_maildir(copied)) == len(expected), mailbox
    # A copy has the client's own headers (Content-Length, Lines); its cache has what the server gave it.
    cached = [mail.Mail(file.read_bytes()) for file in (account.folder / "bodies").rglob("*") if file.is_file()]
    keeps = lambda message: client == "mutt" or mail.crlf(message.content).partition(b"\r\n\r\n")[2]  # neomutt keeps no empty body
    mail.same([message for messages in home.values() for message in messages if keeps(message)],
              [message for message in cached if keeps(message)], mail.text)
    yield f"{mail.count(home)} messages down"

    local = account.folder / "local"
    for n, message in enumerate(home["Viel"][:3]):
        mail.drop(local, message.content, f"179000000{n}.M1P1.host", "S")
    keys("<tag-pattern>~A<enter><tag-prefix><copy-message>+Archive/2024/Reisen<enter><quit>", local)
    keys("<tag-pattern>~s 'generated 17'<enter><tag-prefix><save-message>+Neu/Größe<enter><quit>")
    keys("<tag-pattern>~s 'generated 1[89]'<enter><tag-prefix><flag-message><quit>")
    keys("<delete-pattern>~s 'generated 2[0-4]'<enter><quit>")
    now = account.read()
    mail.same(home["Archive/2024/Reisen"] + home["Viel"][:3], now["Archive/2024/Reisen"], mail.text_without("Content-Length", "Lines", "Status"))
    assert [b"<generated-17@" in message.content for message in now["Neu/Größe"]] == [True]
    gone = {f"<generated-{n}@".encode() for n in (17, 20, 21, 22, 23, 24)}
    mail.same([message for message in home["INBOX"] if not any(part in message.content for part in gone)], now["INBOX"], mail.content)
    flagged = {message.content for message in now["INBOX"] if "\\Flagged" in message.flags}
    assert len([content for content in flagged if b"<generated-18@" in content or b"<generated-19@" in content]) == 2
    yield "upload, save to a new mailbox, flag, delete"

    with program.Terminal([client, "-n", "-F", config, "-f", "+Neu/Größe"], account) as terminal:
        terminal.until(b"Generated 17")
        account.add("Neu/Größe", b"From: they@example.org\r\nSubject: pushed to the index\r\n\r\nnow\r\n")
        took = terminal.until(b"pushed to the index", 10)
        print(f"figure: {client} showed a new message after {took * 1000:.0f} ms")
        terminal.type("q")
        terminal.end()
    yield "shows new mail while it is open"
