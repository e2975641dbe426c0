//! The fake Slack: who may call what, and which messages and views it accepts.

pub(crate) mod block;
mod chance;
mod change;
mod failure;
mod message;
mod oauth;
mod program;
mod view;

use std::time::Duration;

use anyhow::{Result, ensure};
use lockstep_tests::http::{Http, Reply};
use lockstep_tests::slack::{App, Channel, FakeSlack, Installation, User, Workspace};
use serde_json::{Value, json};

/// The timeout for a busy machine.
pub(crate) const PATIENCE: Duration = Duration::from_secs(60);

pub(crate) const SCOPES: [&str; 4] = ["chat:write", "commands", "team:read", "users:read"];

/// A workspace with the app, one user and one channel with both as members.
pub(crate) struct Scene {
    pub(crate) fake: FakeSlack,
    pub(crate) http: Http,
    pub(crate) team: Workspace,
    pub(crate) ada: User,
    pub(crate) channel: Channel,
    pub(crate) installation: Installation,
    pub(crate) token: String,
}

impl Scene {
    pub(crate) fn new() -> Result<Self> {
        Self::of(App::default(), &SCOPES)
    }

    pub(crate) fn of(app: App, scopes: &[&str]) -> Result<Self> {
        let fake = FakeSlack::start(app)?;
        fake.clock().freeze();
        let team = fake.create_workspace("Acme");
        let ada = fake.create_user(&team.id, "ada");
        let channel = fake.create_channel(&team.id, "general");
        let (installation, issued) = fake.install(&team.id, &ada.id, scopes)?;
        fake.join(&channel.id, &ada.id)?;
        fake.join(&channel.id, &installation.bot_user_id)?;
        Ok(Self {
            http: Http::new(PATIENCE),
            token: issued.access_token,
            fake,
            team,
            ada,
            channel,
            installation,
        })
    }

    pub(crate) fn url(&self, method: &str) -> String {
        format!("{}/api/{method}", self.fake.base_url())
    }

    pub(crate) fn reply(&self, method: &str, arguments: &Value) -> Result<Reply> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", &*bearer)];
        self.http.post_json(&self.url(method), &headers, arguments)
    }

    pub(crate) fn form(&self, method: &str, fields: &[(&str, &str)]) -> Result<Value> {
        let bearer = format!("Bearer {}", self.token);
        let headers = [("authorization", &*bearer)];
        self.http
            .post_form(&self.url(method), &headers, fields)?
            .json()
    }

    pub(crate) fn call(&self, method: &str, arguments: &Value) -> Result<Value> {
        self.reply(method, arguments)?.json()
    }

    /// The error of a call, or "ok".
    pub(crate) fn outcome(&self, method: &str, arguments: &Value) -> Result<String> {
        Ok(outcome(&self.call(method, arguments)?))
    }
}

/// The error of a response, or "ok".
pub(crate) fn outcome(answer: &Value) -> String {
    if answer["ok"] == json!(true) {
        return "ok".to_owned();
    }
    answer["error"].as_str().unwrap_or("no error").to_owned()
}

pub(crate) fn home() -> Value {
    json!({ "type": "home", "blocks": [{ "type": "divider" }] })
}

#[test]
fn token_must_be_known_and_alive() -> Result<()> {
    let mut scene = Scene::new()?;
    let none = scene
        .http
        .post_json(&scene.url("auth.test"), &[], &json!({}))?;
    assert_eq!(outcome(&none.json()?), "not_authed");
    let in_address = format!("{}?token={}", scene.url("auth.test"), scene.token);
    assert_eq!(
        outcome(&scene.http.get(&in_address, &[])?.json()?),
        "not_authed"
    );
    let in_form = [("token", &*scene.token)];
    let answer = scene
        .http
        .post_form(&scene.url("auth.test"), &[], &in_form)?;
    assert_eq!(outcome(&answer.json()?), "ok");

    let answer = scene.call("auth.test", &json!({}))?;
    assert_eq!(answer["team_id"], json!(scene.team.id));
    assert_eq!(answer["user_id"], json!(scene.installation.bot_user_id));

    let right = std::mem::replace(&mut scene.token, "xoxb-nobody".to_owned());
    assert_eq!(scene.outcome("auth.test", &json!({}))?, "invalid_auth");
    scene.token = right;
    scene.fake.revoke_tokens(&scene.team.id)?;
    assert_eq!(scene.outcome("auth.test", &json!({}))?, "token_revoked");
    Ok(())
}

#[test]
fn unknown_method_and_unknown_bodies_are_refused() -> Result<()> {
    let scene = Scene::new()?;
    assert_eq!(scene.outcome("chat.shout", &json!({}))?, "unknown_method");
    let bearer = format!("Bearer {}", scene.token);
    let cases: [(&str, &[u8], &str); 4] = [
        ("application/json", b"{", "invalid_json"),
        ("application/json", b"[]", "json_not_object"),
        ("text/plain", b"channel=C", "invalid_post_type"),
        ("application/json", b"{}", "ok"),
    ];
    for (kind, body, expected) in cases {
        let headers = [("authorization", &*bearer), ("content-type", kind)];
        let reply = scene
            .http
            .send("POST", &scene.url("auth.test"), &headers, body)?;
        assert_eq!(outcome(&reply.json()?), expected, "{kind}");
    }
    Ok(())
}

#[test]
fn scope_that_is_missing_is_named() -> Result<()> {
    let scene = Scene::of(App::default(), &["commands"])?;
    for (method, needed) in [
        ("chat.postMessage", "chat:write"),
        ("chat.postEphemeral", "chat:write"),
        ("team.info", "team:read"),
        ("users.info", "users:read"),
    ] {
        let answer = scene.call(method, &json!({}))?;
        assert_eq!(outcome(&answer), "missing_scope", "{method}");
        assert_eq!(answer["needed"], json!(needed), "{method}");
        assert_eq!(answer["provided"], json!("commands"), "{method}");
    }
    Ok(())
}

#[test]
fn uninstalled_app_is_told_and_its_token_is_dead() -> Result<()> {
    let scene = Scene::new()?;
    let app = scene.fake.app();
    let wrong = [("client_id", &*app.client_id), ("client_secret", "guess")];
    assert_eq!(
        outcome(&scene.form("apps.uninstall", &wrong)?),
        "bad_client_secret"
    );
    scene.fake.limit("apps.uninstall", None);
    let right = [
        ("client_id", &*app.client_id),
        ("client_secret", &*app.client_secret),
    ];
    assert_eq!(outcome(&scene.form("apps.uninstall", &right)?), "ok");
    assert_eq!(scene.outcome("auth.test", &json!({}))?, "account_inactive");
    assert_eq!(scene.fake.installations(), []);
    let events = scene.fake.take_events();
    let kinds: Vec<&Value> = events.iter().map(|event| &event["event"]["type"]).collect();
    assert_eq!(kinds, ["app_uninstalled", "tokens_revoked"]);
    assert_eq!(events[0]["team_id"], json!(scene.team.id));
    let bots = json!([scene.installation.bot_user_id]);
    assert_eq!(events[1]["event"]["tokens"]["bot"], bots);
    Ok(())
}

#[test]
fn token_that_the_app_revokes_is_dead() -> Result<()> {
    let scene = Scene::new()?;
    let answer = scene.form("auth.revoke", &[("test", "true")])?;
    assert_eq!(answer["revoked"], json!(false));
    assert_eq!(scene.form("auth.revoke", &[])?["revoked"], json!(true));
    assert_eq!(scene.outcome("auth.test", &json!({}))?, "token_revoked");
    assert_eq!(scene.fake.take_events().len(), 1);
    Ok(())
}

#[test]
fn messages_go_only_where_the_app_may_post() -> Result<()> {
    let scene = Scene::new()?;
    let fake = &scene.fake;
    scene.fake.limit("chat.postMessage channel", None);
    let other = fake.create_channel(&scene.team.id, "other");
    let secret = fake.create_private_channel(&scene.team.id, "secret");
    let old = fake.create_channel(&scene.team.id, "old");
    fake.archive(&old.id)?;
    let foreign = fake.create_workspace("Foreign");
    let foreign = fake.create_channel(&foreign.id, "general");
    let cases = [
        (&*scene.channel.id, "ok"),
        ("general", "ok"),
        ("#general", "ok"),
        ("C0NOTHING", "channel_not_found"),
        (&*other.id, "not_in_channel"),
        (&*secret.id, "channel_not_found"),
        (&*old.id, "is_archived"),
        (&*foreign.id, "channel_not_found"),
    ];
    for (channel, expected) in cases {
        let arguments = json!({ "channel": channel, "text": "hello" });
        assert_eq!(
            scene.outcome("chat.postMessage", &arguments)?,
            expected,
            "{channel}"
        );
    }
    fake.install(&scene.team.id, &scene.ada.id, &["chat:write.public"])?;
    let arguments = json!({ "channel": other.id, "text": "hello" });
    assert_eq!(scene.outcome("chat.postMessage", &arguments)?, "ok");
    assert_eq!(fake.messages(&scene.channel.id).len(), 3);
    assert_eq!(fake.messages(&other.id).len(), 1);
    Ok(())
}

#[test]
fn messages_must_say_something_and_not_too_much() -> Result<()> {
    let scene = Scene::new()?;
    scene.fake.limit("chat.postMessage channel", None);
    let attachments: Vec<Value> = (0..101).map(|_| json!({ "text": "a" })).collect();
    let cases = [
        (json!({ "text": "a" }), "ok"),
        (json!({ "text": "a".repeat(40_000) }), "ok"),
        (json!({ "text": "a".repeat(40_001) }), "msg_too_long"),
        (
            json!({ "markdown_text": "a".repeat(12_001) }),
            "msg_too_long",
        ),
        (json!({ "text": "" }), "no_text"),
        (json!({ "blocks": [] }), "no_text"),
        (json!({ "blocks": [{ "type": "divider" }] }), "ok"),
        (json!({ "blocks": "[{\"type\": \"divider\"}]" }), "ok"),
        (json!({ "blocks": "[{" }), "invalid_blocks_format"),
        (json!({ "blocks": {} }), "invalid_blocks_format"),
        (
            json!({ "blocks": [{ "type": "dividing" }] }),
            "invalid_blocks",
        ),
        (
            json!({ "attachments": attachments }),
            "too_many_attachments",
        ),
        (json!({ "attachments": [1] }), "invalid_attachments"),
        (
            json!({ "attachments": [{ "blocks": [{ "type": "header" }] }] }),
            "invalid_blocks",
        ),
        (
            json!({ "text": "a", "thread_ts": "1.000001" }),
            "thread_not_found",
        ),
    ];
    for (mut arguments, expected) in cases {
        let shown: String = arguments.to_string().chars().take(80).collect();
        arguments["channel"] = json!(scene.channel.id);
        assert_eq!(
            scene.outcome("chat.postMessage", &arguments)?,
            expected,
            "{shown}"
        );
    }
    let first = scene.fake.messages(&scene.channel.id)[0].ts.clone();
    let reply = json!({ "channel": scene.channel.id, "text": "a", "thread_ts": first });
    assert_eq!(scene.outcome("chat.postMessage", &reply)?, "ok");
    Ok(())
}

#[test]
fn ephemeral_message_needs_a_user_of_the_channel() -> Result<()> {
    let scene = Scene::new()?;
    let bob = scene.fake.create_user(&scene.team.id, "bob");
    let cases = [
        (&scene.ada.id, "ok"),
        (&scene.installation.bot_user_id, "ok"),
        (&bob.id, "user_not_in_channel"),
    ];
    for (user, expected) in cases {
        let arguments = json!({ "channel": scene.channel.id, "user": user, "text": "psst" });
        assert_eq!(scene.outcome("chat.postEphemeral", &arguments)?, expected);
    }
    let messages = scene.fake.messages(&scene.channel.id);
    assert_eq!(messages[0].only_for.as_ref(), Some(&scene.ada.id));
    Ok(())
}

#[test]
fn workspace_and_users_are_told() -> Result<()> {
    let scene = Scene::new()?;
    assert_eq!(scene.form("team.info", &[])?["team"]["name"], json!("Acme"));
    let unknown = scene.form("team.info", &[("team", "T0NOTHING")])?;
    assert_eq!(outcome(&unknown), "team_not_found");
    let answer = scene.form("users.info", &[("user", &scene.ada.id)])?;
    assert_eq!(answer["user"]["name"], json!("ada"));
    let unknown = scene.form("users.info", &[("user", "U0NOTHING")])?;
    assert_eq!(outcome(&unknown), "user_not_found");
    // Slack only accepts this method's arguments as a form.
    let arguments = json!({ "user": scene.ada.id });
    assert_eq!(
        scene.outcome("users.info", &arguments)?,
        "invalid_arguments"
    );
    Ok(())
}

#[test]
fn every_call_is_recorded() -> Result<()> {
    let scene = Scene::new()?;
    scene.call(
        "views.publish",
        &json!({ "user_id": scene.ada.id, "view": home() }),
    )?;
    scene.call(
        "views.publish",
        &json!({ "user_id": "U0NOTHING", "view": home() }),
    )?;
    ensure!(
        scene.fake.wait_for_calls("views.publish", 2, PATIENCE),
        "not recorded"
    );
    let calls = scene.fake.calls_of("views.publish");
    assert_eq!(calls[0].tenant.as_ref(), Some(&scene.team.id));
    assert_eq!(calls[0].arguments["user_id"], json!(scene.ada.id));
    assert_eq!(
        (calls[0].status, calls[0].error.as_deref()),
        (Some(200), None)
    );
    assert_eq!(calls[1].error.as_deref(), Some("user_not_found"));
    let is_short = scene
        .fake
        .wait_for_calls("views.publish", 3, Duration::from_millis(1));
    ensure!(!is_short, "a call that nobody made");
    Ok(())
}
