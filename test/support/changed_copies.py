"""Copies of files of libha with some texts changed, for builds that need code to be another.

A script that names the changes ends with run(), and is called by wardom_changed_copies() of
cmake/changed_copies.cmake:

    SCRIPT --files                               the files that it changes
    SCRIPT LIBHA_DIR LAYER/FILE.cpp OUTPUT.cpp   one copy

Each text must stand in its file exactly once. A change of the code that moves one of them stops the
build here, so that no change is quietly left out.
"""
import sys


def run(changes, head=""):
    """changes: by file, pairs of a text and what to write for it. `head` begins each copy."""
    if sys.argv[1:] == ["--files"]:
        print(";".join(sorted(changes)))
        sys.exit(0)
    libha, name, output = sys.argv[1:]
    with open(f"{libha}/{name}", encoding="utf-8") as source:
        text = source.read()
    for old, new in changes[name]:
        if text.count(old) != 1:
            sys.exit(f"{sys.argv[0]}: {name} has no single place for:\n{old}")
        text = text.replace(old, new)
    with open(output, "w", encoding="utf-8") as copy:
        copy.write(head + text)
