"""mbsync (isync): a whole account both ways."""

import mail
import program
from postern import must

CONFIG = """
IMAPAccount a
Host localhost
Port {imaps}
User {name}
Pass {password}
SSLType IMAPS
CertificateFile {ca}
SystemCertificates no

IMAPStore far
Account a

MaildirStore near
SubFolders Verbatim
Path {folder}/mail/
Inbox {folder}/mail/INBOX

Channel c
Far :far:
Near :near:
Patterns *
Create Both
Remove Both
Expunge Both
CopyArrivalDate yes
SyncState *
"""


def test_mbsync(account):
    home = mail.household(unix=True)
    account.fill(home)
    config, root = account.folder / "mbsyncrc", account.folder / "mail"
    root.mkdir()
    config.write_text(CONFIG.format(imaps=account.server.imaps, name=account.name, password=account.password,
                                    ca=account.server.ca, folder=account.folder))
    sync = lambda: program.run(["mbsync", "-c", config, "c"], account)
    here = lambda: mail.read_maildirs(root, "/")

    sync()
    mail.same_mailboxes(home, here(), mail.text_flags_date)
    yield f"{mail.count(home)} messages down, with flags and dates"

    # Here: new mail, flags, a deletion, a new mailbox, a mailbox that goes.
    mail.drop(root / "INBOX", b"From: me@example.org\nSubject: written here\n\nup it goes\n", "1790000001.M1P1.host", "S")
    mail.drop(root / "Neu" / mail.utf7("Größe"), home["日本語/メール"][1].content, "1790000002.M1P1.host", "F")
    mail.flags_of(mail.find(root / "INBOX", b"<generated-1@"), lambda letters: set(letters) ^ {"F", "R"})
    mail.flags_of(mail.find(root / "INBOX", b"<generated-2@"), lambda letters: set(letters) | {"T"})
    # There: new mail, flags, a deletion, a move.
    account.add("Archive/2024/Reisen", b"From: they@example.org\r\nSubject: written there\r\n\r\ndown it goes\r\n")
    with account.session() as client:
        must(client.select("Viel"))
        must(client.store("1:10", "FLAGS", "(\\Flagged)"))
        must(client.uid("MOVE", "11:20", "INBOX"))
        must(client.store("1:5", "+FLAGS", "(\\Deleted)"))
        must(client.expunge())
        must(client.create("Dort"))
    sync()
    there = account.read()
    mail.same_mailboxes(there, here(), mail.text_and_flags)
    texts = {mailbox: [mail.text(message) for message in messages] for mailbox, messages in there.items()}
    assert len(there["INBOX"]) == len(home["INBOX"]) + 1 - 1 + 10 and len(there["Viel"]) == 100 - 10 - 5
    assert any(b"written here" in text for text in texts["INBOX"])
    assert any(b"written there" in text for text in texts["Archive/2024/Reisen"])
    assert not any(b"<generated-2@" in text for text in texts["INBOX"])
    assert texts["Neu/Größe"] == [mail.text(home["日本語/メール"][1])] and there["Neu/Größe"][0].flags == {"\\Flagged"}
    assert (root / "Dort" / "cur").is_dir()
    assert len([message for message in there["Viel"] if message.flags == {"\\Flagged"}]) >= 5
    yield "changes of both sides meet"

    sync()
    assert account.read() == there
    mail.same_mailboxes(there, here(), mail.text_and_flags)
    yield "a third sync changes nothing"
