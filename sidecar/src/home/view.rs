//! The App Home as blocks of Slack's Block Kit.

use std::collections::{HashMap, HashSet};

use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use super::state::App;
use crate::database::{Integration, Subscription, Trouble, Which};
use crate::error::Error;
use crate::followed::lines;
use crate::http::path::INSTALL;
use crate::slack::{Tenant, code, escape, fit_lines, shorten};
use crate::text::capitalized;
use crate::trouble::troubled;

/// The number of projects shown; others are found by name. A view has at most 100 blocks.
pub(super) const MOST: i32 = 30;

/// The number of subscriptions shown; a command lists more.
pub(super) const MOST_SUBSCRIPTIONS: i32 = 20;

/// Slack takes 3,000 characters.
const LONGEST_SECTION: usize = 3_000;

/// The action ids of the buttons and the menu.
pub(super) const SWITCH_ON: &str = "switch_on";
pub(super) const SWITCH_OFF: &str = "switch_off";
pub(super) const PICKER: &str = "project_picker";

/// The action id of the settings button, and the callback id of its modal.
pub(super) const SETTINGS: &str = "notification_settings";

/// The message after using a switch.
#[derive(Clone, Debug, Deserialize, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub(super) enum Notice {
    Switched { alias: String, is_active: bool },
    Changed { alias: String },
    NotAllowed,
    Gone,
}

impl Notice {
    fn text(&self) -> String {
        match self {
            Self::Switched { alias, is_active } => {
                let alias = code(&shorten(alias, 100));
                match is_active {
                    true => format!(":white_check_mark: {alias} is active."),
                    false => format!(":double_vertical_bar: {alias} is switched off: nobody is notified."),
                }
            }
            Self::Changed { alias } => {
                format!(":white_check_mark: Settings of {} are changed.", code(&shorten(alias, 100)))
            }
            Self::NotAllowed => ":no_entry: Only managers of a project may change it: maintainers with a linked GitLab account, and users who connected it.".to_owned(),
            Self::Gone => ":grey_question: That project is no longer connected to this workspace.".to_owned(),
        }
    }
}

/// Moves the integration with that id to the front.
pub(super) async fn with_first(
    app: &App,
    tenant: Tenant<'_>,
    mut integrations: Vec<Integration>,
    id: i64,
) -> Result<Vec<Integration>, Error> {
    let place = integrations.iter().position(|other| other.id == id);
    let picked = match place {
        Some(place) => Some(integrations.remove(place)),
        // It is not among the listed ones.
        None => {
            let found = app.for_jobs.integrations(tenant, Which::Id(id), 1).await?;
            found.into_iter().next()
        }
    };
    if let Some(picked) = picked {
        integrations.insert(0, picked);
    }
    Ok(integrations)
}

/// `managed` are the integrations that the user may change, `troubles` those of channels, by integration.
pub(super) fn of(
    app: &App,
    managed: &HashSet<i64>,
    troubles: &HashMap<i64, Vec<Trouble>>,
    integrations: &[Integration],
    subscriptions: &[Subscription],
    notice: Option<Notice>,
) -> Value {
    let mut blocks = vec![
        header("Projects in this workspace"),
        section(
            "Events of a connected project are posted to its channels. `/gitlab help` lists the commands.",
        ),
    ];
    if let Some(notice) = notice {
        blocks.push(section(&notice.text()));
    }
    // All rows of a workspace have its installation.
    let lacks = integrations.iter().map(Integration::lacks);
    if let Some(lacks) = lacks.into_iter().find(|it| !it.is_empty()) {
        let lacks: Vec<String> = lacks
            .iter()
            .map(|it| format!(":warning: {}\n", capitalized(it)))
            .collect();
        blocks.push(section(&format!(
            "{}:arrows_counterclockwise: <{}|Install it again>; projects stay connected.",
            lacks.concat(),
            app.public_url.page(INSTALL)
        )));
    }
    blocks.push(json!({ "type": "divider" }));
    if integrations.is_empty() {
        blocks.push(section(
            "No project is connected yet. Maintainers connect it in its settings.",
        ));
    }
    let shown = integrations.len().min(MOST as usize);
    blocks.extend(
        integrations[..shown]
            .iter()
            .flat_map(|integration| rows(managed, troubles, integration)),
    );
    if integrations.len() > shown {
        blocks.push(picker());
    }
    if !subscriptions.is_empty() {
        blocks.push(json!({ "type": "divider" }));
        blocks.push(section(&followed(subscriptions)));
    }
    json!({ "type": "home", "blocks": blocks })
}

/// An integration, what keeps its messages from channels and, for users who may change it, its buttons.
fn rows(
    managed: &HashSet<i64>,
    troubles: &HashMap<i64, Vec<Trouble>>,
    integration: &Integration,
) -> Vec<Value> {
    let of_channels = troubles.get(&integration.id).map(|it| troubled(it));
    let of_channels = of_channels.unwrap_or_default();
    let state = match (integration.is_active, !of_channels.is_empty()) {
        (true, false) => ":white_check_mark: active",
        (true, true) => ":warning: active, but some messages do not arrive",
        (false, _) => ":double_vertical_bar: switched off",
    };
    let events = integration.known_events();
    let events = match events.is_empty() {
        true => "notifies of nothing yet".to_owned(),
        false => format!("notifies of {}", events.join(", ")),
    };
    let alias = shorten(&integration.alias, 200);
    let text = format!("*{}*\n{state} · {events}{of_channels}", escape(&alias));
    let mut block = section(&fit_lines(&text, LONGEST_SECTION));
    if managed.contains(&integration.id) {
        let (action, label) = match integration.is_active {
            true => (SWITCH_OFF, "Switch off"),
            false => (SWITCH_ON, "Switch on"),
        };
        block["block_id"] = json!(format!("integration-{}", integration.id));
        block["accessory"] = button(action, integration, label);
        let settings = json!({
            "type": "actions",
            "block_id": format!("settings-{}", integration.id),
            "elements": [button(SETTINGS, integration, "Channels and filters")],
        });
        return vec![block, settings];
    }
    vec![block]
}

/// What channels of the workspace follow besides.
fn followed(subscriptions: &[Subscription]) -> String {
    let shown = &subscriptions[..subscriptions.len().min(MOST_SUBSCRIPTIONS as usize)];
    let more = match subscriptions.len() > shown.len() {
        true => "… and more: `/gitlab subscriptions`\n",
        false => "",
    };
    let text = format!(
        "*Subscriptions*\n{}{more}`/gitlab subscribe group/project #channel` lets another channel follow a project that you maintain.",
        lines(shown)
    );
    fit_lines(&text, LONGEST_SECTION)
}

fn button(action: &str, integration: &Integration, label: &str) -> Value {
    json!({
        "type": "button",
        "action_id": action,
        "value": integration.id.to_string(),
        "text": { "type": "plain_text", "text": label },
    })
}

/// A menu that requests matching projects while the user types.
fn picker() -> Value {
    let mut block = section("There are more:");
    block["block_id"] = json!("more");
    block["accessory"] = json!({
        "type": "external_select",
        "action_id": PICKER,
        "min_query_length": 1,
        "placeholder": { "type": "plain_text", "text": "Find a project" },
    });
    block
}

fn header(text: &str) -> Value {
    json!({ "type": "header", "text": { "type": "plain_text", "text": text } })
}

fn section(text: &str) -> Value {
    json!({ "type": "section", "text": { "type": "mrkdwn", "text": text } })
}
