//! Authenticating Slack: requests signed by Slack's own library, bit by bit, and samples of Slack's requests.

use std::fs;

use anyhow::{Context, Result, ensure};
use lockstep_tests::http::form;
use lockstep_tests::root;
use lockstep_tests::virtual_environment::VirtualEnvironment;
use serde_json::{Value, json};

use crate::slack_app::{COMMANDS, EVENTS, INTERACTIONS, Stage, http};

const FORM: &str = "application/x-www-form-urlencoded";

fn status(stage: &Stage, body: &[u8], timestamp: &str, signature: &str) -> Result<u16> {
    let url = format!("{}{COMMANDS}", stage.sidecar.base);
    let headers = [
        ("content-type", FORM),
        ("x-slack-request-timestamp", timestamp),
        ("x-slack-signature", signature),
    ];
    Ok(http().send("POST", &url, &headers, body)?.status)
}

#[test]
fn slacks_library_signs_what_is_accepted() -> Result<()> {
    let stage = Stage::set("app_signed")?;
    let bodies = [
        form(&[
            ("team_id", "T1"),
            ("user_id", "U1"),
            ("command", "/gitlab"),
            ("text", "help"),
        ]),
        form(&[
            ("team_id", "T1"),
            ("user_id", "U1"),
            ("command", "/gitlab"),
            ("text", "grüße an 😀 & <!channel>"),
        ]),
    ];
    let now = std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH)?;
    let timestamp = now.as_secs().to_string();
    let secret = stage.slack.app().signing_secret;
    let inputs = bodies
        .iter()
        .map(|body| json!({ "secret": secret, "timestamp": timestamp, "body": body }))
        .collect::<Vec<_>>();
    let signatures = VirtualEnvironment::shared()?.run("sign.py", &inputs)?;
    for (body, signature) in bodies.iter().zip(&signatures) {
        assert_eq!(
            status(&stage, body.as_bytes(), &timestamp, signature)?,
            200,
            "{body}"
        );
    }
    // Each bit of it counts.
    let (body, signature) = (bodies[0].as_bytes(), signatures[0].as_bytes());
    let parts: [&[u8]; 3] = [body, timestamp.as_bytes(), signature];
    let mut tried = 0;
    for (part, bytes) in parts.iter().enumerate() {
        for bit in 0..bytes.len() * 8 {
            let mut changed = parts.map(<[u8]>::to_vec);
            changed[part][bit / 8] ^= 1 << (bit % 8);
            let [body, timestamp, signature] = &changed;
            // A header with other characters cannot be sent at all.
            let (Ok(timestamp), Ok(signature)) =
                (str::from_utf8(timestamp), str::from_utf8(signature))
            else {
                continue;
            };
            let is_text = |text: &str| text.bytes().all(|byte| (0x20..0x7f).contains(&byte));
            if !is_text(timestamp) || !is_text(signature) {
                continue;
            }
            assert_eq!(
                status(&stage, body, timestamp, signature)?,
                401,
                "part {part}, bit {bit}"
            );
            tried += 1;
        }
    }
    ensure!(tried > 800, "{tried}");
    Ok(())
}

/// What the samples leave blank.
fn fill(sample: &mut Value) {
    match sample {
        Value::Object(fields) => {
            for (name, value) in fields {
                match (name.as_str(), &value) {
                    ("team_id", Value::String(_)) => *value = json!("T1"),
                    ("user" | "user_id", Value::String(_)) => *value = json!("U1"),
                    ("tab", Value::String(_)) => *value = json!("home"),
                    _ => fill(value),
                }
            }
        }
        Value::Array(values) => values.iter_mut().for_each(fill),
        _ => {}
    }
}

/// A sample as Slack would send it: path, content type and body.
fn as_sent(name: &str, sample: &Value) -> (&'static str, &'static str, String) {
    match name {
        "slash-command" => {
            let fields = sample.as_object().into_iter().flatten();
            let fields: Vec<(String, String)> = fields
                .map(|(name, value)| {
                    let text = value
                        .as_str()
                        .map_or_else(|| value.to_string(), str::to_owned);
                    (name.clone(), text)
                })
                .collect();
            let pairs: Vec<(&str, &str)> = fields
                .iter()
                .map(|(name, value)| (&**name, &**value))
                .collect();
            (COMMANDS, FORM, form(&pairs))
        }
        "block-action" | "view-submission" | "view-closed" => (
            INTERACTIONS,
            FORM,
            form(&[("payload", &sample.to_string())]),
        ),
        _ => (EVENTS, "application/json", sample.to_string()),
    }
}

/// Slack's samples if they are available, and always some of our own.
#[test]
fn samples_of_what_slack_sends_go_through() -> Result<()> {
    let mut stage = Stage::set("app_samples")?;
    let mut samples: Vec<(String, Value)> = vec![
        (
            "app-home-opened".into(),
            json!({ "type": "event_callback", "token": "", "team_id": "", "api_app_id": "", "event_id": "Ev1", "event_time": 1_700_000_000,
            "authorizations": [{ "enterprise_id": null, "team_id": "", "user_id": "", "is_bot": true, "is_enterprise_install": false }], "is_ext_shared_channel": false,
            "event": { "type": "app_home_opened", "user": "", "channel": "D1", "event_ts": "1.1", "tab": "home" } }),
        ),
        (
            "tokens-revoked".into(),
            json!({ "type": "event_callback", "team_id": "", "event_id": "Ev2", "event_time": 1_700_000_000, "event": { "type": "tokens_revoked", "tokens": { "oauth": ["U1"], "bot": [] } } }),
        ),
        (
            "slash-command".into(),
            json!({ "team_id": "", "team_domain": "acme", "user_id": "", "user_name": "ada", "command": "/gitlab", "text": "help", "response_url": "https://hooks.slack.com/commands/1/2", "trigger_id": "1.2" }),
        ),
        (
            "view-closed".into(),
            json!({ "type": "view_closed", "team": null, "enterprise": { "id": "E1" }, "user": { "id": "U1", "team_id": "" }, "view": { "id": "V1", "callback_id": "" }, "is_cleared": false }),
        ),
    ];
    let directory = root().join("../shared/data/slack-payloads");
    if let Ok(entries) = fs::read_dir(&directory) {
        for entry in entries {
            let path = entry?.path();
            let name = path
                .file_stem()
                .context("no name")?
                .to_string_lossy()
                .into_owned();
            let sample: Value = serde_json::from_str(&fs::read_to_string(&path)?)?;
            samples.push((name, sample));
        }
    }
    for (place, (name, sample)) in samples.iter_mut().enumerate() {
        fill(sample);
        match name.as_str() {
            "app-rate-limited" => sample["type"] = json!("app_rate_limited"),
            "slash-command" => {
                sample["command"] = json!("/gitlab");
                sample["text"] = json!("help");
            }
            "block-action" => {
                sample["team"]["id"] = json!("T1");
                sample["user"]["id"] = json!("U1");
            }
            "view-submission" | "view-closed" => {}
            _ => {
                sample["type"] = json!("event_callback");
                sample["event_id"] = json!(format!("Ev{place}"));
            }
        }
        let (path, kind, body) = as_sent(name, sample);
        let reply = stage.caller.post(path, kind, body.as_bytes())?;
        ensure!(
            reply.status == 200,
            "{name}: {} {}",
            reply.status,
            reply.text()
        );
    }
    ensure!(samples.len() >= 4);
    // The processed ones are in the database.
    let known = samples.iter().filter(|(name, _)| {
        matches!(
            name.as_str(),
            "app-home-opened" | "tokens-revoked" | "app-uninstalled"
        )
    });
    let expected = i64::try_from(known.count())?;
    let recorded = crate::service_account::number(
        &mut stage.client,
        "select count(*) from lockstep_internal.slack_event",
    )?;
    assert_eq!(recorded, expected);
    Ok(())
}
