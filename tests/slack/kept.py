"""What the models of Slack's library keep of what they are given: a field that they do not know they drop without a word."""


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


def not_kept(given, kept):
    """The paths of all that is not kept as it was given."""
    return list(dropped(pruned(given), pruned(kept)))
