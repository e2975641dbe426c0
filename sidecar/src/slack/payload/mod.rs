//! Slack's requests, as far as they are used. Slack adds fields at any time, and omits more than it documents.

mod interaction;
mod lenient;
mod owner;

use serde::Deserialize;
use serde_json::Value;

pub(crate) use interaction::{Action, Interaction};
use lenient::lenient;
pub(crate) use owner::{Owner, Tenant};

/// The body of a request of the Events API.
#[derive(Debug, Deserialize)]
pub(crate) struct Envelope {
    #[serde(rename = "type")]
    pub(crate) kind: String,
    pub(crate) challenge: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    pub(crate) event: Event,
    pub(crate) event_id: Option<String>,
    pub(crate) event_time: Option<i64>,
    #[serde(default, deserialize_with = "lenient")]
    team_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    enterprise_id: Option<String>,
    #[serde(default, deserialize_with = "lenient")]
    authorizations: Vec<Authorization>,
}

/// What happened.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(crate) struct Event {
    #[serde(rename = "type", deserialize_with = "lenient")]
    pub(crate) kind: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) user: String,
    #[serde(deserialize_with = "lenient")]
    pub(crate) tab: Option<String>,
    pub(crate) tokens: Value,
}

/// The installation that an event is sent for.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Authorization {
    team_id: Option<String>,
    enterprise_id: Option<String>,
    is_enterprise_install: bool,
}

impl Envelope {
    /// The installation's workspace: in a shared channel `team_id` may be another one.
    pub(crate) fn owner(&self) -> Option<Owner> {
        let first = self.authorizations.first();
        let of_first = |id: fn(&Authorization) -> &Option<String>| {
            first.and_then(|first| id(first).as_deref())
        };
        let team = of_first(|first| &first.team_id).or(self.team_id.as_deref());
        let enterprise = of_first(|first| &first.enterprise_id).or(self.enterprise_id.as_deref());
        Owner::new(team, enterprise)
    }

    /// The installation that has ended. A workspace of an organization can have its own: if that ends, the organization's
    /// continues.
    pub(crate) fn ended(&self) -> Option<Owner> {
        let mut owner = self.owner()?;
        let first = self.authorizations.first();
        let is_organizations = first.is_some_and(|first| first.is_enterprise_install);
        if let Some(enterprise) = owner.enterprise.take()
            && is_organizations
        {
            owner.team = enterprise;
        }
        Some(owner)
    }
}

/// The form of a slash command.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct SlashCommand {
    pub(crate) owner: Owner,
    pub(crate) user: String,
    pub(crate) user_name: String,
    pub(crate) channel: String,
    /// Without its #; of a private channel no name.
    pub(crate) channel_name: String,
    pub(crate) command: String,
    pub(crate) text: String,
    pub(crate) response_url: Option<String>,
    /// Slack's id of the command, the same if it is delivered twice.
    pub(crate) trigger: Option<String>,
}

/// Ten of thirteen or more fields; the others are not decoded.
const USED_FIELDS: [&[u8]; 10] = [
    b"team_id=",
    b"enterprise_id=",
    b"user_id=",
    b"user_name=",
    b"channel_id=",
    b"channel_name=",
    b"command=",
    b"text=",
    b"response_url=",
    b"trigger_id=",
];

impl SlashCommand {
    /// None if something is missing that Slack always sends.
    pub(super) fn of_form(body: &[u8]) -> Option<Self> {
        let mut command = Self::default();
        let (mut team, mut enterprise) = (None, None);
        let fields = body.split(|byte| *byte == b'&');
        let used = fields.filter(|field| USED_FIELDS.iter().any(|name| field.starts_with(name)));
        for (name, value) in used.flat_map(form_urlencoded::parse) {
            // A zero byte is not a character, and the database rejects it.
            let value = value.replace('\0', " ");
            match &*name {
                "team_id" => team = Some(value),
                "enterprise_id" => enterprise = Some(value),
                "user_id" => command.user = value,
                "user_name" => command.user_name = value,
                "channel_id" => command.channel = value,
                "channel_name" => command.channel_name = value,
                "command" => command.command = value,
                "text" => command.text = value,
                "response_url" => command.response_url = Some(value),
                "trigger_id" => command.trigger = Some(value),
                _ => {}
            }
        }
        command.owner = Owner::new(team.as_deref(), enterprise.as_deref())?;
        (!command.user.is_empty() && !command.command.is_empty()).then_some(command)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::{Value, json};

    use super::{Envelope, Interaction, Owner, SlashCommand};

    fn owner(team: &str, enterprise: Option<&str>) -> Option<Owner> {
        Owner::new(Some(team), enterprise)
    }

    #[test]
    fn owner_of_an_event_is_the_one_it_is_sent_for() {
        let cases = [
            (json!({"team_id": "T1"}), owner("T1", None)),
            (
                json!({"team_id": "T2", "authorizations": [{"team_id": "T1", "enterprise_id": null}]}),
                owner("T1", None),
            ),
            (
                json!({"team_id": "T1", "authorizations": [{"team_id": null, "enterprise_id": "E1"}]}),
                owner("T1", Some("E1")),
            ),
            (
                json!({"authorizations": [{"enterprise_id": "E1"}]}),
                owner("E1", Some("E1")),
            ),
            (
                json!({"team_id": "T1", "authorizations": "none"}),
                owner("T1", None),
            ),
            (json!({"team_id": ["T1"], "enterprise_id": 7}), None),
            (json!({"team_id": ""}), None),
        ];
        for (mut body, expected) in cases {
            body["type"] = json!("event_callback");
            let envelope: Option<Envelope> = serde_json::from_value(body.clone()).ok();
            assert_eq!(
                envelope.and_then(|envelope| envelope.owner()),
                expected,
                "{body}"
            );
        }
    }

    #[test]
    fn workspace_ends_without_its_organization() {
        let cases = [
            (
                json!({"team_id": "T1", "authorizations": [{"team_id": "T1", "enterprise_id": "E1"}]}),
                "T1",
            ),
            (
                json!({"team_id": "T1", "authorizations": [{"team_id": "T1", "enterprise_id": "E1", "is_enterprise_install": false}]}),
                "T1",
            ),
            (json!({"team_id": "T1", "enterprise_id": "E1"}), "T1"),
            (
                json!({"team_id": "T1", "authorizations": [{"team_id": null, "enterprise_id": "E1", "is_enterprise_install": true}]}),
                "E1",
            ),
            (json!({"team_id": "E1"}), "E1"),
        ];
        for (mut body, expected) in cases {
            body["type"] = json!("event_callback");
            let envelope: Option<Envelope> = serde_json::from_value(body.clone()).ok();
            let ended = envelope.and_then(|envelope| envelope.ended());
            assert_eq!(ended, owner(expected, None), "{body}");
        }
    }

    #[test]
    fn owner_of_an_interaction_is_found_wherever_slack_puts_it() {
        let cases = [
            (
                json!({"team": {"id": "T1"}, "user": {"team_id": "T9"}}),
                owner("T1", None),
            ),
            (
                json!({"team": null, "enterprise": {"id": "E1"}, "user": {"team_id": "T1"}}),
                owner("T1", Some("E1")),
            ),
            (
                json!({"team": null, "enterprise": {"id": "E1"}}),
                owner("E1", Some("E1")),
            ),
            (
                json!({"team": "T1", "enterprise": "E1"}),
                owner("T1", Some("E1")),
            ),
            (
                json!({"view": {"app_installed_team_id": "T1", "team_id": "T2"}, "team": {"id": "T3"}}),
                owner("T1", None),
            ),
            (json!({"view": {"team_id": "T2"}}), owner("T2", None)),
            (json!({}), None),
        ];
        for (payload, expected) in cases {
            let interaction = serde_json::from_value::<Interaction>(payload.clone());
            let owner = interaction.ok().and_then(|it| it.owner());
            assert_eq!(owner, expected, "{payload}");
        }
    }

    proptest! {
        #[test]
        fn command_comes_out_as_it_went_in(team in "T[A-Z0-9]{1,9}", user in "U[A-Z0-9]{1,9}", text: String, url: Option<String>) {
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.extend_pairs([("team_id", &*team), ("user_id", &*user), ("command", "/gitlab"), ("text", &*text)]);
            if let Some(url) = &url {
                form.append_pair("response_url", url);
            }
            let parsed = SlashCommand::of_form(form.finish().as_bytes());
            prop_assert_eq!(parsed, Some(SlashCommand {
                owner: Owner { team, enterprise: None },
                user,
                command: "/gitlab".to_owned(),
                text: text.replace('\0', " "),
                response_url: url.map(|url| url.replace('\0', " ")),
                ..SlashCommand::default()
            }));
        }

        #[test]
        fn any_body_is_survived(body: Vec<u8>, json: String) {
            let _ = SlashCommand::of_form(&body);
            let _ = Interaction::of_form(&body);
            let _ = serde_json::from_slice::<Envelope>(&body);
            let mut form = form_urlencoded::Serializer::new(String::new());
            form.append_pair("payload", &json);
            let _ = Interaction::of_form(form.finish().as_bytes()).and_then(|it| it.owner());
        }

        #[test]
        fn any_payload_is_survived(fields in proptest::collection::vec(("type|team|user|view|enterprise|actions", any_json()), 0..6)) {
            let payload: Value = fields.into_iter().collect();
            let _ = serde_json::from_value::<Interaction>(payload.clone()).ok().and_then(|it| it.owner());
            let _ = serde_json::from_value::<Envelope>(payload).ok().and_then(|envelope| envelope.owner());
        }
    }

    fn any_json() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            ".{0,8}".prop_map(Value::from),
        ];
        leaf.prop_recursive(3, 16, 4, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                proptest::collection::vec(
                    ("id|team_id|enterprise_id|app_installed_team_id", inner),
                    0..4
                )
                .prop_map(|fields| fields.into_iter().collect()),
            ]
        })
    }
}
