"""Slack: messages to the channels that the operator granted."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NewType

from handler_sdk import _check, limits
from handler_sdk.blocks import Blocks
from handler_sdk.enrichment import Image
from handler_sdk.errors import ErrorKind, SlackError
from handler_sdk.mrkdwn import Mrkdwn, truncate

if TYPE_CHECKING:
    from handler_sdk._imports import Imports, SlackMessage

#: A reference to a posted message. It is opaque text; a handler can store it with `cx.kv` for use in a later delivery.
MessageRef = NewType("MessageRef", str)
#: A reference to an uploaded file, for an image block: `{"type": "image", "slack_file": {"id": FILE}, …}`.
FileRef = NewType("FileRef", str)

_TRANSIENT = (ErrorKind.RATE_LIMITED, ErrorKind.UNAVAILABLE, ErrorKind.TIMEOUT)


@dataclass(frozen=True)
class Shown:
    """The result of `update_or_post`: where the message is, and whether it had to be posted anew."""

    at: MessageRef
    is_new: bool


@dataclass(frozen=True)
class Reply:
    """The result of `reply`: where the reply is, or why Slack rejected it (a warning was logged)."""

    at: MessageRef | None
    refused: str | None = None


class Slack:
    """A client for the Slack channels that the operator granted. Denied during `enrich`.

    A `channel` is a name in the operator's configuration, not Slack's. A plain `text` is escaped; it is shown in
    notifications and if the blocks cannot be shown. `key` names the effect, unique within this step: needed only if the
    message can differ between attempts. Each method raises `SlackError`.

        posted = cx.slack.post("alerts", f"[FIRING] {alert.name}", blocks=Blocks().header(alert.name))
        cx.slack.react(posted, "eyes")
    """

    def __init__(self, imports: Imports) -> None:
        self._imports = imports

    def post(
        self,
        channel: str,
        text: str | Mrkdwn,
        *,
        blocks: Blocks | None = None,
        thread: MessageRef | None = None,
        key: str | None = None,
    ) -> MessageRef:
        """Posts a message, in the thread of another if `thread` is given, and returns a reference to it. If Slack rejects
        the blocks, the host posts the text without them."""
        name = _check.text(channel, "`channel` of `cx.slack`")
        parent = _check.optional_text(thread, "`thread` of `cx.slack`")
        message = _message(name, text, blocks, parent, key, limits.TEXT_CHARS_MAX)
        return MessageRef(self._imports.slack_post(message))

    def update(
        self, at: MessageRef, text: str | Mrkdwn, *, blocks: Blocks | None = None, key: str | None = None
    ) -> MessageRef:
        """Replaces the text and the blocks of a message. Without blocks the message becomes plain text.

        Raises `SlackError` of the kind `NOT_FOUND` if the message no longer exists or is too old to be changed: post a new
        one.
        """
        # Versions of Slack's documentation differ on whether an update without blocks keeps the old ones; one with an
        # empty list does not.
        message = _message("", text, blocks, None, key, limits.UPDATE_TEXT_CHARS_MAX, no_blocks="[]")
        return MessageRef(self._imports.slack_update(_ref(at), message))

    def update_or_post(
        self,
        at: MessageRef,
        channel: str,
        text: str | Mrkdwn,
        *,
        blocks: Blocks | None = None,
        thread: MessageRef | None = None,
    ) -> Shown:
        """Replaces the text and the blocks of a message. If Slack does not change it (it no longer exists, is too old or
        locked, or the change is rejected), posts a new message. The effects are named `update` and `message`.

        Raises `SlackError`, so that the step is retried, if Slack cannot be reached or asks to wait; and if it rejects
        the new message too.
        """
        try:
            return Shown(self.update(at, text, blocks=blocks, key="update"), is_new=False)
        except SlackError as error:
            if error.kind not in (ErrorKind.NOT_FOUND, ErrorKind.INVALID):
                raise
        return Shown(self.post(channel, text, blocks=blocks, thread=thread, key="message"), is_new=True)

    def reply(
        self,
        parent: MessageRef,
        channel: str,
        text: str | Mrkdwn,
        *,
        blocks: Blocks | None = None,
        key: str | None = None,
    ) -> Reply:
        """Posts a reply in the thread of a message. If Slack rejects the reply, for example because the channel has no
        threads or no longer accepts messages of the app, a warning is logged and the message itself stays.

        Raises `SlackError`, so that the step is retried, if Slack cannot be reached or asks to wait.
        """
        from handler_sdk.log import Log

        try:
            return Reply(self.post(channel, text, blocks=blocks, thread=parent, key=key))
        except SlackError as error:
            # The contract has no error for a channel that is rejected, so it is recognized by the host's text.
            is_of_the_channel = error.reason.startswith("Slack refuses the channel ")
            if error.kind in _TRANSIENT and not is_of_the_channel:
                raise
            refused = error.reason if is_of_the_channel else error.message
        Log(self._imports).warn("the thread could not be answered", why=refused)
        return Reply(None, refused)

    def react(self, at: MessageRef, emoji: str) -> None:
        """Adds an emoji, by its name without colons. Adding one that is already there is not an error."""
        self._imports.slack_react(_ref(at), _check.text(emoji, "`emoji` of `cx.slack.react`"))

    def upload(self, image: Image, name: str, *, key: str | None = None) -> FileRef:
        """Uploads a picture without sharing it, and returns when Slack can show it. `name` is the file's, with an
        extension.

        Raises `SlackError` of the kind `UNAVAILABLE` if this server cannot upload files: post the message without the
        picture.
        """
        from handler_sdk._imports import SlackFile

        if not isinstance(image, Image):
            raise _check.mistake(f"`cx.slack.upload` takes an Image, not {_check.kind(image)}")
        file = SlackFile(
            name=_check.text(name, "`name` of `cx.slack.upload`"),
            title=_check.text(image.title, "`Image.title`"),
            media_type=_check.text(image.media_type, "`Image.media_type`"),
            data=_check.data(image.data, "`Image.data`"),
            key=_check.optional_text(key, "`key` of `cx.slack.upload`"),
        )
        return FileRef(self._imports.slack_upload(file))


def _ref(at: object) -> str:
    return _check.text(at, "the reference to a message")


def _message(
    channel: str,
    text: object,
    blocks: object,
    thread: str | None,
    key: object,
    text_chars_max: int,
    *,
    no_blocks: str | None = None,
) -> SlackMessage:
    from handler_sdk._imports import SlackMessage

    markup = text if isinstance(text, Mrkdwn) else Mrkdwn(_check.text(text, "`text` of `cx.slack`"))
    if blocks is not None and not isinstance(blocks, Blocks):
        raise _check.mistake(f"`blocks` of `cx.slack` is {_check.kind(blocks)}, not Blocks: build it with Blocks()")
    return SlackMessage(
        channel=channel,
        text=truncate(markup.markup, text_chars_max),
        blocks=blocks.to_json() if blocks else no_blocks,
        thread=thread,
        key=_check.optional_text(key, "`key` of `cx.slack`"),
    )
