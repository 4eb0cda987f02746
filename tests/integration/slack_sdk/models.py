"""Prints, for each list of blocks in a file, what Slack's own models find wrong with it, or null."""

import json
import sys

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block


def problem(blocks):
    try:
        for block in Block.parse_all(blocks):
            block.to_dict()
            for element in getattr(block, "elements", None) or []:
                if hasattr(element, "to_dict"):
                    element.to_dict()
    except SlackObjectFormationError as error:
        return str(error)
    return None


with open(sys.argv[1], encoding="utf-8") as file:
    print(json.dumps([problem(blocks) for blocks in json.load(file)]))
