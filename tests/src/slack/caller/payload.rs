//! The contents of commands and interactions.

use std::sync::atomic::{AtomicU64, Ordering};

use serde_json::{Value, json};

use crate::slack::world::App;

/// Who does something, and where.
#[derive(Clone, Debug, Default)]
pub struct Origin {
    /// None in an interaction with an org-wide installation outside a workspace.
    pub team_id: Option<String>,
    pub team_domain: String,
    pub enterprise_id: Option<String>,
    pub enterprise_name: Option<String>,
    pub is_enterprise_install: bool,
    pub channel_id: String,
    pub channel_name: String,
    pub user_id: String,
    pub user_name: String,
    pub trigger_id: String,
    pub response_url: String,
}

impl Origin {
    /// The fields of a slash command.
    pub(super) fn command(
        &self,
        app: &App,
        command: &str,
        text: &str,
    ) -> Vec<(&'static str, String)> {
        let mut fields = vec![
            ("token", app.verification_token.clone()),
            ("team_id", self.team_id.clone().unwrap_or_default()),
            ("team_domain", self.team_domain.clone()),
            ("channel_id", self.channel_id.clone()),
            ("channel_name", self.channel_name.clone()),
            ("user_id", self.user_id.clone()),
            ("user_name", self.user_name.clone()),
            ("command", command.to_owned()),
            ("text", text.to_owned()),
            ("api_app_id", app.id.clone()),
            (
                "is_enterprise_install",
                self.is_enterprise_install.to_string(),
            ),
            ("response_url", self.response_url.clone()),
            ("trigger_id", self.trigger()),
        ];
        if let Some(id) = &self.enterprise_id {
            fields.push(("enterprise_id", id.clone()));
            let name = self.enterprise_name.clone().unwrap_or_default();
            fields.push(("enterprise_name", name));
        }
        fields
    }

    /// Of its own for each request, as Slack has it, unless it is given.
    fn trigger(&self) -> String {
        static NEXT: AtomicU64 = AtomicU64::new(1);
        match self.trigger_id.as_str() {
            "" => format!("{}.1.fake", NEXT.fetch_add(1, Ordering::Relaxed)),
            given => given.to_owned(),
        }
    }

    /// The common part of interactions.
    fn payload(&self, app: &App, kind: &str) -> Value {
        let team = self.team_id.as_ref().map(|id| {
            let mut team = json!({ "id": id, "domain": self.team_domain });
            if let Some(enterprise) = &self.enterprise_id {
                team["enterprise_id"] = json!(enterprise);
                team["enterprise_name"] = json!(self.enterprise_name);
            }
            team
        });
        let enterprise = self
            .enterprise_id
            .as_ref()
            .map(|id| json!({ "id": id, "name": self.enterprise_name }));
        json!({
            "type": kind,
            "team": team,
            "enterprise": enterprise,
            "user": {
                "id": self.user_id,
                "username": self.user_name,
                "name": self.user_name,
                "team_id": self.team_id,
            },
            "api_app_id": app.id,
            "token": app.verification_token,
            "is_enterprise_install": self.is_enterprise_install,
        })
    }

    fn container(&self, view: Option<&Value>) -> Value {
        match view {
            Some(view) => json!({ "type": "view", "view_id": view["id"] }),
            None => json!({
                "type": "message",
                "message_ts": "1700000000.000100",
                "channel_id": self.channel_id,
                "is_ephemeral": false,
            }),
        }
    }
}

/// A click or a selection: `actions` are Slack's objects of action_id, block_id, type and value. In a view or, without one, in a
/// message of the channel.
pub fn block_actions(app: &App, origin: &Origin, view: Option<&Value>, actions: &Value) -> Value {
    let mut payload = origin.payload(app, "block_actions");
    payload["trigger_id"] = json!(origin.trigger());
    payload["container"] = origin.container(view);
    payload["actions"] = actions.clone();
    match view {
        Some(view) => payload["view"] = view.clone(),
        None => {
            payload["channel"] = json!({ "id": origin.channel_id, "name": origin.channel_name });
            payload["response_url"] = json!(origin.response_url);
        }
    }
    payload
}

/// A submitted modal. `view` is as Slack returned it; `values` is its state by block_id and action_id.
pub fn view_submission(app: &App, origin: &Origin, view: &Value, values: &Value) -> Value {
    let mut payload = origin.payload(app, "view_submission");
    payload["trigger_id"] = json!(origin.trigger());
    payload["view"] = view.clone();
    payload["view"]["state"] = json!({ "values": values });
    payload["response_urls"] = json!([]);
    payload
}

/// A closed modal.
pub fn view_closed(app: &App, origin: &Origin, view: &Value) -> Value {
    let mut payload = origin.payload(app, "view_closed");
    payload["view"] = view.clone();
    payload["is_cleared"] = json!(false);
    payload
}

/// Text typed into a menu whose options the app provides.
pub fn block_suggestion(
    app: &App,
    origin: &Origin,
    view: Option<&Value>,
    block_id: &str,
    action_id: &str,
    value: &str,
) -> Value {
    let mut payload = origin.payload(app, "block_suggestion");
    payload["container"] = origin.container(view);
    payload["block_id"] = json!(block_id);
    payload["action_id"] = json!(action_id);
    payload["value"] = json!(value);
    if let Some(view) = view {
        payload["view"] = view.clone();
    }
    payload
}
