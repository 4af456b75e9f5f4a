"""The page on coming from Dovecot: its Maildir watched side by side, and brought along once; its mdbox by way of
`doveadm backup`."""

import contextlib
import imaplib
import re
import subprocess

import mail
import postern
import ways

# Dovecot's `imap` and `doveadm` of an instance of its own: no port is opened.
CONFIG = """
mail_location = {location}
mailbox_list_index = no
protocols =
base_dir = {folder}/base
state_dir = {folder}/state
log_path = {folder}/log
mail_fsync = never
first_valid_uid = 1
first_valid_gid = 1
ssl = no
userdb {{
  driver = static
  args = uid={user} gid={group} home={home}
}}
passdb {{
  driver = static
  args = nopassword=y
}}
service auth {{
  unix_listener auth-userdb {{
    mode = 0666
  }}
}}
service stats {{
  unix_listener stats-writer {{
    mode = 0666
  }}
}}
namespace inbox {{
  inbox = yes
  separator = /
}}
"""
PACKING = """
mail_plugins = zlib
plugin {{
  zlib_save = {0}
}}
"""
KEYWORDS = frozenset({"$Forwarded", "Kunde", "$label1"})


class Dovecot(postern.Account):
    """An account there; what its `session` gives is Dovecot's own imap, run as the user."""

    def __init__(self, home, location, packing=None):
        self.home, self.root = home, home.folder / "dovecot"
        self.root.mkdir(mode=0o755)
        self.config = self.root / "dovecot.conf"
        group = subprocess.run(["id", "-gn", ways.ANNA], capture_output=True, text=True, check=True).stdout.strip()
        config = CONFIG.format(folder=self.root, location=location, user=ways.ANNA, group=group, home=home.anna)
        self.config.write_text(config + (PACKING.format(packing) if packing else ""))
        stub = home.folder / "bin/doveadm"
        stub.write_text(f'#!/bin/sh\nexec /usr/bin/doveadm -c {self.config} "$@"\n')
        stub.chmod(0o755)

    @contextlib.contextmanager
    def running(self):
        process = subprocess.Popen(["dovecot", "-F", "-c", self.config], stdin=subprocess.DEVNULL)
        try:
            ways.wait((self.root / "base/auth-userdb").exists, "Dovecot")
            yield self
        except BaseException:
            print("the end of Dovecot's log:", *(self.root / "log").read_text().splitlines()[-15:], sep="\n")
            raise
        finally:
            process.terminate()
            process.wait(20)

    def session(self):
        return imaplib.IMAP4_stream(f"env HOME={self.home.anna} USER=anna {self.home.folder}/bin/sudo -u {ways.ANNA} "
                                    f"/usr/lib/dovecot/imap -c {self.config} 2>>{self.root}/imap.log")


def whole(message):
    """For `same`: content, flags, keywords and date; without the line of an mbox before it, which an import leaves out."""
    flags = frozenset(flag.lower() for flag in message.flags)
    return re.sub(rb"\AFrom .*\r\n", b"", mail.canonical(message.content)), flags, message.date


def keyworded(household):
    """The household, with keywords on some of it."""
    words = [frozenset(), KEYWORDS, frozenset({"Kunde"})]
    return {mailbox: [mail.Mail(message.content, message.flags | words[n % 3], message.date)
                      for n, message in enumerate(messages)] for mailbox, messages in household.items()}


def test_way_dovecot(account):
    household = keyworded(mail.household(unix=True))
    count = mail.count(household)
    machine = ways.Home(account)
    with machine.running() as home:
        page = home.page("Coming from Dovecot")
        with Dovecot(home, "maildir:~/Maildir").running() as dovecot:
            dovecot.fill(household)
            mail.same_mailboxes(household, dovecot.read(), whole)
            before = tree(home.anna / "Maildir")
            home.run(page.block("**Side by side.**").replace("u:postern:", f"u:{ways.POSTERN}:"))
            found = home.holds(count)
            mail.same_mailboxes(household, found, whole)
            assert tree(home.anna / "Maildir") == before, "the Maildir has changed"
            yield f"{count} messages of a watched Maildir, with folders, flags, keywords and dates"

            dovecot.add("Viel", b"From: they@example.org\r\nSubject: later\r\n\r\nnow\r\n")
            dovecot.add("Neu/Größe", b"From: they@example.org\r\nSubject: in a new one\r\n\r\nnow\r\n")
            found = home.holds(count + 2)
            assert len(found["Viel"]) == 101 and len(found["Neu/Größe"]) == 1
            problem = home.run("sudo postern source list")
            assert "cannot" not in problem and "may not" not in problem, problem
            yield "what comes to Dovecot later, into a new folder too, is seen"

            home.run("sudo postern account add other --password-stdin", stdin=postern.OWN_PASSWORD)
            other = postern.Account(home, "other", None, postern.OWN_PASSWORD, home.anna)
            block = page.block("**Once and for all, from a Maildir.**").replace("--account anna", "--account other")
            home.run(block)
            mail.same_mailboxes(dovecot.read(), other.read(), whole)
            home.run(block)
            assert mail.count(other.read()) == count + 2
            yield "the same by import; a second import brings nothing twice"

        dovecot.root.rename(home.folder / "dovecot-maildir")
        with Dovecot(home, "mdbox:~/mdbox").running() as dovecot:
            dovecot.fill(household)
            home.run("sudo postern account add third --password-stdin", stdin=postern.OWN_PASSWORD)
            third = postern.Account(home, "third", None, postern.OWN_PASSWORD, home.anna)
            home.run(page.block("**From mdbox").replace("--account anna", "--account third"))
            mail.same_mailboxes(household, third.read(), whole)
            assert not list((home.folder / "srv").glob("anna*"))
            yield f"{count} messages from mdbox by doveadm backup, with folders, flags, keywords and dates"


def test_way_dovecot_packed(account):
    """What its plugin `zlib` packs comes as it was: one Maildir watched, the others imported."""
    household = mail.household(unix=True)
    count = mail.count(household)
    starts = {"gz": b"\x1f\x8b", "zstd": b"\x28\xb5\x2f\xfd", "bz2": b"BZh", "lz4": b"Dovecot-LZ4"}
    machine = ways.Home(account)
    with machine.running() as home:
        for packing, start in starts.items():
            maildir = home.anna / f"Maildir-{packing}"
            with Dovecot(home, f"maildir:~/{maildir.name}", packing).running() as dovecot:
                dovecot.fill(household)
            dovecot.root.rename(home.folder / f"dovecot-{packing}")
            files = [path for path in maildir.rglob("*") if path.parent.name in ("cur", "new") and path.is_file()]
            assert len(files) == count and all(path.read_bytes().startswith(start) for path in files)
            home.run(f"sudo postern account add {packing} --password-stdin", stdin=postern.OWN_PASSWORD)
            home.mine = postern.Account(home, packing, None, postern.OWN_PASSWORD, home.anna)
            if packing == "gz":
                home.run(f"setfacl -m u:{ways.POSTERN}:x {home.anna}; setfacl -R -m u:{ways.POSTERN}:rwX {maildir}; "
                         f"sudo postern source add {maildir} --account {packing} --after keep")
            else:
                home.run(f"sudo postern import {maildir} --account {packing}")
            mail.same_mailboxes(household, home.holds(count), whole)
            yield f"{count} messages of a Maildir under {packing}"


def tree(root):
    """What is below a folder, but for Dovecot's own files, which it writes when it likes."""
    return {(str(path.relative_to(root)), path.stat().st_mtime_ns, path.stat().st_size) for path in root.rglob("*")
            if path.is_file() and not path.name.startswith("dovecot")}
