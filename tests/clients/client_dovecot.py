"""Dovecot's own sync over IMAP (imapc): doveadm backup and doveadm sync of a whole account."""

import mail
import program
from postern import must

CONFIG = """
mail_location = maildir:{folder}/mail:LAYOUT=fs:UTF-8
mail_uid = {uid}
mail_gid = {gid}
first_valid_uid = 0
first_valid_gid = 0
base_dir = {folder}/run
state_dir = {folder}/state
log_path = /dev/stderr
ssl = required
ssl_client_ca_file = {ca}
ssl_client_require_valid_cert = yes
imapc_host = 127.0.0.1
imapc_port = {imaps}
imapc_ssl = imaps
imapc_ssl_verify = yes
imapc_user = {name}
imapc_password = {password}
imapc_features = {features}
imapc_list_prefix =
namespace inbox {{
  inbox = yes
  separator = /
}}
"""


def test_dovecot(account):
    home = mail.household(unix=True)
    account.fill(home)
    config = account.folder / "dovecot.conf"
    program.give_away(account.folder)  # doveadm reads no mail as root

    def doveadm(*arguments, features="rfc822.size fetch-headers search modseq"):
        config.write_text(CONFIG.format(imaps=account.server.imaps, name=account.name, password=account.password,
                                        ca=account.server.ca, folder=account.folder, features=features,
                                        uid=program.OWNER, gid=program.OWNER))
        return program.run(["doveadm", "-c", config, *arguments], account, USER=account.name)
    root = account.folder / "mail"

    def here():
        found = mail.read_maildirs(root, "/")
        found["INBOX"] = found.pop(".", [])
        return found

    doveadm("backup", "-R", "imapc:")
    mail.same_mailboxes(home, here(), mail.text_and_flags)
    yield f"{mail.count(home)} messages down, with flags"

    # Both ways: a sync without a direction. Dovecot finds what is the same by GUID; over IMAP it needs headers for that.
    mail.drop(root, b"From: me@example.org\nSubject: from dovecot\n\nup\n", "1790000001.M1P1.host", "S")
    mail.flags_of(mail.find(root, b"<generated-1@"), lambda letters: set(letters) ^ {"F", "R"})
    mail.find(root, b"<generated-2@").unlink()
    account.add("Archive/2024/Reisen", b"From: they@example.org\r\nSubject: written there\r\n\r\ndown it goes\r\n")
    with account.session() as client:
        must(client.select("Viel"))
        must(client.store("1:5", "+FLAGS", "(\\Deleted)"))
        must(client.expunge())
        must(client.create("Dort"))
    program.give_away(root)
    doveadm("sync", "-1", "imapc:")
    doveadm("backup", "-R", "imapc:")
    there = account.read()
    mail.same_mailboxes(there, here(), mail.text_and_flags)
    yield "changes of both sides meet"
