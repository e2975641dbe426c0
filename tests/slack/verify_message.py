"""Checks messages with the models of Slack's own library.

Each line of the input is a JSON object: the arguments of chat.postMessage. Each line of the output is a JSON list of what is
wrong, empty if nothing is. Besides the library's own rules, a field is wrong that its models do not know and drop, and a message is
wrong of which a notification would show nothing: the library warns of that when it sends one.
"""

import json
import logging
import sys
import warnings

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.attachments import BlockAttachment
from slack_sdk.models.blocks import Block
from slack_sdk.web import WebClient

from kept import not_kept

# What the library does not know is in the output already.
logging.disable(logging.CRITICAL)


class Unsent(WebClient):
    """Sends nothing, and keeps what would have been sent."""

    def api_call(self, api_method, **arguments):
        return arguments["json"]


def blocks(value):
    parsed = Block.parse_all(value)
    if None in parsed:
        raise SlackObjectFormationError("unknown block")
    for block in parsed:
        block.validate_json()
    return parsed


def attachment(value):
    parsed = BlockAttachment(**{**value, "blocks": blocks(value["blocks"])})
    parsed.validate_json()
    return parsed


def wrong(message):
    arguments = dict(message)
    try:
        if "blocks" in arguments:
            arguments["blocks"] = blocks(arguments["blocks"])
        if "attachments" in arguments:
            arguments["attachments"] = [attachment(value) for value in arguments["attachments"]]
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            sent = Unsent(token="xoxb-none").chat_postMessage(**arguments)
    except (SlackObjectFormationError, TypeError, AttributeError, ValueError, KeyError) as error:
        return [f"{type(error).__name__}: {error}"]
    return [str(warning.message) for warning in warned] + not_kept(message, sent)


for line in sys.stdin:
    print(json.dumps(wrong(json.loads(line))))
