#!/usr/bin/env python3
r"""Makes gitleaks.json, the shapes of secrets that are masked, of gitleaks' own rules.

    from_gitleaks.py VERSION gitleaks.toml LICENSE > gitleaks.json

`gitleaks.toml` is `config/gitleaks.toml` of a release of gitleaks (https://github.com/gitleaks/gitleaks, MIT), and
LICENSE the file of that name beside it. Nothing is changed in what a rule matches. Left out is what a text cannot
have: rules for names of files, and lists of paths and commits. Two things are added:

- `starts`: what a rule's expression begins with, where that leaves the secret as it is. `[\\w.-]{0,50}?` before a word
  only makes the match longer, and keeps the regex crate from looking for the word itself.
- the table of prefixes that the SDK masks by (with `--prefixes`, as Rust): of each rule whose expression begins with
  text of its own, that text and how much has to follow. Handlers are small programs and have no regular expressions.
"""
import json
import re
import re._parser as sre
import sys
import tomllib

LEFT = r"[\w.-]{0,50}?"


def allowlist(given):
    """Keeps what says something of a text."""
    kept = {key: given[key] for key in ("regexes", "stopwords") if given.get(key)}
    if "regexes" in kept:
        kept["regexes"] = [for_rust(regex) for regex in kept["regexes"]]
    if not kept:
        return None
    kept["all"] = given.get("condition", "OR").upper() in ("AND", "&&")
    kept["target"] = given.get("regexTarget", "secret")
    # Where all of a list must hold and a part of it is about paths, it never holds for a text.
    return None if kept["all"] and (given.get("paths") or given.get("commits")) else kept


def rule(given):
    regex = given["regex"]
    for flags in ("(?i)", ""):
        if regex.startswith(flags + LEFT):
            regex = flags + regex[len(flags + LEFT):]
    kept = {"id": given["id"], "regex": for_rust(regex), "keywords": [word.lower() for word in given["keywords"]]}
    if "entropy" in given:
        kept["entropy"] = given["entropy"]
    if "secretGroup" in given:
        kept["group"] = given["secretGroup"]
    lists = [kept_list for each in given.get("allowlists", []) if (kept_list := allowlist(each))]
    if lists:
        kept["allow"] = lists
    return kept


PREFIXES = """//! What the secrets of services begin with, by the rules of gitleaks {version}.
//!
//! Made by `host/shapes/from_gitleaks.py`; `host/shapes/gitleaks.json` has gitleaks' licence (MIT).

/// In byte order: how a secret begins, which letters follow (a bit for each of [`super::KINDS`]), and how many, at
/// least and at most.
pub(super) const PREFIXES: [(&str, u16, u16, u16); {count}] = ["""


# What the regex crate wants written in another way than RE2 does.
def for_rust(regex):
    """Escapes braces that count nothing, and brackets within classes."""
    out, at, within = "", 0, False
    while at < len(regex):
        rest = regex[at:]
        if rest[0] == "\\":
            out, at = out + rest[:2], at + 2
        elif within and rest.startswith("[:"):
            end = rest.index(":]") + 2
            out, at = out + rest[:end], at + end
        elif not within and rest[0] == "[":
            # A bracket that stands first belongs to the class.
            start = re.match(r"\[\^?\]?", rest).group()
            out, at, within = out + start.replace("]", "\\]"), at + len(start), True
        elif within and rest[0] == "]":
            out, at, within = out + "]", at + 1, False
        elif within and rest[0] in "[&~":
            out, at = out + "\\" + rest[0], at + 1
        elif not within and rest[0] == "{" and not re.match(r"\{\d+(,\d*)?\}", rest):
            out, at = out + "\\{", at + 1
        elif not within and (count := re.match(r"\{\d+(,\d*)?\}", rest)):
            out, at = out + count.group(), at + count.end()
        elif not within and rest[0] == "}":
            out, at = out + "\\}", at + 1
        else:
            out, at = out + rest[0], at + 1
    return out


# Of the letters that a token has: which bit of the SDK's table stands for it. Ranges of letters as hexadecimal
# digits and the rest, since most tokens are one or the other.
KINDS = ["0123456789", "abcdef", "ghijklmnopqrstuvwxyz", "ABCDEF", "GHIJKLMNOPQRSTUVWXYZ", "-", "_", ".", "=", "/", "+"]


def kinds(letters):
    return sum(1 << bit for bit, kind in enumerate(KINDS) if any(letter in kind for letter in letters))


def letters_of(parsed, is_caseless):
    """Returns every letter that the rest of a secret may have."""
    letters = set()
    for op, value in parsed:
        if op is sre.LITERAL:
            letters.add(chr(value))
        elif op is sre.IN:
            for kind, item in value:
                if kind is sre.RANGE:
                    letters.update(chr(code) for code in range(item[0], item[1] + 1))
                elif kind is sre.LITERAL:
                    letters.add(chr(item))
                elif kind is sre.CATEGORY and item is sre.CATEGORY_WORD:
                    letters.update(re.findall(r"\w", "".join(map(chr, range(128)))))
                elif kind is sre.CATEGORY and item is sre.CATEGORY_DIGIT:
                    letters.update("0123456789")
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            letters |= letters_of(value[2], is_caseless)
        elif op is sre.SUBPATTERN:
            letters |= letters_of(value[3], is_caseless)
        elif op is sre.BRANCH:
            for branch in value[1]:
                letters |= letters_of(branch, is_caseless)
    letters = {letter for letter in letters if ord(letter) < 128}
    return letters | {letter.swapcase() for letter in letters} if is_caseless else letters


def heads(parsed):
    """Returns each text that a secret may begin with, and what follows it."""
    items = list(parsed)
    while items and items[0][0] is sre.AT:
        items.pop(0)
    if not items:
        return [("", [])]
    (op, value), rest = items[0], items[1:]
    if op is sre.LITERAL:
        return [(chr(value) + text, after) for text, after in heads(rest)]
    if op is sre.SUBPATTERN:
        return heads(list(value[3]) + rest)
    if op is sre.BRANCH:
        return [head for branch in value[1] for head in heads(list(branch) + rest)]
    if op is sre.IN and len(value) <= 6 and all(kind is sre.LITERAL for kind, _ in value) and rest:
        return [(chr(code) + text, after) for _, code in value for text, after in heads(rest)]
    return [("", items)]


def least(items):
    """Returns the fewest letters that the items match."""
    count = 0
    for op, value in items:
        if op in (sre.LITERAL, sre.IN, sre.ANY, sre.NOT_LITERAL):
            count += 1
        elif op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            count += value[0] * least(value[2])
        elif op is sre.SUBPATTERN:
            count += least(value[3])
        elif op is sre.BRANCH:
            count += min(least(branch) for branch in value[1])
    return count


ENDLESS = 0xffff


def most(items):
    """Returns the most letters that the items match."""
    count = 0
    for op, value in items:
        if op in (sre.MAX_REPEAT, sre.MIN_REPEAT):
            count += int(value[1]) * most(value[2])
        elif op is sre.SUBPATTERN:
            count += most(value[3])
        elif op is sre.BRANCH:
            count += max(most(branch) for branch in value[1])
        elif op is not sre.AT:
            count += 1
    return min(count, ENDLESS)


# Where a rule looks for the name of what it finds, or for what ends it: neither is a part of the secret.
NAMED = "(?:=|>|:{1,3}="
ENDS = [r'''(?:[\x60'"\s;]|\\[nr]|$)''', r'''(?:[\x60'"\s;]|\\[nr]|$|\b)''', r"(?:[^\w-]|\z)", r"(?:[^a-zA-Z0-9+/]|\z)"]


def prefixes(given):
    """Yields what the secrets of a rule begin with, which letters follow, and how many at least."""
    regex = given["regex"]
    for end in ENDS:
        regex = regex.replace(end, "")
    branches = [regex]
    if NAMED in regex:
        # One of them has a second way, without a name.
        branches = [r"\b(" + branch for branch in regex.split(r"|\b(")[1:]]
    for branch in branches:
        is_caseless = "(?i)" in branch or "(?i:" in branch
        branch = branch.replace("(?i)", "").replace("(?i:", "(?:").replace("(?-i:", "(?:")
        branch = branch.replace("[:alnum:]", "A-Za-z0-9").replace(r"\z", r"\Z")
        for text, after in heads(sre.parse(branch)):
            count = least(after)
            letters = letters_of(after, is_caseless)
            known = set("".join(KINDS))
            # A short or a common beginning says too little.
            is_telling = len(text) >= 4 or any(not letter.isalnum() for letter in text)
            if len(text) < 3 or not is_telling or count < 8 or not letters <= known:
                continue
            ends_there = branch.rstrip(")").endswith(r"\b")
            yield text, kinds(letters), count, most(after) if ends_there else ENDLESS


def main():
    arguments = [each for each in sys.argv[1:] if not each.startswith("--")]
    version, rules_file, license_file = arguments
    with open(rules_file, "rb") as file:
        config = tomllib.load(file)
    given = [each for each in config["rules"] if "regex" in each]
    if "--prefixes" in sys.argv:
        table = sorted({found for each in given for found in prefixes(each)})
        print(PREFIXES.format(version=version, count=len(table)))
        for text, mask, count, end in table:
            print(f'    ("{text}", {mask:#05x}, {count}, {end:#x}),')
        print("];")
        return
    with open(license_file, encoding="utf-8") as file:
        license_text = file.read()
    data = {
        "source": "https://github.com/gitleaks/gitleaks, config/gitleaks.toml",
        "version": version,
        "license": license_text,
        "made_by": "from_gitleaks.py",
        "allow": [allowlist(config["allowlist"])],
        "rules": [rule(each) for each in given],
    }
    json.dump(data, sys.stdout, indent=1, ensure_ascii=False)
    print()


main()
