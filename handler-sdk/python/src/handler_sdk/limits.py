"""Slack's limits, in characters and items (Slack's reference, "Block Kit" and `chat.postMessage`)."""

from __future__ import annotations

#: A message's text when it is posted.
TEXT_CHARS_MAX = 40_000
#: A message's text when it is updated.
UPDATE_TEXT_CHARS_MAX = 4_000
#: Blocks of a message.
BLOCKS_MAX = 50
#: All blocks of a message together, as JSON, in bytes. Slack does not document this limit: it rejects
#: (`msg_blocks_too_long`) more than 12,000 to 13,300 characters, its own markup included (slackapi/bolt-js#2509, #2867).
#: This value is lower, since how Slack counts is not known.
BLOCKS_BYTES_MAX = 10_000
#: A header's text.
HEADER_CHARS_MAX = 150
#: A section's text.
SECTION_CHARS_MAX = 3_000
#: Fields of a section.
FIELDS_MAX = 10
#: A field's text.
FIELD_CHARS_MAX = 2_000
#: Elements of a context.
CONTEXT_ELEMENTS_MAX = 10
#: An element's text in a context: Slack's text object has the same limit as a section.
CONTEXT_CHARS_MAX = 3_000
#: Elements of an actions block.
ACTIONS_MAX = 25
#: A button's text.
BUTTON_CHARS_MAX = 75
#: A button's URL.
BUTTON_URL_CHARS_MAX = 3_000
