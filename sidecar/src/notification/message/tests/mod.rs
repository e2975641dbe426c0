//! Each kind of message as sent, and rules for all of them, whatever the payload.

mod any;
mod wrong;

use std::collections::BTreeMap;
use std::env;
use std::path::{Path, PathBuf};
use std::{fs, io};

use serde_json::{Value, json};

use super::render;
use wrong::wrong;

const KINDS: [&str; 20] = [
    "push",
    "tag_push",
    "issue",
    "work_item",
    "incident",
    "merge_request",
    "note",
    "pipeline",
    "wiki_page",
    "deployment",
    "alert",
    "vulnerability",
    "group_mention",
    "build",
    "release",
    "milestone",
    "feature_flag",
    "emoji",
    "lockstep_test",
    "lockstep_reviews",
];

fn room(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR"))
        .join("src/notification/message")
        .join(name)
}

/// The JSON files of a directory, by name.
fn files(directory: &Path) -> io::Result<BTreeMap<String, Value>> {
    let mut files = BTreeMap::new();
    for file in fs::read_dir(directory)? {
        let path = file?.path();
        if path.extension().is_some_and(|end| end == "json") {
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            let content = fs::read_to_string(&path)?;
            files.insert(name.into_owned(), serde_json::from_str(&content)?);
        }
    }
    Ok(files)
}

/// `LOCKSTEP_BLESS=1` rewrites the snapshots.
#[test]
fn messages_are_as_they_were() -> io::Result<()> {
    let (samples, snapshots) = (files(&room("samples"))?, room("snapshots"));
    assert!(samples.len() > 80, "{} samples", samples.len());
    if env::var_os("LOCKSTEP_BLESS").is_some_and(|bless| bless == "1") {
        for name in files(&snapshots)?.keys() {
            fs::remove_file(snapshots.join(format!("{name}.json")))?;
        }
        for (name, event) in &samples {
            let message = render(event).arguments("C0123456789");
            let text = serde_json::to_string_pretty(&message)?;
            fs::write(snapshots.join(format!("{name}.json")), text + "\n")?;
        }
    }
    let expected = files(&snapshots)?;
    assert!(
        samples.keys().eq(expected.keys()),
        "a sample or a snapshot is missing"
    );
    for (name, event) in &samples {
        let message = render(event);
        assert_eq!(wrong(&message), Vec::<String>::new(), "{name}");
        assert_eq!(message.arguments("C0123456789"), expected[name], "{name}");
        // As read from the network.
        let kept = lockstep_webhook::kept(event.to_string().as_bytes())?;
        assert_eq!(render(&kept), message, "{name}");
    }
    Ok(())
}

#[test]
fn every_kind_has_a_sample() -> io::Result<()> {
    let samples = files(&room("samples"))?;
    for kind in KINDS {
        assert!(
            samples.values().any(|event| event["object_kind"] == kind),
            "{kind}"
        );
    }
    Ok(())
}

/// Complete payloads, and those in GitLab's documentation, if available.
#[test]
fn messages_of_real_payloads_are_right() -> io::Result<()> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let documented = root.join("../../shared/data/gitlab-webhooks");
    let mut real = files(&root.join("../tests/webhooks"))?;
    if documented.is_dir() {
        let documented = files(&documented)?;
        real.extend(
            documented
                .into_iter()
                .map(|(name, event)| (format!("documented {name}"), event)),
        );
    }
    real.retain(|_, event| event["object_kind"].is_string());
    assert!(real.len() >= 12, "{} payloads", real.len());
    for (name, event) in real {
        let message = render(&event);
        assert_eq!(wrong(&message), Vec::<String>::new(), "{name}");
        assert!(message.text.len() > 20, "{name}: {}", message.text);
        assert!(
            !message.text.contains("without a"),
            "{name}: {}",
            message.text
        );
        // Pipeline variables are never shown.
        assert!(
            !message.arguments("C1").to_string().contains("assam"),
            "{name}"
        );
    }
    Ok(())
}

/// An update keeps what it leaves out.
#[test]
fn what_is_changed_is_replaced_as_a_whole() -> io::Result<()> {
    for (name, event) in files(&room("samples"))? {
        let message = render(&event);
        let arguments = message.replacement("C1", "1.2");
        assert_eq!(
            (&arguments["channel"], &arguments["ts"]),
            (&json!("C1"), &json!("1.2"))
        );
        let length = |part: &str| arguments[part].as_array().map(Vec::len);
        let is_empty = match message.color {
            Some(_) => (true, Some(0), Some(1)),
            None => (false, Some(message.blocks.len()), Some(0)),
        };
        let text = arguments["text"].as_str();
        let found = (text == Some(""), length("blocks"), length("attachments"));
        assert_eq!(found, is_empty, "{name}");
    }
    Ok(())
}
