//! The fake Slack: the consent page, codes, and refreshed tokens.

use std::time::Duration;

use anyhow::{Context, Result};
use lockstep_tests::http::{Reply, form};
use lockstep_tests::slack::{App, Decision, FakeSlack};
use serde_json::{Value, json};

use crate::slack_fake::{SCOPES, Scene, outcome};

const LANDING: &str = "http://127.0.0.1:1/slack/callback";

fn authorize(scene: &Scene, fields: &[(&str, &str)]) -> Result<Reply> {
    let url = format!(
        "{}/oauth/v2/authorize?{}",
        scene.fake.base_url(),
        form(fields)
    );
    scene.http.get(&url, &[])
}

/// Approves and returns the code.
fn code(scene: &Scene) -> Result<String> {
    let client_id = scene.fake.app().client_id;
    let fields = [
        ("client_id", &*client_id),
        ("scope", "commands,chat:write"),
        ("redirect_uri", LANDING),
        ("state", "a state"),
    ];
    let reply = authorize(scene, &fields)?;
    assert_eq!(reply.status, 302);
    let location = reply.header("location").context("no location")?;
    let query = location.strip_prefix(LANDING).context("elsewhere")?;
    let query = query.strip_prefix("?code=").context("no code")?;
    let code = query.strip_suffix("&state=a+state").context("no state")?;
    Ok(code.to_owned())
}

/// Calls oauth.v2.access with the app's credentials as HTTP Basic.
fn access(scene: &Scene, fields: &[(&str, &str)]) -> Result<Value> {
    let app = scene.fake.app();
    let basic = basic(&app.client_id, &app.client_secret);
    let headers = [("authorization", &*basic)];
    scene
        .http
        .post_form(&scene.url("oauth.v2.access"), &headers, fields)?
        .json()
}

fn basic(id: &str, secret: &str) -> String {
    use base64::Engine;
    let text = base64::engine::general_purpose::STANDARD.encode(format!("{id}:{secret}"));
    format!("Basic {text}")
}

fn exchange(scene: &Scene, code: &str) -> Result<Value> {
    access(scene, &[("code", code), ("redirect_uri", LANDING)])
}

#[test]
fn page_of_consent_checks_what_it_is_asked() -> Result<()> {
    let scene = Scene::new()?;
    let id = scene.fake.app().client_id;
    let cases = [
        ("nobody", "commands", LANDING, "invalid_client_id"),
        (&*id, "", LANDING, "no_scopes"),
        (
            &*id,
            "commands,everything",
            LANDING,
            "invalid_scope: everything",
        ),
        (&*id, "commands", "", "bad_redirect_uri"),
        (&*id, "commands", "http://example.com/", "bad_redirect_uri"),
        (
            &*id,
            "commands",
            "http://127.0.0.1.example.com/",
            "bad_redirect_uri",
        ),
    ];
    for (client_id, scope, redirect_uri, expected) in cases {
        let fields = [
            ("client_id", client_id),
            ("scope", scope),
            ("redirect_uri", redirect_uri),
        ];
        let reply = authorize(&scene, &fields)?;
        assert_eq!((reply.status, &*reply.text()), (400, expected));
    }
    Ok(())
}

#[test]
fn whoever_cancels_is_sent_back_with_the_state() -> Result<()> {
    let scene = Scene::new()?;
    scene.fake.decide(Decision::Deny);
    let client_id = scene.fake.app().client_id;
    let fields = [
        ("client_id", &*client_id),
        ("scope", "commands"),
        ("redirect_uri", LANDING),
        ("state", "s"),
    ];
    let reply = authorize(&scene, &fields)?;
    let expected = format!("{LANDING}?error=access_denied&state=s");
    assert_eq!(reply.header("location"), Some(&*expected));
    Ok(())
}

#[test]
fn code_is_exchanged_once() -> Result<()> {
    let scene = Scene::new()?;
    let code = code(&scene)?;
    let elsewhere = [("code", &*code), ("redirect_uri", "http://127.0.0.1:2/")];
    assert_eq!(outcome(&access(&scene, &elsewhere)?), "bad_redirect_uri");
    let granted = exchange(&scene, &code)?;
    assert_eq!(outcome(&granted), "ok");
    assert_eq!(
        granted["team"],
        json!({ "id": scene.team.id, "name": "Acme" })
    );
    assert_eq!(granted["enterprise"], Value::Null);
    assert_eq!(granted["is_enterprise_install"], json!(false));
    assert_eq!(granted["authed_user"]["id"], json!(scene.ada.id));
    // Scopes of earlier installations stay.
    let mut scopes = SCOPES.to_vec();
    scopes.sort_unstable();
    assert_eq!(granted["scope"], json!(scopes.join(",")));
    assert_eq!(granted["access_token"], json!(scene.token));
    assert_eq!(granted.get("refresh_token"), None);
    assert_eq!(outcome(&exchange(&scene, &code)?), "invalid_code");
    Ok(())
}

#[test]
fn code_ends_after_ten_minutes() -> Result<()> {
    let scene = Scene::new()?;
    for (age, expected) in [(599, "ok"), (600, "invalid_code")] {
        let code = code(&scene)?;
        scene.fake.clock().advance(Duration::from_secs(age));
        assert_eq!(outcome(&exchange(&scene, &code)?), expected, "{age}");
    }
    Ok(())
}

#[test]
fn exchange_checks_the_app_first() -> Result<()> {
    let scene = Scene::new()?;
    let app = scene.fake.app();
    let url = scene.url("oauth.v2.access");
    let cases = [
        ("nobody", &*app.client_secret, "invalid_client_id"),
        (&*app.client_id, "guess", "bad_client_secret"),
        (&*app.client_id, "", "bad_client_secret"),
        (&*app.client_id, &*app.client_secret, "invalid_code"),
    ];
    for (id, secret, expected) in cases {
        let fields = [
            ("client_id", id),
            ("client_secret", secret),
            ("code", "none"),
        ];
        let answer = scene.http.post_form(&url, &[], &fields)?;
        assert_eq!(outcome(&answer.json()?), expected);
        let basic = basic(id, secret);
        let headers = [("authorization", &*basic)];
        let answer = scene.http.post_form(&url, &headers, &[("code", "none")])?;
        assert_eq!(outcome(&answer.json()?), expected);
    }
    let answer = access(&scene, &[("grant_type", "password")])?;
    assert_eq!(outcome(&answer), "invalid_grant_type");
    Ok(())
}

#[test]
fn rotated_tokens_expire_and_are_renewed_once() -> Result<()> {
    let app = App {
        rotates_tokens: true,
        ..App::default()
    };
    let mut scene = Scene::of(app, &SCOPES)?;
    let granted = exchange(&scene, &code(&scene)?)?;
    assert_eq!(granted["expires_in"], json!(43_200));
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    scene.token = text(&granted["access_token"]);
    assert!(scene.token.starts_with("xoxe.xoxb-"), "{}", scene.token);
    scene.fake.clock().advance(Duration::from_secs(43_199));
    assert_eq!(scene.outcome("auth.test", &json!({}))?, "ok");
    scene.fake.clock().advance(Duration::from_secs(1));
    assert_eq!(scene.outcome("auth.test", &json!({}))?, "token_expired");

    let old = text(&granted["refresh_token"]);
    let fields = [("grant_type", "refresh_token"), ("refresh_token", &*old)];
    let renewed = access(&scene, &fields)?;
    assert_eq!(outcome(&renewed), "ok");
    assert_eq!(renewed["team"]["id"], json!(scene.team.id));
    assert_ne!(renewed["refresh_token"], granted["refresh_token"]);
    scene.token = text(&renewed["access_token"]);
    assert_eq!(scene.outcome("auth.test", &json!({}))?, "ok");
    assert_eq!(outcome(&access(&scene, &fields)?), "invalid_refresh_token");

    // Two access tokens are valid; the third invalidates the first.
    for (number, expected) in [(1, "ok"), (2, "token_revoked")] {
        scene.fake.install(&scene.team.id, &scene.ada.id, &[])?;
        assert_eq!(
            scene.outcome("auth.test", &json!({}))?,
            expected,
            "{number}"
        );
    }
    Ok(())
}

#[test]
fn whole_organization_gets_one_token_for_all_its_workspaces() -> Result<()> {
    let mut scene = Scene::new()?;
    let fake = &scene.fake;
    let enterprise = fake.create_enterprise("Acme Group");
    let workspace = fake.create_workspace_in(&enterprise.id, "Acme West");
    let channel = fake.create_channel(&workspace.id, "west");
    let eve = fake.create_user(&workspace.id, "eve");
    fake.decide(Decision::Approve {
        tenant: enterprise.id.clone(),
        user: eve.id.clone(),
    });
    let granted = exchange(&scene, &code(&scene)?)?;
    assert_eq!(granted["team"], Value::Null);
    assert_eq!(granted["enterprise"]["id"], json!(enterprise.id));
    assert_eq!(granted["is_enterprise_install"], json!(true));
    let bot = granted["bot_user_id"].as_str().unwrap_or_default();
    scene.fake.join(&channel.id, bot)?;
    scene.token = granted["access_token"]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    for (name, expected) in [
        (&*channel.id, "ok"),
        ("#west", "team_not_found"),
        (&*scene.channel.id, "channel_not_found"),
    ] {
        let arguments = json!({ "channel": name, "text": "hello" });
        assert_eq!(
            scene.outcome("chat.postMessage", &arguments)?,
            expected,
            "{name}"
        );
    }
    let view = crate::slack_fake::home();
    for (user, expected) in [(&eve.id, "ok"), (&scene.ada.id, "user_not_found")] {
        let arguments = json!({ "user_id": user, "view": view });
        assert_eq!(scene.outcome("views.publish", &arguments)?, expected);
    }
    let modal =
        json!({ "type": "modal", "title": { "type": "plain_text", "text": "t" }, "blocks": [] });
    for (team, expected) in [
        (&workspace.id, "ok"),
        (&scene.team.id, "invalid_trigger_id"),
    ] {
        let arguments = json!({ "trigger_id": scene.fake.trigger(team), "view": modal });
        assert_eq!(scene.outcome("views.open", &arguments)?, expected);
    }
    let event = scene.fake.home_opened(&enterprise.id, &eve.id)?;
    assert_eq!(event["team_id"], json!(workspace.id));
    assert_eq!(event["enterprise_id"], json!(enterprise.id));
    let authorization = &event["authorizations"][0];
    assert_eq!(authorization["team_id"], Value::Null);
    assert_eq!(authorization["is_enterprise_install"], json!(true));
    Ok(())
}

#[test]
fn administrator_installs_without_a_state() -> Result<()> {
    let fake = FakeSlack::start(App::default())?;
    let team = fake.create_workspace("Acme");
    let ada = fake.create_user(&team.id, "ada");
    let code = fake.issue_code(&team.id, &ada.id, &["commands"], LANDING);
    let app = fake.app();
    let fields = [
        ("client_id", &*app.client_id),
        ("client_secret", &*app.client_secret),
        ("code", &*code),
        ("redirect_uri", LANDING),
    ];
    let http = lockstep_tests::http::Http::new(crate::slack_fake::PATIENCE);
    let url = format!("{}/api/oauth.v2.access", fake.base_url());
    let granted = http.post_form(&url, &[], &fields)?.json()?;
    assert_eq!(outcome(&granted), "ok");
    assert_eq!(fake.installations().len(), 1);
    Ok(())
}
