#!/usr/bin/env python3
"""Checks the licences of all dependencies against deny.toml, where cargo-deny itself is not installed.

Reads the same `[licenses]` table: what is linked in must be allowed, for everybody or by exception. Nothing of
cargo-deny's other checks (advisories, sources, duplicate versions) is done here.
"""

import json
import re
import subprocess
import sys
import tomllib


def allowed_by(expression: str, allowed: set[str]) -> bool:
    """Whether an SPDX expression can be met with the allowed licences alone."""
    tokens = re.findall(r"\(|\)|[^\s()]+", expression.replace("/", " OR "))

    def alternatives() -> bool:
        result = conjunction()
        while tokens and tokens[0] == "OR":
            tokens.pop(0)
            result = conjunction() or result
        return result

    def conjunction() -> bool:
        result = term()
        while tokens and tokens[0] == "AND":
            tokens.pop(0)
            result = term() and result
        return result

    def term() -> bool:
        token = tokens.pop(0)
        if token == "(":
            result = alternatives()
            tokens.pop(0)
            return result
        if tokens and tokens[0] == "WITH":
            tokens.pop(0)
            token = f"{token} WITH {tokens.pop(0)}"
        return token in allowed

    return alternatives()


def main() -> None:
    with open(sys.argv[1], "rb") as file:
        table = tomllib.load(file)["licenses"]
    everybody = set(table["allow"])
    exceptions = {entry["crate"]: set(entry["allow"]) for entry in table.get("exceptions", [])}
    command = ["cargo", "metadata", "--locked", "--format-version", "1"]
    metadata = json.loads(subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout)
    wrong = []
    for package in metadata["packages"]:
        if package["source"] is None:  # ours
            continue
        licence = package["license"] or "none"
        if not allowed_by(licence, everybody | exceptions.get(package["name"], set())):
            wrong.append(f"{package['name']} {package['version']}: {licence}")
    if wrong:
        sys.exit("deny.toml allows no such licence:\n  " + "\n  ".join(sorted(wrong)))
    print(f"licences: {len(metadata['packages'])} packages, all allowed by {sys.argv[1]}")


main()
