"""Messages: real samples, what an account holds at first, and comparing what two sides hold."""

import dataclasses
import email.message
import hashlib
import imaplib
import os
import pathlib
import random
import re
import time

PYTHON_TESTS = pathlib.Path("/usr/lib")  # Debian's libpython3.*-testsuite
FLAGS = [frozenset(), frozenset({"\\Seen"}), frozenset({"\\Seen", "\\Flagged"}), frozenset({"\\Answered", "\\Seen"}),
         frozenset({"\\Draft"}), frozenset({"$Forwarded", "\\Seen"})]
FIRST_DATE = 1_700_000_000
SOUND_HEAD = re.compile(rb"([!-9;-~]+:[^\r\n]*\r\n([ \t]+\S[^\r\n]*\r\n)*)+\r\n")
LONE_CR = re.compile(rb"\r(?!\n)")


@dataclasses.dataclass(frozen=True)
class Mail:
    """One message with its flags and the time it arrived. Two are the same if all three are."""
    content: bytes
    flags: frozenset = frozenset()
    date: int = FIRST_DATE

    @property
    def name(self):
        found = re.search(rb"(?im)^Subject:[^\n]*", self.content)
        return f"{hashlib.sha256(self.content).hexdigest()[:12]} {found.group(0)[:40] if found else ''}"


def crlf(content):
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def python_samples():
    """The messages that Python's own email tests read."""
    files = sorted(PYTHON_TESTS.glob("python3*/test/test_email/data/msg_*.txt"))
    assert len(files) >= 45, "install libpython3.*-testsuite"
    return [crlf(file.read_bytes()) for file in files]


def crate_samples(kind):
    """The messages of the crate mail-parser: kind is legacy, malformed, rfc or thirdparty."""
    folder = pathlib.Path(os.environ["TOOLS"]) / "samples" / "vendor" / "mail-parser"
    files = sorted((folder / "resources" / "eml" / kind).glob("*.eml"))
    assert len(files) >= 10, f"no samples of {kind}"
    return [content for content in (crlf(file.read_bytes()) for file in files) if b"\0" not in content]


def generated(count):
    seeded = random.Random(7)
    for n in range(count):
        message = email.message.EmailMessage()
        message["From"] = f"Sender {n} <sender{n}@example.org>"
        message["To"] = "Ünïcode Person <to@example.net>"
        message["Subject"] = f"Generated {n}: こんにちは 🎉"
        message["Message-ID"] = f"<generated-{n}@example.org>"
        message["Date"] = "Mon, 02 Nov 2026 10:00:00 +0100"
        message.set_content("Zeile mit Umlauten: äöü\n" * seeded.randrange(1, 200))
        if n % 3 == 0:
            message.add_attachment(seeded.randbytes(seeded.randrange(1, 60000)), maintype="application",
                                   subtype="octet-stream", filename=f"datei-{n}.bin")
            message.set_boundary(f"part-of-{n}")
        yield crlf(message.as_bytes())


def household(unix=False):
    """What an account holds before a client first syncs: over 300 messages, none twice, in nested mailboxes.

    `unix` leaves out what clients that store with the line ends of Unix change or refuse: a lone CR, a head that has
    no end."""
    contents = {
        "INBOX": python_samples() + list(generated(60)),
        "Archive/2024/Reisen": crate_samples("legacy"),
        "Entwürfe & Ideen": crate_samples("malformed") + list(generated(75))[60:],
        "日本語/メール": crate_samples("rfc") + crate_samples("thirdparty"),
        "Viel": [crlf(f"From: list@example.org\nSubject: many {n}\nMessage-ID: <m{n}@example.org>\n\nNumber {n}\n".encode())
                 for n in range(100)],
    }
    seen, result, n = set(), {}, 0
    for mailbox, messages in contents.items():
        result[mailbox] = []
        for content in messages:
            if content and content not in seen and (not unix or survives_unix(content)):
                seen.add(content)
                result[mailbox].append(Mail(content, FLAGS[n % len(FLAGS)], FIRST_DATE + 3600 * n))
                n += 1
    return result


def survives_unix(content):
    return b"\r\n\r\n" in content and not LONE_CR.search(content)


def count(mailboxes):
    return sum(map(len, mailboxes.values()))


def canonical(content):
    """A message without what a client may change in it: line ends, and the mark that mbsync leaves."""
    lines = crlf(content).split(b"\r\n")
    end = lines.index(b"") if b"" in lines else len(lines)
    marks = (b"X-TUID:", b"X-OfflineIMAP:")
    return b"\r\n".join([line for line in lines[:end] if not line.startswith(marks)] + lines[end:])


def same(expected, found, key=lambda message: message):
    """Asserts that two lists of messages hold the same, in any order."""
    left, right = {}, {}
    for side, messages in ((left, expected), (right, found)):
        for message in messages:
            side.setdefault(key(message), []).append(message)
    wrong = [f"{len(left.get(k, []))} became {len(right.get(k, []))}: {(left.get(k) or right.get(k))[0].name} "
             f"{[sorted(m.flags) + [m.date] for m in left.get(k, []) + right.get(k, [])]}"
             for k in left.keys() | right.keys() if len(left.get(k, [])) != len(right.get(k, []))]
    assert not wrong, f"{len(wrong)} differ:\n" + "\n".join(sorted(wrong)[:6])


def same_mailboxes(expected, found, key=lambda message: message):
    """Asserts that two accounts hold the same; an empty mailbox is as good as none."""
    for mailbox in sorted(expected.keys() | found.keys()):
        try:
            same(expected.get(mailbox, []), found.get(mailbox, []), key)
        except AssertionError as wrong:
            raise AssertionError(f"{mailbox}: {wrong}") from None


def content(message):
    """For `same`: content alone, byte for byte."""
    return message.content


def text(message):
    """For `same`: content, whatever the line ends."""
    return canonical(message.content)


def text_without(*headers):
    """For `same`: the text without header lines that the client adds or takes away."""
    start = tuple(f"{header}:".encode() for header in headers)
    return lambda message: tuple(line for line in text(message).split(b"\r\n") if not line.startswith(start))


def sound_head(message):
    """Whether the head has a sound shape: some clients mend others."""
    return SOUND_HEAD.match(message.content) is not None


MAILDIR_FLAGS = {"D": "\\Draft", "F": "\\Flagged", "R": "\\Answered", "S": "\\Seen", "T": "\\Deleted"}


def text_and_flags(message):
    """For `same`: content and the flags that a Maildir can hold."""
    return canonical(message.content), message.flags & frozenset(MAILDIR_FLAGS.values())


def text_flags_date(message):
    return *text_and_flags(message), message.date


def make_maildir(path):
    for part in ("cur", "new", "tmp"):
        (path / part).mkdir(parents=True, exist_ok=True)
    return path


def drop(path, content, name, letters=""):
    """Puts a message into a Maildir as another program would."""
    make_maildir(path)
    final = path / "cur" / f"{name}:2,{letters}" if letters else path / "new" / name
    (path / "tmp" / name).write_bytes(content.replace(b"\r\n", b"\n"))
    (path / "tmp" / name).rename(final)
    return final


def read_maildir(path):
    found = []
    for part in ("cur", "new"):
        for file in sorted((path / part).iterdir()):
            letters = file.name.rsplit(":2,", 1)[1] if ":2," in file.name else ""
            flags = frozenset(MAILDIR_FLAGS[letter] for letter in letters if letter in MAILDIR_FLAGS)
            found.append(Mail(file.read_bytes(), flags, int(file.stat().st_mtime)))
    return found


def read_maildirs(root, separator):
    """All Maildirs below a folder, by mailbox name; folder names may be in modified UTF-7."""
    found = {}
    for cur in sorted(root.rglob("cur")):
        if cur.is_dir():
            name = str(cur.parent.relative_to(root)).replace(separator, "/")
            found[utf7_decode(name) if name.isascii() else name] = read_maildir(cur.parent)
    return found


def flags_of(path, change):
    """Renames a file of a Maildir to other flags: change maps the old letters to new ones."""
    base, _, letters = path.name.partition(":2,")
    path.rename(path.parent.parent / "cur" / f"{base}:2,{''.join(sorted(change(letters)))}")


def find(path, part):
    """The one file of a Maildir that holds these bytes."""
    found = [file for sub in ("cur", "new") for file in (path / sub).iterdir() if part in file.read_bytes()]
    assert len(found) == 1, f"{len(found)} files with {part}"
    return found[0]


def utf7(name):
    """Modified UTF-7, RFC 3501 §5.1.3."""
    out = re.sub("[^\x20-\x7e]+", lambda run: "&" + _base64(run.group(0)) + "-", name.replace("&", "&-"))
    return out


def _base64(run):
    import base64
    return base64.b64encode(run.encode("utf-16-be")).decode().rstrip("=").replace("/", ",")


def utf7_decode(name):
    import base64

    def run(found):
        inner = found.group(1)
        if not inner:
            return "&"
        inner = inner.replace(",", "/")
        return base64.b64decode(inner + "=" * (-len(inner) % 4)).decode("utf-16-be")
    return re.sub("&([^-]*)-", run, name)


def quoted(name):
    """A mailbox name as a command's argument."""
    return '"' + utf7(name).replace("\\", "\\\\").replace('"', '\\"') + '"'


def listed(row):
    """The name of a LIST answer."""
    name = row.rsplit(b' "/" ', 1)[1].decode("ascii")
    if name.startswith('"'):
        name = re.sub(r"\\(.)", r"\1", name[1:-1])
    return utf7_decode(name)


def fetched(head, content):
    flags = re.search(rb"FLAGS \(([^)]*)\)", head).group(1).decode().split()
    date = time.mktime(imaplib.Internaldate2tuple(head))
    return Mail(content, frozenset(flags) - {"\\Recent"}, int(date))
