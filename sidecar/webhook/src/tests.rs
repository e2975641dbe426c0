//! GitLab's payloads as sent, and invalid ones.

use crate::{BadField, Event, ObjectKind, Text, check_is_readable, trimmed};
use serde_json::{Value, json};
use std::collections::BTreeMap;
use std::path::Path;
use std::{fs, io};

/// The tests' payloads, and those of GitLab's documentation, if available.
fn payloads() -> io::Result<BTreeMap<String, String>> {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut payloads = BTreeMap::new();
    for (origin, directory) in [
        ("", "tests/webhooks"),
        ("documented ", "../shared/data/gitlab-webhooks"),
    ] {
        for file in fs::read_dir(root.join(directory)).into_iter().flatten() {
            let path = file?.path();
            let name = path.file_stem().unwrap_or_default().to_string_lossy();
            if name != "headers" {
                payloads.insert(format!("{origin}{name}"), fs::read_to_string(&path)?);
            }
        }
    }
    assert!(payloads.len() >= 12, "{} payloads", payloads.len());
    Ok(payloads)
}

/// What messages show of an event besides its project and numbers.
fn shown<'a>(event: &'a Event<'a>) -> Vec<&'a str> {
    let it = &event.object_attributes;
    let user = &event.user.name;
    let shown: Vec<&Text> = match event.kind() {
        Some(ObjectKind::Push | ObjectKind::TagPush) => {
            let commits = event.commits.iter();
            let commits = commits.flat_map(|it| [&it.id, &it.title, &it.author.name]);
            let all = [&event.user_name, &event.reference, &event.message];
            all.into_iter().chain(commits).collect()
        }
        Some(ObjectKind::Issue | ObjectKind::MergeRequest) => {
            let people = event.assignees.iter().chain(event.reviewers.iter());
            let labels = event.labels.iter().map(|it| &it.title);
            let all = [user, &it.action, &it.title, &it.source_branch, &it.severity];
            let all = all.into_iter().chain(people.map(|it| &it.name));
            all.chain(labels).collect()
        }
        Some(ObjectKind::Note) => {
            let (issue, request) = (&event.issue.title, &event.merge_request.title);
            vec![user, &it.noteable_type, issue, request, &event.commit.title]
        }
        Some(ObjectKind::Pipeline) => {
            let failed = event.builds.iter().filter(|it| *it.status == "failed");
            let all = [user, &it.name, &it.reference, &it.status, &it.finished_at];
            let all = all.into_iter().chain(it.stages.iter());
            all.chain(failed.map(|it| &it.name)).collect()
        }
        Some(ObjectKind::WikiPage) => vec![user, &it.action, &it.title, &it.message],
        Some(ObjectKind::Deployment) => {
            vec![user, &event.environment, &event.status, &event.short_sha]
        }
        Some(ObjectKind::Vulnerability) => {
            let package = &it.location.dependency.package.name;
            let known = it.identifiers.iter().map(|it| &it.name);
            let all = [&it.title, &it.state, &it.severity, package];
            all.into_iter().chain(known).collect()
        }
        _ => Vec::new(),
    };
    let shown = shown.into_iter().map(|it| &***it);
    shown.filter(|it| !it.is_empty()).collect()
}

#[test]
fn payloads_of_gitlab_are_read_by_their_kind() -> io::Result<()> {
    let payloads = payloads()?;
    for (name, kind, expected) in [
        (
            "push",
            ObjectKind::Push,
            "Ada Lovelace / refs/heads/main / 8c6de51ddcaa85f0ba5b8c2a4f5b1d3e9f7a6c5d / Boil the water / Grace Hopper / 5f1d7a84db00d2fce202d702c937f9a4f0e7a1b2 / Listen to the lid / Ada Lovelace",
        ),
        (
            "tag-push",
            ObjectKind::TagPush,
            "Ada Lovelace / refs/tags/v1.4.0 / The one that whistles",
        ),
        (
            "issue",
            ObjectKind::Issue,
            "Ada Lovelace / open / The kettle whistles too late / high / Grace Hopper / bug",
        ),
        (
            "confidential-issue",
            ObjectKind::Issue,
            "Grace Hopper / close / The secret blend",
        ),
        (
            "merge-request",
            ObjectKind::MergeRequest,
            "Ada Lovelace / open / Whistle a little earlier / whistle / Ada Lovelace / Grace Hopper / bug",
        ),
        (
            "note-issue",
            ObjectKind::Note,
            "Grace Hopper / Issue / The kettle whistles too late",
        ),
        (
            "note-merge-request",
            ObjectKind::Note,
            "Grace Hopper / MergeRequest / Whistle a little earlier",
        ),
        (
            "note-commit",
            ObjectKind::Note,
            "Grace Hopper / Commit / Listen to the lid",
        ),
        (
            "pipeline",
            ObjectKind::Pipeline,
            "Ada Lovelace / Kettle, every night / main / failed / 2026-03-04 09:24:41 UTC / heat / taste / smell / gas",
        ),
        (
            "wiki-page",
            ObjectKind::WikiPage,
            "Ada Lovelace / update / How long to steep / Four minutes, not five",
        ),
        (
            "deployment",
            ObjectKind::Deployment,
            "Ada Lovelace / table / failed / 5f1d7a84",
        ),
        (
            "vulnerability",
            ObjectKind::Vulnerability,
            "The lid can be lifted from outside / confirmed / high / hinge / CWE-284",
        ),
    ] {
        let event = Event::read(&payloads[name])?;
        assert_eq!(event.kind(), Some(kind), "{name}");
        assert_eq!(event.project(), Ok(7), "{name}");
        assert_eq!(shown(&event).join(" / "), expected, "{name}");
    }
    Ok(())
}

/// GitLab's payloads have the expected types, and nothing that is used is left out.
#[test]
fn payloads_of_gitlab_are_read_wholly() -> io::Result<()> {
    for (name, text) in payloads()? {
        let event = format!("{:?}", Event::read(&text)?);
        assert!(!event.contains("found: Wrong"), "{name}: {event}");
        assert!(!event.contains("found: Like"), "{name}: {event}");
        assert!(check_is_readable(&text).is_ok(), "{name}");
        let kept = trimmed(&text);
        assert_eq!(check_is_readable(&kept), Ok(false), "{name}");
        assert_eq!(format!("{:?}", Event::read(&kept)?), event, "{name}");
        let value: Value = serde_json::from_str(&text)?;
        assert_eq!(format!("{:?}", Event::of(&value)), event, "{name}");
    }
    Ok(())
}

#[test]
fn fields_of_another_type_are_wrong_for_whoever_needs_them() {
    let event = json!({
        "object_kind": 12, "ref": "a\0b", "message": ["x"], "before": null, "project": [1], "user_id": "4", "group_id": "x",
        "total_commits_count": 1.5, "ref_protected": "true", "labels": [{ "title": "a" }, null, 7],
        "object_attributes": { "duration": "2.5", "tag": true, "iid": 3, "updated_at": "now" },
    });
    let event = Event::of(&event);
    let bad = BadField("it".to_owned());
    let texts = [
        (&event.object_kind, Err(&bad), Some("12")),
        (&event.reference, Err(&bad), Some("a\0b")),
        (&event.message, Err(&bad), None),
        (&event.before, Ok(None), None),
        (&event.after, Ok(None), None),
        (
            &event.object_attributes.updated_at,
            Ok(Some("now")),
            Some("now"),
        ),
    ];
    for (field, strict, lenient) in texts {
        assert_eq!(field.at("it").as_ref().map(|it| it.map(|it| &**it)), strict);
        assert_eq!(field.get().map(|it| &**it), lenient);
        assert_eq!(&**field, lenient.unwrap_or_default());
    }
    let numbers = [
        (&event.user_id, Err(&bad), Some(4)),
        (&event.group_id, Err(&bad), None),
        (&event.total_commits_count, Err(&bad), None),
        (&event.project_id, Ok(None), None),
        (&event.object_attributes.iid, Ok(Some(3)), Some(3)),
    ];
    for (field, strict, lenient) in numbers {
        assert_eq!(field.at("it").as_ref().map(|it| it.copied()), strict);
        assert_eq!(field.get().copied(), lenient);
    }
    assert!(event.after.required("it").is_err() && !event.after.is_there());
    assert!(event.project.at("it").is_err() && event.project.is_there());
    assert!(event.ref_protected.at("it").is_err() && !*event.ref_protected);
    assert!(*event.object_attributes.tag && *event.object_attributes.duration == 2.5);
    let titles: Vec<&str> = event.labels.iter().map(|it| &**it.title).collect();
    assert_eq!(titles, ["a", "", ""]);
}

#[test]
fn what_could_not_be_read_later_is_refused() {
    let nested = |levels: usize| format!("{}{}", "[".repeat(levels), "]".repeat(levels));
    for (text, expected) in [
        (nested(100), Ok(false)),
        (nested(101), Err("more than 100 levels")),
        ("[1e308, -1E308]".to_owned(), Ok(false)),
        ("[1e309]".to_owned(), Err("the number 1e309 is too large")),
        (
            "9".repeat(400),
            Err("the number 99999999999999999999 is too large"),
        ),
        (r#"["\ud83d\ude00"]"#.to_owned(), Ok(false)),
        (
            r#"["\ud83d"]"#.to_owned(),
            Err("unexpected end of hex escape at line 1 column 9"),
        ),
        (
            r#"{"x": "email", "y": "a \"email\":"}"#.to_owned(),
            Ok(false),
        ),
        (r#"{"email" : 1}"#.to_owned(), Ok(true)),
    ] {
        let expected = expected.map_err(str::to_owned);
        assert_eq!(check_is_readable(&text), expected, "{text}");
    }
}
