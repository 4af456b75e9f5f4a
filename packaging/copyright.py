#!/usr/bin/env python3
"""Prints the package's copyright file (DEP-5): Postern's own, and a paragraph for each crate linked into it.

copyright.py TARGET, e.g. x86_64-unknown-linux-gnu. Where a crate offers several licences, the one is named
under which it is distributed here: the first of CHOICE.
"""

import json
import re
import subprocess
import sys
from pathlib import Path

CHOICE = ["MIT", "Apache-2.0", "ISC", "BSD-3-Clause", "BSD-2-Clause", "BSL-1.0", "CC0-1.0", "Unicode-3.0",
          "bzip2-1.0.6"]
DEBIAN_NAMES = {"MIT": "Expat"}
COMMON = {"Apache-2.0": "Apache-2.0", "CC0-1.0": "CC0-1.0"}
"""Those whose text every Debian system has; of the others a crate's own file has it, known by these words."""
WORDS = {
    "MIT": "Permission is hereby granted, free of charge",
    "ISC": "Permission to use, copy, modify, and/or distribute this software for any",
    "BSD-3-Clause": "Neither the name",
    "BSD-2-Clause": "Redistributions in binary form must reproduce",
    "BSL-1.0": "Boost Software License - Version 1.0",
    "Unicode-3.0": "UNICODE LICENSE V3",
    "bzip2-1.0.6": "The origin of this software must not be misrepresented",
}
BEGINS = {
    "MIT": r"Permission is hereby granted, free of charge",
    "ISC": r"Permission to use, copy, modify",
    "BSD-3-Clause": r"Redistribution and use",
    "BSD-2-Clause": r"Redistribution and use",
    "BSL-1.0": r"Boost Software License",
    "Unicode-3.0": r"UNICODE LICENSE V3",
    "bzip2-1.0.6": r"Redistribution and use",
}


def main(target):
    packages = linked(target)
    print(HEAD)
    used = {}
    for package in packages:
        names = licences(package["license"], package["name"])
        files = licence_files(package)
        for name in names:
            used.setdefault(name, []).append((package, files))
        holders = copyright_lines(package, files)
        print(f"Files: crates/{package['name']}-{package['version']}/*")
        print("Copyright: " + "\n ".join(holders))
        print("License: " + " and ".join(DEBIAN_NAMES.get(name, name) for name in names) + "\n")
    used.setdefault("MIT", [])
    used.setdefault("Apache-2.0", [])
    for name in sorted(used):
        print(f"License: {DEBIAN_NAMES.get(name, name)}")
        print(indented(text(name, used[name])) + "\n")


def linked(target):
    """The crates that are linked in: no build scripts, no macros."""
    tree = run("cargo", "tree", "--locked", "--target", target, "-e", "normal,no-proc-macro",
               "--prefix", "none", "-f", "{p}")
    names = {tuple(line.split()[:2]) for line in tree.splitlines()}
    names = {(name, version.removeprefix("v")) for name, version in names if name != "postern"}
    metadata = json.loads(run("cargo", "metadata", "--locked", "--format-version", "1"))
    found = [p for p in metadata["packages"] if (p["name"], p["version"]) in names]
    assert len(found) == len(names), "cargo tree and cargo metadata do not agree"
    return sorted(found, key=lambda p: (p["name"], p["version"]))


def run(*command):
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


def licences(expression, crate):
    """All that an expression asks for, of alternatives the first of CHOICE."""
    needed = []
    for part in re.split(r"\s+AND\s+(?![^(]*\))", expression or ""):
        offered = [name.strip() for name in re.split(r"\s+OR\s+|/", part.strip("() "))]
        chosen = next((name for name in CHOICE if name in offered), None)
        if chosen is None:
            sys.exit(f"copyright.py: {crate}: no licence of {expression!r} is known here")
        needed.append(chosen)
    return needed


def licence_files(package):
    folder = Path(package["manifest_path"]).parent
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file() and len(path.relative_to(folder).parts) <= 3
             and re.match(r"(LICEN[CS]E|COPYING|COPYRIGHT|NOTICE)", path.name, re.I)]
    return [path.read_text(errors="replace") for path in paths]


def copyright_lines(package, files):
    """Who holds it: what its licence files say, else its authors."""
    lines = []
    for content in files:
        for line in content.splitlines():
            line = line.strip(" \t*#/")
            if re.match(r"(Copyright\s+(\(c\)|©|[12]\d\d\d))|(\(c\) [12]\d\d\d)", line, re.I) and "[yyyy]" not in line:
                line = re.sub(r"^(Copyright\s*)?(\(c\)|©)?\s*", "", line, flags=re.I)
                lines.append(" ".join(re.sub(r"\s*All rights reserved\.?", "", line, flags=re.I).split()).rstrip(","))
    lines = list(dict.fromkeys(line for line in lines if line))[:20]
    return lines or package["authors"] or [f"The authors of {package['name']} ({package['repository']})"]


def text(name, users):
    if name in COMMON:
        return f"On Debian systems the full text is in /usr/share/common-licenses/{COMMON[name]}."
    for _, files in users:
        # The shortest: one that holds nothing else.
        for content in sorted(files, key=len):
            words, begin = WORDS[name], re.search(BEGINS[name], content)
            if begin and words in " ".join(content.split()):
                return content[begin.start():].rstrip()
    sys.exit(f"copyright.py: no linked crate has the text of {name}")


def indented(content):
    lines = (line.strip() for line in content.splitlines())
    return "\n".join(f" {line}" if line else " ." for line in lines)


HEAD = """\
Format: https://www.debian.org/doc/packaging-manuals/copyright-format/1.0/
Upstream-Name: Postern
Comment:
 The program is linked statically with the crates (libraries written in Rust)
 below, which are not part of its source. Where one of them offers several
 licences, the one is named under which it is distributed here.

Files: *
Copyright: 2026 The Postern contributors
License: Expat or Apache-2.0
"""

main(sys.argv[1])
