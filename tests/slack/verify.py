"""Checks views, blocks and messages with the models of Slack's own library.

Each line of the input is a JSON object of kind and value: a view (home, modal), a list of blocks (blocks), or the arguments of
chat.postMessage (message). Each line of the output is a JSON list of what is wrong, empty if nothing is. Besides the library's own
rules, a field is wrong that its models do not know and drop without a word, and a message is wrong of which a notification would show
nothing: the library warns of that when it sends one.
"""

import json
import logging
import sys
import warnings

from slack_sdk.errors import SlackObjectFormationError
from slack_sdk.models.attachments import BlockAttachment
from slack_sdk.models.blocks import Block
from slack_sdk.models.views import View
from slack_sdk.web import WebClient

# What the library does not know is in the output already.
logging.disable(logging.CRITICAL)


class Unsent(WebClient):
    """Sends nothing, and keeps what would have been sent."""

    def api_call(self, api_method, **arguments):
        return arguments["json"]


def view(value):
    return View(**value).to_dict()


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


def message(value):
    arguments = dict(value)
    if "blocks" in arguments:
        arguments["blocks"] = blocks(arguments["blocks"])
    if "attachments" in arguments:
        arguments["attachments"] = [attachment(one) for one in arguments["attachments"]]
    return Unsent(token="xoxb-none").chat_postMessage(**arguments)


KINDS = {
    "home": view,
    "modal": view,
    "blocks": lambda value: [block.to_dict() for block in blocks(value)],
    "message": message,
}


def pruned(value):
    """Without nulls and without what is empty, which the models leave out."""
    if isinstance(value, dict):
        fields = {name: pruned(field) for name, field in value.items()}
        return {name: field for name, field in fields.items() if field not in (None, "", [], {})}
    if isinstance(value, list):
        return [pruned(item) for item in value]
    return value


def dropped(given, kept, path=""):
    """The paths of what was given and is not kept as it was."""
    if isinstance(given, dict) and isinstance(kept, dict):
        for name, field in given.items():
            yield from dropped(field, kept.get(name), f"{path}/{name}")
    elif isinstance(given, list) and isinstance(kept, list) and len(given) == len(kept):
        for number, (item, other) in enumerate(zip(given, kept)):
            yield from dropped(item, other, f"{path}/{number}")
    elif given != kept:
        yield f"{path} is not kept"


def wrong(kind, value):
    try:
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            kept = KINDS[kind](value)
    except (SlackObjectFormationError, TypeError, AttributeError, ValueError, KeyError) as error:
        return [f"{type(error).__name__}: {error}"]
    said = [str(warning.message) for warning in warned]
    return said + list(dropped(pruned(value), pruned(kept)))


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(wrong(request["kind"], request["value"])))
