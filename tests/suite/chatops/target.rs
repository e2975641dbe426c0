//! Targets of flags: users as Slack mentions, groups by path or id, and missing ones.

use anyhow::{Result, ensure};

use crate::chatops::Room;
use crate::chatops::answers::check;
use crate::service_account::number;

/// Slack escapes users picked from its list. Text that only looks like that may be another user's name in GitLab.
#[test]
fn a_mention_that_slack_has_not_made_is_nobody() -> Result<()> {
    let mut room = Room::set("chatops_typed")?;
    let refused = |name: &str| {
        format!(
            ":x: `{name}` is not a mention made by Slack, and the user with that name in GitLab may be somebody else. Pick the person from the list \
             that Slack shows, or use the GitLab user name without `@`. If you did pick, the app lacks the setting \"Escape channels, users, \
             and links\" for `/chatops`: its operator can turn it on. Nothing was changed."
        )
    };
    check(
        &room,
        &[
            (
                "run feature set f true --staging --user=@ada",
                &refused("@ada"),
            ),
            (
                "run feature set f false --staging --user=bob,@ada --group=group",
                &refused("@ada"),
            ),
            (
                "run feature set f true --staging --user \"@a<b\"",
                &refused("@a&lt;b"),
            ),
        ],
    )?;
    let error = room.staging.query_one(
        r#"select lockstep_api.chatops_set_feature(
             '{"trigger_id": "t", "request": "r", "team_id": "T", "user_id": "U", "text": "x", "environment": "staging"}',
             'f', '{"enabled": true, "users": ["@ada"]}')"#,
        &[],
    );
    let error = error.err();
    let error = error.as_ref().and_then(|error| error.as_db_error());
    let error = error.map(|error| error.message()).unwrap_or_default();
    ensure!(error.contains("user \"@ada\" does not exist"), "{error}");
    assert_eq!(
        number(&mut room.staging, "select count(*) from feature_gates")?,
        0
    );
    Ok(())
}

/// However many targets are missing, the answer says so.
#[test]
fn what_is_not_there_is_cut_between_names() -> Result<()> {
    let room = Room::set("chatops_nobodies")?;
    let name = |number: usize| format!("nobody_with_a_long_name_{number:03}");
    let names: Vec<String> = (0..60).map(name).collect();
    let said = room.say(&format!(
        "run feature set f true --staging --user={}",
        names.join(",")
    ))?;
    let (_, said) = said.split_once('\n').unwrap_or_default();
    let named: Vec<String> = (0..27).map(|it| format!("user \"{}\"", name(it))).collect();
    assert_eq!(
        said,
        format!(
            ":x: staging: nothing was changed: these do not exist: {} and 33 more. They are looked up in GitLab's tables.",
            named.join(", ")
        )
    );
    let said = room.say(&format!(
        "run feature set f true --staging --project={}/x",
        "x".repeat(900)
    ))?;
    let (_, said) = said.split_once('\n').unwrap_or_default();
    assert_eq!(
        said,
        format!(
            ":x: staging: nothing was changed: project \"{}…\" does not exist. It is looked up in GitLab's tables.",
            "x".repeat(254)
        )
    );
    Ok(())
}

/// Digits are tried as a path first, and a target found by id is named.
#[test]
fn digits_are_a_path_before_they_are_an_id() -> Result<()> {
    let mut room = Room::set("chatops_digits")?;
    room.staging.batch_execute(
        "insert into namespaces (id, name, path, type, parent_id, traversal_ids, organization_id)
         values (2024, 'Other', 'other', 'Group', null, '{2024}', 1), (9, 'Class of 2024', '2024', 'Group', null, '{9}', 1)",
    )?;
    check(
        &room,
        &[
            (
                "run feature set f true --staging --group=2024",
                "@ada: `/chatops run feature set f true --staging --group=2024`\n• staging: not set, so off → on for Group:9",
            ),
            (
                "run feature set f true --staging --group=2,group --project=4",
                "@ada: `/chatops run feature set f true --staging --group=2,group --project=4`\n\
                 • staging: on for Group:9 → on for Group:1, Group:2, Group:9, Project:4 (Project:4 is `group/sub/Four`, Group:2 is `group/sub`)",
            ),
            (
                "run feature set f false --staging --group=77",
                "@ada: `/chatops run feature set f false --staging --group=77`\n\
                 :x: staging: nothing was changed: group \"77\" does not exist. It is looked up in GitLab's tables.",
            ),
        ],
    )
}
