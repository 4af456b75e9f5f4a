"""Logs in to the demo as a mail program would, fetches everything, and looks into it: demo.py PORT CA.PEM"""

import email
import email.policy
import imaplib
import ssl
import struct
import sys
import zlib


def check_picture(png):
    """Checksums and all: a mail program shows nothing where one is wrong."""
    at, kinds = 8, []
    while at < len(png):
        (length,) = struct.unpack(">I", png[at : at + 4])
        kind, data = png[at + 4 : at + 8], png[at + 8 : at + 8 + length]
        assert zlib.crc32(kind + data) == struct.unpack(">I", png[at + 8 + length : at + 12 + length])[0]
        if kind == b"IDAT":
            zlib.decompress(data)
        kinds.append(kind)
        at += 12 + length
    assert kinds[0] == b"IHDR" and kinds[-1] == b"IEND", kinds


client = imaplib.IMAP4_SSL("localhost", int(sys.argv[1]), ssl_context=ssl.create_default_context(cafile=sys.argv[2]))
client.login("demo", "postern-demo")
messages, subjects, pictures, largest = 0, [], 0, 0
for mailbox in ["INBOX", "Sent", "Drafts"]:
    client.select(mailbox, readonly=True)
    for number in client.search(None, "ALL")[1][0].split():
        raw = client.fetch(number, "(FLAGS RFC822.SIZE BODY.PEEK[])")[1][0][1]
        message = email.message_from_bytes(raw, policy=email.policy.default)
        messages += 1
        subjects.append(message["subject"])
        for part in message.walk():
            assert not part.defects, (message["subject"], part.defects)
            if part.get_content_type() == "image/png":
                check_picture(part.get_content())
                pictures += 1
            elif part.get_content_type() == "application/zip":
                largest = len(part.get_content())
client.logout()
assert any("花見" in subject and "🌸" in subject for subject in subjects), subjects
assert pictures == 2 and largest > 10_000_000, (pictures, largest)
print("messages", messages)
