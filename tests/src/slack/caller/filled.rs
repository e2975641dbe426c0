//! What the fields of a modal contain.

use serde_json::{Map, Value, json};

/// The state of a modal that nobody has touched. If it has replaced another one, its fields contain what those of the same block and
/// action contained: Slack keeps that, whatever the new view says.
pub fn filled_in(view: &Value, before: &Value) -> Value {
    let mut values = Map::new();
    let blocks = view["blocks"].as_array().into_iter().flatten();
    for block in blocks.filter(|block| block["type"] == "input") {
        let element = &block["element"];
        let names = block["block_id"]
            .as_str()
            .zip(element["action_id"].as_str());
        let Some((block, action)) = names else {
            continue;
        };
        let kept = &before[block][action];
        let value = match kept.is_null() {
            true => initial(element),
            false => kept.clone(),
        };
        values.insert(block.to_owned(), json!({ action: value }));
    }
    values.into()
}

fn initial(element: &Value) -> Value {
    let kind = &element["type"];
    match kind.as_str() {
        Some("plain_text_input") => json!({ "type": kind, "value": element["initial_value"] }),
        Some("static_select") => {
            json!({ "type": kind, "selected_option": element["initial_option"] })
        }
        _ => {
            let chosen = element["initial_options"].as_array();
            json!({ "type": kind, "selected_options": chosen.map_or(&[][..], Vec::as_slice) })
        }
    }
}
