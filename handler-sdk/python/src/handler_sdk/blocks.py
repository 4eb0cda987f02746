"""A builder for Block Kit that respects Slack's limits."""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from handler_sdk import _check, limits, mask
from handler_sdk.alert import web_url
from handler_sdk.enrichment import Block, Enrichment, Excerpt, Fields, Image, Link, Markdown, Table
from handler_sdk.markdown import to_mrkdwn
from handler_sdk.mrkdwn import Most, Mrkdwn, is_invisible, json_bytes, json_bytes_of, split, truncate

#: The JSON of a block around its text, in bytes.
_FRAME_JSON_BYTES = 100
#: The bytes of one text in JSON: with its block around it, it still fits into a message.
_TEXT_JSON_BYTES_MAX = limits.BLOCKS_BYTES_MAX - 2 * _FRAME_JSON_BYTES
#: A paragraph that would be cut shorter than this is left out, since it says nothing.
_CUT_JSON_BYTES_MIN = 100
_CELL_CHARS_MAX = 60
_TABLE_BYTES_MAX = 2_000


@dataclass(frozen=True)
class _Built:
    """A block as JSON."""

    json: str
    #: True for links, buttons and context: at the end of a message they are kept if other blocks have to be left out.
    is_foot: bool = False
    #: The text of a paragraph, which can be cut further.
    text: Mrkdwn | None = None

    @property
    def bytes(self) -> int:
        return len(self.json.encode())

    def cut(self, room: int) -> _Built | None:
        """Returns a paragraph cut to so many bytes of JSON; `None` if that would leave next to nothing, or it is none."""
        left = room - _FRAME_JSON_BYTES
        return _paragraph(self.text, left) if self.text is not None and left >= _CUT_JSON_BYTES_MIN else None


class Blocks:
    """The blocks of a message, from top to bottom. Each method adds a block and returns the same `Blocks`.

    Text that is too long is cut with an ellipsis, and empty text is left out. If the blocks together are more than Slack
    allows, the first ones are kept, and the links and the context at the end; a line between them says how many are
    missing. So Slack rejects none of it. Plain text is escaped; see `Mrkdwn`.

        Blocks()
            .header("KubePodCrashLooping · customer/rs-transformer")
            .section(Mrkdwn().bold("Likely out of memory:").text(" killed at 512Mi"))
            .fields({"Cluster": "cluster-main", "Restarts": "14"})
            .links({"Runbook": "https://runbooks.example.com/crash"})
            .context("since 2h 5m", "receiver oncall")
    """

    def __init__(self) -> None:
        """Makes an empty list of blocks."""
        self._blocks: list[_Built] = []

    def header(self, text: str) -> Blocks:
        """Adds a large line of plain text, of at most 150 characters."""
        line = " ".join(_check.text(text, "`header`").split())
        if line:
            self._add(f'{{"type":"header","text":{_plain_text(line, limits.HEADER_CHARS_MAX)}}}')
        return self

    def section(self, text: str | Mrkdwn) -> Blocks:
        """Adds a paragraph, of at most 3,000 characters."""
        markup = _markup(text, "`section`")
        if markup:
            self._blocks.append(_paragraph(markup, _TEXT_JSON_BYTES_MAX))
        return self

    def paragraphs(self, text: str | Mrkdwn) -> Blocks:
        """Adds text in as many paragraphs as it needs."""
        left = _markup(text, "`paragraphs`").markup
        while left.strip():
            paragraph, left = split(left, Most(chars=limits.SECTION_CHARS_MAX, json_bytes=_TEXT_JSON_BYTES_MAX))
            self.section(Mrkdwn.raw(paragraph))
        return self

    def fields(self, pairs: Mapping[str, str | Mrkdwn] | Iterable[tuple[str, str | Mrkdwn]]) -> Blocks:
        """Adds names with values in two columns; more than ten need more sections. An empty value is shown as a dash."""
        fields = []
        for name, value in _pairs(pairs, "`fields`"):
            shown = _markup(value, f"`fields`[{name!r}]")
            field = Mrkdwn().bold(name).text("\n").then(shown or "–")
            fields.append(_mrkdwn_object(field, limits.FIELD_CHARS_MAX))
        for texts in _in_blocks(fields, limits.FIELDS_MAX):
            self._add(f'{{"type":"section","fields":[{texts}]}}')
        return self

    def context(self, *texts: str | Mrkdwn) -> Blocks:
        """Adds small grey text, for example when an alert began; texts after the tenth are left out."""
        elements = [markup for text in texts if (markup := _markup(text, "`context`"))]
        objects = [_mrkdwn_object(text, limits.CONTEXT_CHARS_MAX) for text in elements[: limits.CONTEXT_ELEMENTS_MAX]]
        for joined in _in_blocks(objects, limits.CONTEXT_ELEMENTS_MAX):
            self._add(f'{{"type":"context","elements":[{joined}]}}', is_foot=True)
        return self

    def links(self, links: Mapping[str, str] | Iterable[tuple[str, str]]) -> Blocks:
        """Adds a row of links, each a title with a URL. A URL that is neither `https` nor `http` is left out."""
        shown = []
        for title, url in _pairs(links, "`links`"):
            if web_url(_check.text(url, f"`links`[{title!r}]")):
                shown.append(Mrkdwn().link(str(url), title))
        row = Mrkdwn.join(shown, " · ")
        if row:
            built = _paragraph(row, _TEXT_JSON_BYTES_MAX)
            self._blocks.append(_Built(built.json, is_foot=True, text=built.text))
        return self

    def buttons(self, buttons: Mapping[str, str] | Iterable[tuple[str, str]]) -> Blocks:
        """Adds a row of buttons that open links, each a title with a URL. Buttons with a URL that is neither `https` nor
        `http`, or too long, and buttons after the 25th are left out.

        Slack notifies its app of each click, and shows a warning if the app does not answer. If the app may not be set up
        for that, use `links`.
        """
        fitting = []
        for title, url in _pairs(buttons, "`buttons`"):
            target = _check.text(url, f"`buttons`[{title!r}]")
            if web_url(target) and len(target) <= limits.BUTTON_URL_CHARS_MAX and title.strip():
                fitting.append((title, target))
        elements = [
            f'{{"type":"button","action_id":"link-{index}","text":{_plain_text(title, limits.BUTTON_CHARS_MAX)},'
            f'"url":{_quoted(url)}}}'
            for index, (title, url) in enumerate(fitting[: limits.ACTIONS_MAX])
        ]
        for joined in _in_blocks(elements, limits.ACTIONS_MAX):
            self._add(f'{{"type":"actions","elements":[{joined}]}}', is_foot=True)
        return self

    def divider(self) -> Blocks:
        """Adds a horizontal line."""
        self._add('{"type":"divider"}')
        return self

    def excerpt(self, title: str, text: str) -> Blocks:
        """Adds preformatted text in a monospaced font under a title. Of a text that is too long the end is kept, because
        that is where a log has the reason."""
        text = _check.text(text, "`excerpt`").rstrip()
        if not text:
            return self
        head = Mrkdwn().bold(_check.text(title, "the title of `excerpt`"))
        if head:
            head = head.then(Mrkdwn.raw("\n"))
        chars = limits.SECTION_CHARS_MAX - min(len(head.markup), 1_000) - 20
        room = Most(chars=chars, json_bytes=_TEXT_JSON_BYTES_MAX - min(json_bytes(head.markup), 4_000) - 40)
        tail = _tail_that_fits(text, room)
        cut = "…\n" if len(tail) < len(text) else ""
        return self.section(head.then(Mrkdwn().preformatted(f"{cut}{tail}")))

    def markdown(self, markdown: str) -> Blocks:
        """Adds Markdown, converted to Slack's markup."""
        return self.section(to_mrkdwn(_check.text(markdown, "`markdown`")))

    def enrichment(self, found: Enrichment) -> Blocks:
        """Adds the blocks that earlier handlers found, in their order. Secrets in excerpts are masked.

        Of a picture only the title is shown, because Slack shows a picture in blocks only after an upload (see
        `cx.slack.upload`). A block of a kind that this version does not know shows its fallback.
        """
        links: list[tuple[str, str]] = []
        for block in found.blocks:
            if isinstance(block, Link):
                # Consecutive links share a row.
                links.append((block.title, block.url))
                continue
            self.links(links)._found(block)
            links = []
        return self.links(links)

    def then(self, other: Blocks) -> Blocks:
        """Adds other blocks after these."""
        if not isinstance(other, Blocks):
            raise _check.mistake(f"`then` takes Blocks, not {_check.kind(other)}")
        self._blocks.extend(other._blocks)
        return self

    def __len__(self) -> int:
        return len(self._blocks)

    def to_json(self) -> str:
        """Returns the JSON array for Slack, with as many blocks as one message may have."""
        blocks = self._blocks
        if _fitting(blocks, []) == len(blocks):
            return _array(blocks)
        foot_len = self._foot_len()
        body, foot = blocks[: len(blocks) - foot_len], blocks[len(blocks) - foot_len :]

        def more(missing: int) -> list[_Built]:
            return Blocks().context(f"… and {missing} more blocks")._blocks + foot

        last = more(len(blocks))
        kept = _fitting(body, last)
        room = limits.BLOCKS_BYTES_MAX - len(_array(body[:kept] + last).encode()) - 1
        # Half a paragraph is worth its place only if there is little else.
        is_little = sum(block.bytes for block in body[:kept]) < limits.BLOCKS_BYTES_MAX // 2
        has_place = kept + 1 + len(last) <= limits.BLOCKS_MAX and is_little
        shortened = body[kept].cut(room) if has_place and kept < len(body) else None
        cut = [shortened] if shortened else []
        missing = len(body) - kept - len(cut)
        return _array(body[:kept] + cut + (more(missing) if missing else foot))

    def in_messages(self, messages_max: int) -> list[Blocks]:
        """Splits the blocks into messages of at most as many as Slack allows; the last message has all that are left."""
        messages: list[Blocks] = []
        left = self._blocks
        while left:
            end = _fitting(left, []) if len(messages) + 1 < messages_max else len(left)
            message = Blocks()
            message._blocks, left = left[:end], left[end:]
            messages.append(message)
        return messages

    def _found(self, block: Block) -> None:
        if isinstance(block, Markdown):
            self.markdown(block.text)
        elif isinstance(block, Fields):
            self.fields(block.pairs)
        elif isinstance(block, Table):
            self._table(block)
        elif isinstance(block, Excerpt):
            self.excerpt(block.title, mask.text(block.text))
        elif isinstance(block, Link):
            self.links([(block.title, block.url)])
        elif isinstance(block, Image):
            self.context(f"Picture, not shown here: {block.title}")
        else:
            self.markdown(block.fallback)

    def _table(self, table: Table) -> None:
        """Adds a table: columns are aligned in a monospaced font; rows that do not fit are counted."""
        lines = [[truncate(" ".join(cell.split()), _CELL_CHARS_MAX) for cell in row] for row in [table.header, *table.rows]]
        columns = range(len(table.header))
        widths = [max((len(row[at]) for row in lines if at < len(row)), default=0) for at in columns]
        text, shown = "", 0
        for row in lines:
            line = "  ".join(cell.ljust(width) for cell, width in zip(row, widths))
            if len(text.encode()) + len(line.encode()) > _TABLE_BYTES_MAX:
                break
            text += line.rstrip() + "\n"
            shown += 1
        self.excerpt(table.title, text)
        missing = len(lines) - max(shown, 1)
        if missing > 0:
            self.context(f"… and {missing} more rows")

    def _foot_len(self) -> int:
        """Returns how many blocks at the end are kept if others have to be left out: together they have at most half of
        what a message may have."""
        count, used = 0, 0
        for block in reversed(self._blocks):
            used += block.bytes + 1
            if not block.is_foot or used > limits.BLOCKS_BYTES_MAX // 2:
                break
            count += 1
        return min(count, limits.BLOCKS_MAX // 2)

    def _add(self, block: str, *, is_foot: bool = False) -> None:
        self._blocks.append(_Built(block, is_foot))


def _fitting(blocks: list[_Built], last: list[_Built]) -> int:
    """Returns how many of the blocks, from the first, fit into one message together with the last ones."""
    used = 2 + sum(block.bytes + 1 for block in last)
    count = 0
    for block in blocks[: limits.BLOCKS_MAX - len(last)]:
        used += block.bytes + 1
        if used > limits.BLOCKS_BYTES_MAX:
            break
        count += 1
    # A single block has at most `_TEXT_JSON_BYTES_MAX` bytes of text.
    return min(max(count, 0 if last else 1), len(blocks))


def _array(blocks: list[_Built]) -> str:
    return f"[{','.join(block.json for block in blocks)}]"


def _in_blocks(objects: Iterable[str], texts_max: int) -> list[str]:
    """Distributes texts over as many blocks as they need, with at most so many in each."""
    blocks: list[list[str]] = []
    used = 0
    for text in objects:
        size = len(text.encode())
        fits = len(blocks) > 0 and len(blocks[-1]) < texts_max
        if fits and used + size + _FRAME_JSON_BYTES <= limits.BLOCKS_BYTES_MAX:
            blocks[-1].append(text)
        else:
            blocks.append([text])
            used = 0
        used += size + 1
    return [",".join(texts) for texts in blocks]


def _paragraph(text: Mrkdwn, json_bytes_max: int) -> _Built:
    shown = _mrkdwn_object(text, limits.SECTION_CHARS_MAX, json_bytes_max)
    return _Built(f'{{"type":"section","text":{shown}}}', text=text)


def _mrkdwn_object(text: Mrkdwn, chars_max: int, json_bytes_max: int = _TEXT_JSON_BYTES_MAX) -> str:
    """Returns a text object with `verbatim`, which stops Slack from looking for mentions and channel names in it."""
    shown, _ = split(text.markup, Most(chars=chars_max, json_bytes=json_bytes_max))
    return f'{{"type":"mrkdwn","text":{_quoted(shown)},"verbatim":true}}'


def _plain_text(text: str, chars_max: int) -> str:
    # Plain text has no markup, but characters that reorder or hide text have the same effect here.
    text = "".join(char for char in text if not is_invisible(char))
    if len(text) > chars_max:
        text = text[: chars_max - 1] + "…"
    return f'{{"type":"plain_text","text":{_quoted(text)},"emoji":false}}'


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False)


def _markup(text: object, what: str) -> Mrkdwn:
    return text if isinstance(text, Mrkdwn) else Mrkdwn(_check.text(text, what))


def _pairs(pairs: object, what: str) -> list[tuple[str, object]]:
    """Returns names with values, from a mapping or a list of pairs."""
    if isinstance(pairs, Mapping):
        pairs = pairs.items()
    if isinstance(pairs, str | bytes) or not isinstance(pairs, Iterable):
        raise _check.mistake(f"{what} takes a dict or a list of pairs, not {_check.kind(pairs)}")
    checked = []
    for pair in pairs:
        if not isinstance(pair, tuple | list) or len(pair) != 2:
            raise _check.mistake(f"{what} takes pairs of a name and a value, not {_check.kind(pair)}")
        checked.append((_check.text(pair[0], f"a name in {what}"), pair[1]))
    return checked


def _tail_that_fits(text: str, most: Most) -> str:
    """Returns the end of a text whose markup has at most this size: whole lines, or the end of a line that is too long by
    itself. Searches from the back, since a log may be much longer than what is kept."""
    chars, used = 0, 0
    for at in range(len(text) - 1, -1, -1):
        char = text[at]
        # Each three backticks get a space of three bytes in between.
        markup = 5 if char == "&" else 4 if char in "<>" else 2 if char == "`" else 1
        chars += markup
        used += max(markup, json_bytes_of(char))
        if chars > most.chars or used > most.json_bytes:
            tail = text[at + 1 :]
            _, newline, lines = tail.partition("\n")
            return lines if newline else tail
    return text
