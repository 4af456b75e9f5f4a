"""restic and borg over the folder of a backup: what they bring back is restored, and a second generation costs what is new."""

import base64
import json
import os
import pathlib
import random
import subprocess

import mail
import program

PASSPHRASE = "four words of chance\n"
MEBI = 1 << 20
LARGE = 60  # messages of a MiB that are compressed by a quarter: three packs


def test_restic(account):
    repository = account.folder / "repository"
    environment = {"RESTIC_PASSWORD": "x", "RESTIC_REPOSITORY": str(repository), "RESTIC_CACHE_DIR": str(account.folder / "cache")}
    restic = lambda *arguments: program.run(["restic", "--quiet", *arguments], account, **environment)
    restic("init")

    def save(folder, name):
        lines = restic("backup", "--json", "--tag", name, folder).splitlines()
        return json.loads(lines[-1])["data_added"]

    def bring(folder, name, target):
        restic("restore", "latest", "--tag", name, "--target", target)
        return target / folder.relative_to("/")

    yield from copies(account, save, bring, [])


def test_borg(account):
    repository = account.folder / "repository"
    environment = {"BORG_PASSPHRASE": "x", "BORG_REPO": str(repository), "BORG_BASE_DIR": str(account.folder / "borg")}
    program.run(["borg", "init", "--encryption=repokey"], account, **environment)

    def save(folder, name):
        told = program.run(["borg", "create", "--json", f"::{name}", folder], account, **environment)
        return json.loads(told)["archive"]["stats"]["deduplicated_size"]

    def bring(folder, name, target):
        target.mkdir()
        subprocess.run(["borg", "extract", f"::{name}"], cwd=target, env={**os.environ, **environment}, check=True, timeout=60)
        return target / folder.relative_to("/")

    # Of an encrypted one nothing can be told apart, and nothing needs to be.
    yield from copies(account, save, bring, ["--encrypt", "--passphrase-stdin"])


def copies(account, save, bring, encrypt):
    stick = account.folder / "stick"
    seeded = random.Random(account.name)
    account.fill({"Large": [mail.Mail(large(seeded, n)) for n in range(LARGE)], **mail.household()})
    first = account.read()
    account.server.command("backup", stick, "--same-disk", *encrypt, stdin=PASSPHRASE * 2 if encrypt else "")
    packs = names(stick / "packs")
    assert len(packs) >= 3, packs
    save(stick, "first")
    yield "takes the folder of a backup"

    account.fill({"Neu": [mail.Mail(large(seeded, n)) for n in range(LARGE, LARGE + 3)]})
    second = account.read()
    account.server.command("backup", stick)
    assert names(stick / "packs") > packs, "no pack is changed or gone"
    new = [*(names(stick / "packs") - packs), *names(stick / "generations")]
    new = sum(path.stat().st_size for path in stick.glob("*/*") if path.name in new)
    added = save(stick, "second")
    print(f"figure: {account.name} added {added} bytes for {new} new ones of {size(stick)}")
    assert added < new * 1.05 + MEBI and new < 6 * MEBI, (added, new)
    yield "of the second generation it adds only what is new"

    for name, held in (("first", first), ("second", second)):
        copy = bring(stick, name, account.folder / f"copy-{name}")
        data = account.folder / f"data-{name}"
        told = postern(account, "restore", copy, *encrypt[1:], data=data)
        assert " are back as of " in told, told
        assert "all is well" in postern(account, "check", data=data)
        assert exported(account, data) == sum(map(len, held.values())), name
    assert contents(stick) == contents(copy)
    yield "what it brings back is restored, and check finds nothing"


def large(seeded, n):
    body = base64.encodebytes(seeded.randbytes(MEBI * 3 // 4)).replace(b"\n", b"\r\n")
    return b"From: a@example.org\r\nSubject: large %d\r\n\r\n" % n + body


def names(folder):
    return {path.name for path in folder.iterdir()}


def size(folder):
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def postern(account, *arguments, data):
    done = subprocess.run([account.server.binary, *map(str, arguments), "--data", str(data)], input=PASSPHRASE, text=True,
                          capture_output=True, timeout=120, cwd=account.folder)
    assert done.returncode == 0, (arguments, done.stdout, done.stderr)
    return done.stdout


def exported(account, data):
    """How many messages the account has in a store."""
    out = pathlib.Path(f"{data}-out")
    postern(account, "export", "--account", account.name, "--format", "eml", out, data=data)
    return sum(1 for path in out.rglob("*.eml"))
