"""curl: what a script does with it."""

import mail
import program


def test_curl(account):
    home = mail.household()
    account.fill(home)
    url = f"imaps://localhost:{account.server.imaps}"
    login = ["-sS", "-u", f"{account.name}:{account.password}"]
    curl = lambda *arguments, code=0: program.run(
        ["curl", "--cacert", account.server.ca, *login, *arguments], account, code)

    for n in (1, 7, 30, len(home["INBOX"])):
        assert curl(f"{url}/INBOX;MAILINDEX={n}") == home["INBOX"][n - 1].content, n
        assert curl(f"{url}/INBOX;UID={n}") == home["INBOX"][n - 1].content, n
    head, _, body = home["INBOX"][3].content.partition(b"\r\n\r\n")
    assert curl(f"{url}/INBOX;UID=4;SECTION=HEADER") == head + b"\r\n\r\n"
    assert curl(f"{url}/INBOX;UID=4;SECTION=TEXT") == body
    reisen = curl(f"{url}/Archive%2F2024%2FReisen;MAILINDEX=2")
    assert reisen == home["Archive/2024/Reisen"][1].content
    encoded = mail.utf7("日本語/メール").replace("&", "%26").replace("/", "%2F")
    assert curl(f"{url}/{encoded};MAILINDEX=1") == home["日本語/メール"][0].content
    yield "fetches by number, UID and section, byte for byte"

    assert {mail.listed(row) for row in curl(f"{url}/").split(b"\r\n") if row} >= home.keys()
    assert curl(f"{url}/INBOX?SUBJECT%20%22generated%2017%22").startswith(b"* SEARCH ")
    assert b"MESSAGES 100" in curl("-X", "STATUS Viel (MESSAGES)", url)
    assert b"postern" in curl("-X", 'ID ("name" "curl")', url).lower()
    yield "list, search, status, ID"

    upload = account.folder / "upload.eml"
    upload.write_bytes(home["INBOX"][5].content)
    curl("-T", upload, f"{url}/Archive")
    curl("-X", "STORE 1 +FLAGS (\\Flagged $Done)", f"{url}/Archive")
    curl("-X", "CREATE Neu", url)
    curl("-X", "COPY 1:3 Neu", f"{url}/INBOX")
    now = account.read()
    assert [(message.content, message.flags >= {"\\Flagged", "$Done"}) for message in now["Archive"]] == [(home["INBOX"][5].content, True)]
    mail.same(home["INBOX"][:3], now["Neu"], mail.content)  # FETCH BODY[] set \\Seen on the way
    yield "append, flags, create, copy"

    program.run(["curl", *login, f"{url}/"], account, code=60)
    curl("--resolve", f"mail.example.org:{account.server.imaps}:127.0.0.1", f"imaps://mail.example.org:{account.server.imaps}/", code=60)
    curl("-u", f"{account.name}:wrong", f"{url}/", code=67)
    starttls = f"imap://localhost:{account.server.imap}/INBOX;UID=1"
    assert curl("--ssl-reqd", starttls) == home["INBOX"][0].content
    yield "refuses without the CA, another host's name, a wrong password; STARTTLS"
