//! User actions in the App Home.

use serde::Deserialize;
use serde_json::Value;

use super::lenient::lenient;
use super::owner::Owner;

/// User actions in the App Home, and requests for a menu's options while somebody types.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Interaction {
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub(crate) kind: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) trigger_id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) response_url: Option<String>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) channel: Channel,
    #[serde(deserialize_with = "lenient")]
    pub(crate) user: User,
    #[serde(deserialize_with = "lenient")]
    pub(crate) actions: Vec<Action>,
    #[serde(deserialize_with = "lenient")]
    pub(crate) view: View,
    /// The menu, and the text typed there.
    #[serde(deserialize_with = "lenient")]
    pub(crate) action_id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) value: String,
    team: Value,
    enterprise: Value,
    #[serde(deserialize_with = "lenient")]
    team_id: String,
    #[serde(deserialize_with = "lenient")]
    enterprise_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct User {
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) username: String,
    #[serde(deserialize_with = "lenient")]
    team_id: String,
}

/// Where the message with a button is.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Channel {
    #[serde(deserialize_with = "lenient")]
    pub(crate) id: String,
}

/// Of a button or menu.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Action {
    #[serde(deserialize_with = "lenient")]
    pub(crate) action_id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) action_ts: String,
    #[serde(deserialize_with = "lenient")]
    value: Option<String>,
    #[serde(deserialize_with = "lenient")]
    selected_option: Chosen,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Chosen {
    #[serde(deserialize_with = "lenient")]
    value: Option<String>,
}

impl Action {
    /// The value of a button, or of the selected option.
    pub(crate) fn value(&self) -> Option<&str> {
        let chosen = self.selected_option.value.as_deref();
        self.value.as_deref().or(chosen)
    }
}

/// A modal or an App Home.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct View {
    #[serde(deserialize_with = "lenient")]
    pub(crate) callback_id: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) private_metadata: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) hash: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) state: Filled,
    #[serde(deserialize_with = "lenient")]
    blocks: Vec<Block>,
    #[serde(deserialize_with = "lenient")]
    app_installed_team_id: String,
    #[serde(deserialize_with = "lenient")]
    team_id: String,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Block {
    #[serde(rename = "type", deserialize_with = "lenient")]
    kind: String,
    #[serde(deserialize_with = "lenient")]
    block_id: String,
}

impl View {
    /// The first field of a modal, next to which an error can be shown.
    pub(crate) fn first_input(&self) -> Option<&str> {
        let mut blocks = self.blocks.iter();
        let input = blocks.find(|block| block.kind == "input" && !block.block_id.is_empty())?;
        Some(&input.block_id)
    }
}

/// The submitted values, by field.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Filled {
    pub(crate) values: Value,
}

impl Interaction {
    /// The JSON object in the form field `payload`.
    pub(in crate::slack) fn of_form(body: &[u8]) -> Option<Self> {
        let mut payloads = form_urlencoded::parse(body).filter(|(name, _)| name == "payload");
        let (_, payload) = payloads.next()?;
        let is_object = payload.trim_start().starts_with('{');
        serde_json::from_str(&payload).ok().filter(|_| is_object)
    }

    /// The workspace it comes from. In an org-wide installation `team` is null.
    pub(crate) fn owner(&self) -> Option<Owner> {
        let text = |value: &'_ Value| value.as_str().unwrap_or_default().to_owned();
        let teams = [
            self.view.app_installed_team_id.clone(),
            text(&self.team["id"]),
            text(&self.team),
            self.team_id.clone(),
            self.user.team_id.clone(),
            self.view.team_id.clone(),
        ];
        let enterprises = [
            text(&self.enterprise["id"]),
            text(&self.enterprise),
            text(&self.team["enterprise_id"]),
            self.enterprise_id.clone(),
        ];
        let first = |ids: &[String]| ids.iter().find(|id| !id.is_empty()).cloned();
        Owner::new(first(&teams).as_deref(), first(&enterprises).as_deref())
    }
}
