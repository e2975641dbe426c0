//! The modal that declares an incident: opened by a command, its project can be changed, and it is submitted or closed.

use serde_json::{Value, json};

use super::answer::Answer;
use super::command::Given;
use super::world::World;

const CALLBACK: &str = "incident_modal";
const PROJECT: &str = "incident_management_project";

pub(super) fn declare(world: &World, given: &Given, path: &str) -> Answer {
    let answer = Answer::ephemeral("Fill in the form, please.");
    match &world.slack {
        Some((slack, _)) => answer.after(
            format!("{slack}/api/views.open"),
            json!({ "trigger_id": given.trigger, "view": modal(path, &given.response_url) }),
        ),
        None => answer,
    }
}

fn plain(text: &str) -> Value {
    json!({ "type": "plain_text", "text": text })
}

fn modal(path: &str, response_url: &str) -> Value {
    json!({
        "type": "modal",
        "callback_id": CALLBACK,
        "notify_on_close": true,
        "private_metadata": response_url,
        "title": plain("Incident"),
        "submit": plain("Declare"),
        "close": plain("Cancel"),
        "blocks": [
            {
                "type": "input", "block_id": "title_input", "label": plain("Title"),
                "element": { "type": "plain_text_input", "action_id": "title" },
            },
            {
                "type": "actions", "block_id": "project_and_severity_selector",
                "elements": [{
                    "type": "static_select", "action_id": PROJECT, "placeholder": plain("Project"),
                    "options": [{ "text": plain(path), "value": path }],
                }],
            },
            {
                "type": "actions", "block_id": "status_and_assignee_selector",
                "elements": [{
                    "type": "external_select", "action_id": "assignee", "placeholder": plain("Assignee"),
                }],
            },
            {
                "type": "input", "block_id": "label_selector", "label": plain("Labels"), "optional": true,
                "element": { "type": "multi_external_select", "action_id": "labels", "placeholder": plain("Labels") },
            },
        ],
    })
}

pub(super) fn interact(world: &World, payload: &Value) -> Option<Answer> {
    let view = &payload["view"];
    let response_url = view["private_metadata"].as_str().unwrap_or_default();
    let tell = |text: String| {
        let message = json!({ "replace_original": "true", "text": text });
        Answer::empty(200).after(response_url.to_owned(), message)
    };
    match payload["type"].as_str()? {
        "view_submission" => {
            let title = &view["state"]["values"]["title_input"]["title"]["value"];
            let title = title.as_str().unwrap_or("untitled");
            Some(tell(format!("The incident {title} is declared.")))
        }
        "view_closed" => Some(tell("No incident was declared.".to_owned())),
        "block_actions" => {
            let actions = payload["actions"].as_array()?;
            let chosen = actions
                .iter()
                .find(|action| action["action_id"] == PROJECT)?;
            let path = chosen["selected_option"]["value"].as_str()?;
            let (slack, _) = world.slack.as_ref()?;
            let update = json!({ "view_id": view["id"], "view": modal(path, response_url) });
            Some(Answer::empty(200).after(format!("{slack}/api/views.update"), update))
        }
        _ => None,
    }
}

pub(super) fn options(payload: &Value) -> Option<Answer> {
    let typed = payload["value"].as_str().unwrap_or_default();
    let option = |text: &str, value: &str| json!({ "text": plain(text), "value": value });
    let options = match payload["action_id"].as_str()? {
        "assignee" => json!([option(&format!("{typed} Lovelace - ada"), "1")]),
        "labels" => json!([option(&format!("{typed}::high"), "7")]),
        _ => return None,
    };
    Some(Answer::json(200, json!({ "options": options })))
}
