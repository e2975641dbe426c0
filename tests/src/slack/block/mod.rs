//! Slack's rules for blocks: what is allowed where, how long and how many.

mod element;
mod findings;
mod object;

use serde_json::Value;

use findings::Findings;
use object::{Kind, check_text};

/// Where blocks are shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Surface {
    Message,
    Modal,
    Home,
}

impl Surface {
    /// How many blocks it allows.
    fn capacity(self) -> usize {
        match self {
            Self::Message => 50,
            Self::Modal | Self::Home => 100,
        }
    }
}

/// The problems in a list of blocks, each with a pointer to its place; empty if there are none.
pub(crate) fn check_blocks(blocks: &Value, surface: Surface) -> Vec<String> {
    let mut findings = Findings::default();
    findings.at("blocks", |findings| {
        let Some(list) = blocks.as_array() else {
            findings.note("must be an array");
            return;
        };
        if list.len() > surface.capacity() {
            findings.note(&format!(
                "no more than {} items allowed",
                surface.capacity()
            ));
        }
        let mut ids: Vec<&str> = Vec::new();
        for (number, block) in list.iter().enumerate() {
            findings.at(number, |findings| {
                check_block(block, surface, findings);
                if let Some(id) = block.get("block_id").and_then(Value::as_str) {
                    if ids.contains(&id) {
                        findings.note(&format!("block_id `{id}` already exists"));
                    }
                    ids.push(id);
                }
            });
        }
    });
    findings.into_messages()
}

/// The problems with the text of a view's title or button.
pub(crate) fn check_plain_text(text: &Value, name: &str, longest: usize) -> Vec<String> {
    let mut findings = Findings::default();
    findings.at(name, |findings| {
        check_text(text, Kind::Plain, longest, findings);
    });
    findings.into_messages()
}

/// The fields of each kind of block besides `type` and `block_id`.
fn fields_of(kind: &str) -> Option<&'static [&'static str]> {
    Some(match kind {
        "section" => &["text", "fields", "accessory", "expand"],
        "header" => &["text", "level"],
        "divider" => &[],
        "image" => &["image_url", "slack_file", "alt_text", "title"],
        "actions" | "context" | "rich_text" => &["elements"],
        "input" => &["label", "element", "hint", "optional", "dispatch_action"],
        "markdown" => &["text"],
        _ => return None,
    })
}

fn check_block(block: &Value, surface: Surface, findings: &mut Findings) {
    let Some(kind) = block.get("type").and_then(Value::as_str) else {
        findings.note("missing required field: type");
        return;
    };
    let Some(fields) = fields_of(kind) else {
        findings.note(&format!("unsupported type: {kind}"));
        return;
    };
    findings.only_fields(block, &["type", "block_id"], fields);
    findings.optional_text(block, "block_id", 255);
    match kind {
        "section" => check_section(block, findings),
        "header" => findings.required(block, "text", |text, findings| {
            check_text(text, Kind::Plain, 150, findings);
        }),
        "image" => {
            object::check_image(block, findings);
            findings.optional(block, "title", |text, findings| {
                check_text(text, Kind::Plain, 2000, findings);
            });
        }
        "actions" => findings.list(block, "elements", 1, 25, |element, findings| {
            element::check(element, element::Place::Actions, findings);
        }),
        "context" => findings.list(block, "elements", 1, 10, |element, findings| match element
            .get("type")
            .and_then(Value::as_str)
        {
            Some("image") => object::check_image(element, findings),
            _ => check_text(element, Kind::Any, 3000, findings),
        }),
        "rich_text" => findings.list(block, "elements", 0, usize::MAX, |_, _| {}),
        "input" => check_input(block, findings),
        "markdown" if surface != Surface::Message => {
            findings.note("markdown blocks are for messages only");
        }
        "markdown" => findings.required_text(block, "text", 12_000),
        _ => {}
    }
    if kind == "actions" {
        check_action_ids(block, findings);
    }
}

fn check_section(block: &Value, findings: &mut Findings) {
    if block.get("text").is_none() && block.get("fields").is_none() {
        findings.note("missing required field: text or fields");
    }
    findings.optional(block, "text", |text, findings| {
        check_text(text, Kind::Any, 3000, findings);
    });
    if block.get("fields").is_some() {
        findings.list(block, "fields", 1, 10, |field, findings| {
            check_text(field, Kind::Any, 2000, findings);
        });
    }
    findings.optional(block, "accessory", |element, findings| {
        element::check(element, element::Place::Accessory, findings);
    });
}

fn check_input(block: &Value, findings: &mut Findings) {
    findings.required(block, "label", |text, findings| {
        check_text(text, Kind::Plain, 2000, findings);
    });
    findings.optional(block, "hint", |text, findings| {
        check_text(text, Kind::Plain, 2000, findings);
    });
    findings.required(block, "element", |element, findings| {
        element::check(element, element::Place::Input, findings);
    });
}

/// Slack distinguishes the elements of a block by action_id.
fn check_action_ids(block: &Value, findings: &mut Findings) {
    let elements = block.get("elements").and_then(Value::as_array);
    let mut seen: Vec<&str> = Vec::new();
    for id in elements
        .into_iter()
        .flatten()
        .filter_map(|element| element.get("action_id")?.as_str())
    {
        if seen.contains(&id) {
            findings.note(&format!("action_id `{id}` already exists"));
        }
        seen.push(id);
    }
}

/// The problems with the options that an app offers while a user types; an empty list is valid.
pub(crate) fn check_options(answer: &Value) -> Vec<String> {
    let mut findings = Findings::default();
    findings.only_fields(answer, &["options"], &["option_groups"]);
    if answer.get("options").is_none() == answer.get("option_groups").is_none() {
        findings.note("exactly one of options and option_groups must be given");
    } else if answer.get("options").is_some() {
        findings.list(answer, "options", 0, 100, |option, findings| {
            object::check_option(option, Kind::Plain, findings);
        });
    } else {
        findings.list(answer, "option_groups", 0, 100, element::check_option_group);
    }
    findings.into_messages()
}
