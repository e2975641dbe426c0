//! GitLab's commands reach GitLab exactly as Slack sent them, and its responses return unchanged.

use anyhow::{Context, Result, ensure};
use lockstep_tests::http::FORM;
use lockstep_tests::slack::Caller;
use lockstep_tests::slack::caller::sign;

use super::Scene;
use crate::slack_app::{COMMANDS, http};

/// The text, who sees the response, and what it contains.
const ROWS: [(&str, &str, &str); 17] = [
    ("group/one issue show 1", "in_channel", "Make tea · #1"),
    ("group/one issue show #1", "in_channel", "Make tea · #1"),
    (
        "group/one issue new Boil the <water> & wait\nTwice, \"quoted\"",
        "in_channel",
        "Twice, ",
    ),
    ("group/one issue create Tea", "in_channel", "Tea · #8"),
    (
        "group/one issue search tea & milk",
        "ephemeral",
        "2 issues with tea",
    ),
    (
        "group/one issue move 1 to group/two",
        "in_channel",
        "is now #1 of group/two",
    ),
    (
        "group/one issue move #1 group/two",
        "in_channel",
        "is now #1 of group/two",
    ),
    ("group/one issue close 1", "in_channel", "is closed"),
    (
        "group/one issue comment 1\nWell\ndone",
        "in_channel",
        "Well\\ndone",
    ),
    (
        "group/one deploy staging to production",
        "in_channel",
        "from staging to production",
    ),
    (
        "group/one run cleanup --all  now",
        "in_channel",
        "runs cleanup",
    ),
    (
        "group/one run cleanup\n--more",
        "in_channel",
        "runs cleanup",
    ),
    ("incident declare", "ephemeral", "Fill in the form"),
    ("group/one dance", "ephemeral", "What is that?"),
    ("dance", "ephemeral", "What is that?"),
    ("nine issue show 1", "ephemeral", "No such project"),
    ("issue show 1", "ephemeral", "No such project"),
];

#[test]
fn commands_go_and_answers_come_as_they_are() -> Result<()> {
    let scene = Scene::set("pass_commands")?;
    let direct = Caller::new(&scene.gitlab.base_url(), scene.stage.slack.app());
    for (text, kind, words) in ROWS {
        let body = direct.command_body(&scene.origin(), "/gitlab", text);
        let expected = direct.post(COMMANDS, FORM, body.as_bytes())?;
        scene.gitlab.forget();
        let reply = scene.stage.caller.post(COMMANDS, FORM, body.as_bytes())?;
        assert_eq!((reply.status, &reply.body), (200, &expected.body), "{text}");
        let answer = reply.json()?;
        assert_eq!(answer["response_type"], kind, "{text}");
        ensure!(reply.text().contains(words), "{text}: {answer}");

        let received = scene.gitlab.received();
        let [request] = &received[..] else {
            anyhow::bail!("{text}: {received:?}");
        };
        assert_eq!(request.path, COMMANDS);
        assert_eq!(request.body, body.as_bytes(), "{text}");
        let [timestamp] = request.header("x-slack-request-timestamp")[..] else {
            anyhow::bail!("{request:?}");
        };
        let signature = sign(
            &scene.stage.slack.app().signing_secret,
            timestamp,
            body.as_bytes(),
        );
        assert_eq!(request.header("x-slack-signature"), [&signature]);
    }
    let all = ROWS.len() as f64;
    assert_eq!(scene.counted("answered")?, all);
    Ok(())
}

/// A user without a linked account gets GitLab's link.
#[test]
fn accounts_are_linked_by_gitlab() -> Result<()> {
    let scene = Scene::set("pass_link")?;
    let mut origin = scene.origin();
    origin.user_id = "U0NOBODY".to_owned();
    let said = scene.stage.say(&origin, "group/one issue show 1")?;
    ensure!(said.contains("link your account"), "{said}");
    Ok(())
}

/// Hop-by-hop and proxy headers end here; nor does Slack get headers that GitLab sends to browsers.
#[test]
fn other_headers_stay_where_they_are() -> Result<()> {
    let scene = Scene::set("pass_headers")?;
    let caller = &scene.stage.caller;
    let body = caller.command_body(&scene.origin(), "/gitlab", "group/one issue show 1");
    let signature = caller.signature_headers(body.as_bytes());
    let mut headers = vec![
        ("content-type", FORM),
        ("user-agent", "Slackbot 1.0"),
        ("accept-encoding", "gzip"),
        ("te", "trailers"),
        ("proxy-authorization", "Basic c2VjcmV0"),
        ("authorization", "Bearer secret"),
        ("cookie", "a=secret"),
        ("x-forwarded-for", "192.0.2.7"),
        ("x-forwarded-host", "slack.example"),
        ("x-slack-retry-num", "1"),
        ("x-slack-retry-reason", "http_timeout"),
    ];
    headers.extend(
        signature
            .iter()
            .map(|(name, value)| (*name, value.as_str())),
    );
    let reply = http().send("POST", &caller.url(COMMANDS), &headers, body.as_bytes())?;
    ensure!(reply.text().contains("Make tea"), "{}", reply.text());
    for name in ["set-cookie", "server"] {
        assert_eq!(reply.header(name), None, "{name}");
    }
    let received = scene.gitlab.received();
    let request = received.first().context("nothing came")?;
    let mut names: Vec<&str> = request
        .headers
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-length",
            "content-type",
            "host",
            "user-agent",
            "via",
            "x-slack-request-timestamp",
            "x-slack-retry-num",
            "x-slack-retry-reason",
            "x-slack-signature"
        ]
    );
    let host = scene.gitlab.base_url().replace("http://", "");
    assert_eq!(request.header("host"), [&host]);
    Ok(())
}

/// Our own commands are not passed on, and the help has both lists.
#[test]
fn help_has_both_lists_and_our_own_commands_stay() -> Result<()> {
    let scene = Scene::set("pass_help")?;
    for text in ["group/one status", "status", "group/one test"] {
        scene.told(text)?;
    }
    ensure!(scene.gitlab.received().is_empty());
    for text in ["help", "", "group/one help"] {
        let said = scene.told(text)?;
        for words in [
            "/gitlab <alias> status`",
            "*Commands of GitLab*",
            "issue show",
            "incident declare",
        ] {
            ensure!(said.contains(words), "{text}: {said}");
        }
    }
    assert_eq!(scene.gitlab.received().len(), 3);
    Ok(())
}

/// Without an address the help says what is missing.
#[test]
fn without_gitlab_the_help_says_what_is_missing() -> Result<()> {
    let mut stage = crate::slack_app::Stage::set("pass_without")?;
    let team = stage.slack.create_workspace("Acme").id;
    stage.connect(1)?;
    let origin = lockstep_tests::slack::caller::Origin {
        team_id: Some(team),
        user_id: "U1".to_owned(),
        ..Default::default()
    };
    for text in ["help", "group/one issue show 1"] {
        let said = stage.say(&origin, text)?;
        for words in ["incident declare", "--gitlab-url", "LOCKSTEP_GITLAB_URL"] {
            ensure!(said.contains(words), "{text}: {said}");
        }
    }
    Ok(())
}
