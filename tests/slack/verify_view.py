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

# What the library does not know is in the output already.
logging.disable(logging.CRITICAL)


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


def parsed(kind, value):
    if kind != "message":
        return View(**value).to_dict()
    blocks = Block.parse_all(value)
    if None in blocks:
        raise SlackObjectFormationError("unknown block")
    return [block.to_dict() for block in blocks]


def wrong(kind, value):
    try:
        return list(dropped(pruned(value), pruned(parsed(kind, value))))
    except (SlackObjectFormationError, TypeError, AttributeError, ValueError) as error:
        return [f"{type(error).__name__}: {error}"]


for line in sys.stdin:
    request = json.loads(line)
    print(json.dumps(wrong(request["kind"], request["value"])))
