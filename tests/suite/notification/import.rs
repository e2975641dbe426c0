//! Importing channels and filters that GitLab stores encrypted.

use anyhow::{Context, Result, ensure};
use lockstep_tests::slack::{App, FakeSlack};
use ring::aead::{AES_256_GCM, Aad, LessSafeKey, Nonce, UnboundKey};
use serde_json::{Value, json};

use crate::notification::app::Scene;
use crate::slack_app::{TOKEN_KEY, command};

/// GitLab's encrypted properties of a project: the bytes and the nonce.
const SET: &str = "update integrations set encrypted_properties = $1, encrypted_properties_iv = $2 where project_id = $3";

/// Encrypted like GitLab does: AES-256-GCM over JSON with the first 32 bytes of its key, a 12-byte nonce, and the tag at the end.
fn sealed(properties: &Value, nonce: [u8; 12]) -> Result<Vec<u8>> {
    let key = UnboundKey::new(&AES_256_GCM, &TOKEN_KEY.as_bytes()[..32])
        .ok()
        .context("no key")?;
    let mut bytes = properties.to_string().into_bytes();
    LessSafeKey::new(key)
        .seal_in_place_append_tag(
            Nonce::assume_unique_for_key(nonce),
            Aad::empty(),
            &mut bytes,
        )
        .ok()
        .context("not sealed")?;
    Ok(bytes)
}

/// Runs the command like a DBA; returns exit code and output.
fn import(url: &str, arguments: &[&str]) -> Result<(Option<i32>, String)> {
    let url = url.replace("user=sidecar", "user=postgres");
    let app = FakeSlack::start(App::default())?;
    let output = command("import-settings", &url, &app)
        .args(arguments)
        .output()?;
    let text = [output.stdout, output.stderr].concat();
    Ok((
        output.status.code(),
        String::from_utf8_lossy(&text).into_owned(),
    ))
}

#[test]
fn settings_of_the_host_are_taken_over() -> Result<()> {
    let mut scene = Scene::new("notification_import")?;
    let nonce = *b"nonce of 12!";
    let properties = json!({
        "channel": "#general, #dev", "push_channel": "#push", "branches_to_be_notified": "protected",
        "labels_to_be_notified": "~bug", "notify_only_broken_pipelines": "0",
    });
    scene.stage.client.execute(
        SET,
        &[&sealed(&properties, nonce)?, &nonce.as_slice(), &1_i64],
    )?;
    let url = scene.stage.url.clone();
    let import = |arguments: &[&str]| import(&url, arguments);
    let (status, said) = import(&["--dry-run"])?;
    ensure!(
        status == Some(0) && said.contains("1 would be imported"),
        "{said}"
    );
    let (status, said) = import(&["--token-key", "another key, of thirty-two bytes at least"])?;
    ensure!(
        status == Some(1) && said.contains("none of the keys"),
        "{said}"
    );
    let (status, said) = import(&[])?;
    ensure!(
        status == Some(0) && said.starts_with("1 imported, 0 already have settings"),
        "{said}"
    );
    let (status, said) = import(&[])?;
    ensure!(
        status == Some(0) && said.starts_with("0 imported, 1 already have settings"),
        "{said}"
    );
    let settings = scene.settings()?;
    assert_eq!(settings["channels"], json!(["#general", "#dev"]));
    assert_eq!(settings["event_channels"], json!({ "push": ["#push"] }));
    assert_eq!(settings["branches"], "protected");
    assert_eq!(settings["labels"], json!(["bug"]));
    assert_eq!(settings["only_broken_pipelines"], false);

    // What the database rejects is reported, and the rest stays unchanged.
    let eleven: Vec<String> = (0..11).map(|number| format!("#c{number}")).collect();
    let properties = json!({ "channel": eleven.join(",") });
    scene.stage.client.execute(
        SET,
        &[&sealed(&properties, nonce)?, &nonce.as_slice(), &1_i64],
    )?;
    let (status, said) = import(&["--overwrite"])?;
    ensure!(
        status == Some(1) && said.contains("1 failed") && said.contains("10"),
        "{said}"
    );
    assert_eq!(scene.settings()?, settings);

    // What GitLab no longer has is removed; what it never had stays.
    scene.set("project_id", 1, &json!({ "updates": "thread" }))?;
    for (properties, channels) in [
        (json!({ "channel": "#new" }), json!(["#new"])),
        (json!({}), json!([])),
    ] {
        scene.stage.client.execute(
            SET,
            &[&sealed(&properties, nonce)?, &nonce.as_slice(), &1_i64],
        )?;
        let (status, said) = import(&["--overwrite"])?;
        ensure!(
            status == Some(0) && said.starts_with("1 imported"),
            "{said}"
        );
        let settings = scene.settings()?;
        assert_eq!(settings["channels"], channels);
        assert_eq!(settings["event_channels"], json!({}));
        assert_eq!(settings["labels"], json!([]));
        assert_eq!(settings["branches"], "default");
        assert_eq!(settings["only_broken_pipelines"], true);
        assert_eq!(settings["updates"], "thread");
    }
    Ok(())
}

/// Unreadable properties do not block others, and are reported at the end.
#[test]
fn settings_that_cannot_be_read_are_told_at_the_end() -> Result<()> {
    let mut scene = Scene::new("notification_import_some")?;
    scene.connect("project_id", 2)?;
    scene.connect("group_id", 1)?;
    let nonce = *b"nonce of 12!";
    let bytes = sealed(&json!({ "channel": "#general" }), nonce)?;
    // The first has lost its nonce, the second is damaged.
    scene
        .stage
        .client
        .execute(SET, &[&bytes, &None::<&[u8]>, &1_i64])?;
    scene
        .stage
        .client
        .execute(SET, &[&&bytes[1..], &nonce.as_slice(), &2_i64])?;
    scene.stage.client.execute(
        "update integrations set encrypted_properties = $1, encrypted_properties_iv = $2 where group_id = 1",
        &[&bytes, &nonce.as_slice()],
    )?;
    let (status, said) = import(&scene.stage.url, &[])?;
    let lines: Vec<&str> = said.lines().collect();
    ensure!(status == Some(1) && lines.len() > 2, "{said}");
    for line in &lines[..2] {
        ensure!(line.contains("none of the keys decrypts"), "{said}");
    }
    ensure!(
        lines[2].starts_with("1 imported, 0 already have") && lines[2].ends_with("2 failed"),
        "{said}"
    );
    let query = "select count(*) from lockstep_internal.slack_notification n join integrations i on i.id = n.integration_id and i.group_id = 1";
    assert_eq!(
        scene.stage.client.query_one(query, &[])?.get::<_, i64>(0),
        1
    );
    Ok(())
}
