"""Checks views and blocks with the models of Slack's own library.

Each line of the input is a JSON object of kind (home, modal or message) and value: a view, or the blocks of a message.
Each line of the output is a JSON list of what is wrong, empty if nothing is. Besides the library's own rules, a field is
wrong that its models do not know and drop.
"""

import json
import logging
import sys

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View

from kept import not_kept

# What the library does not know is in the output already.
logging.disable(logging.CRITICAL)


def parsed(kind, value):
    if kind != "message":
        return View(**value).to_dict()
    blocks = Block.parse_all(value)
    if None in blocks:
        raise SlackObjectFormationError("unknown block")
    return [block.to_dict() for block in blocks]


def wrong(kind, value):
    try:
        return not_kept(value, parsed(kind, value))
    except (SlackObjectFormationError, TypeError, AttributeError, ValueError) as error:
        return [f"{type(error).__name__}: {error}"]


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(wrong(request["kind"], request["value"])))
