//! The answer to each command, rule by rule.

use anyhow::{Result, ensure};

use crate::chatops::{Room, with_deployments};
use crate::service_account::number;

/// Gives commands one after the other; each answer must match exactly.
pub(super) fn check(room: &Room, cases: &[(&str, &str)]) -> Result<()> {
    for (text, expected) in cases {
        let said = room.say(text)?;
        ensure!(
            said == *expected,
            "{text}\nexpected: {expected}\n     was: {said}\n{}",
            room.stage.sidecar.log()
        );
    }
    Ok(())
}

/// A registered group of actors.
const STAFF: &str = "
  create function is_staff(actor text) returns boolean language sql as 'select true';
  select lockstep.register_feature_group('staff', 'is_staff(text)');
  select lockstep.register_feature_group('some team', 'is_staff(text)');";

/// Errors are reported and change nothing in any environment.
#[test]
fn what_is_refused_changes_nothing() -> Result<()> {
    let mut room = Room::set("chatops_refused")?;
    let (bob, _) = room.mention("bob");
    room.staging.batch_execute(STAFF)?;
    check(
        &room,
        &[
            // Values.
            (
                "run feature set f 50",
                ":x: A percentage needs `--actors`, which always selects the same ones. Nothing was changed.",
            ),
            (
                "run feature set f 50 --user=ada",
                ":x: A percentage cannot be set for a target: use `true` or `false`. Nothing was changed.",
            ),
            (
                "run feature set f 50 --actors --user=ada",
                ":x: A percentage applies to all actors: `--actors` cannot be combined with `--user`. Nothing was changed.",
            ),
            (
                "run feature set f 50 --random --project=group/one",
                ":x: A percentage applies to all actors: `--random` cannot be combined with `--project`. Nothing was changed.",
            ),
            (
                "run feature set f 50 --random",
                ":x: `--random` is deprecated, because each check is random: use `--actors`, or pass `--ignore-random-deprecation-check`. Nothing was changed.",
            ),
            (
                "run feature set f 50 --random --actors",
                ":x: A percentage applies to actors or to time: `--actors` and `--random` cannot be combined. Nothing was changed.",
            ),
            (
                "run feature set f true --actors",
                ":x: `--actors` needs a percentage from 0 to 100, not true or false. Nothing was changed.",
            ),
            (
                "run feature set f true --repository=group/one.git",
                ":x: A flag cannot be set for a repository, because repositories are not actors. Use `--project`. Nothing was changed.",
            ),
            (
                "run feature set f true --user=ada,,bob",
                ":x: `--user` contains an empty name. Nothing was changed.",
            ),
            (
                "run feature set f 101 --actors",
                "```\nerror: invalid value '101' for '&lt;VALUE&gt;': use true, false, a whole number from 0 to 100, opt-out or remove-opt-out\n\nFor more information, try '--help'.\n```\nNothing was done.",
            ),
            // Environments.
            (
                "run feature set f true --dev --staging",
                ":x: The environment `dev` is not configured, so nothing was done. Configured: `--pre`, `--staging`, `--production`.",
            ),
            // Staging and production.
            (
                "run feature set f true",
                ":no_entry: Nothing was changed: `f` is off in staging, so it is not turned on in production. Turn it on in staging first, or pass `--ignore-feature-flag-consistency-check`.",
            ),
            (
                "run feature set f 10 --actors --pre --production",
                ":no_entry: Nothing was changed: `f` is off in staging, so it is not turned on in production. Turn it on in staging first, or pass `--ignore-feature-flag-consistency-check`.",
            ),
            // Targets.
            (
                "run feature set f true --staging --project=group/one,group/nine",
                "@ada: `/chatops run feature set f true --staging --project=group/one,group/nine`\n:x: staging: nothing was changed: project \"group/nine\" does not exist. It is looked up in GitLab's tables.",
            ),
            // All missing targets are named.
            (
                "run feature set f true --staging --project=group/one,group/nine --user=nobody,ada,none --feature-group=staff,nobodies",
                "@ada: `/chatops run feature set f true --staging --project=group/one,group/nine --user=nobody,ada,none --feature-group=staff,nobodies`\n\
                 :x: staging: nothing was changed: these do not exist: project \"group/nine\", user \"nobody\", user \"none\", feature group \"nobodies\". \
                 Feature groups must be registered there with lockstep.register_feature_group.",
            ),
            (
                "run feature set f true --staging --project=group/nine --user=nobody",
                "@ada: `/chatops run feature set f true --staging --project=group/nine --user=nobody`\n\
                 :x: staging: nothing was changed: these do not exist: project \"group/nine\", user \"nobody\". They are looked up in GitLab's tables.",
            ),
            (
                "run feature set f true --staging --user=nobody",
                "@ada: `/chatops run feature set f true --staging --user=nobody`\n:x: staging: nothing was changed: user \"nobody\" does not exist. It is looked up in GitLab's tables.",
            ),
            (
                "run feature set f true --staging --group=ada",
                "@ada: `/chatops run feature set f true --staging --group=ada`\n:x: staging: nothing was changed: group \"ada\" does not exist. It is looked up in GitLab's tables.",
            ),
            (
                "run feature set f true --staging --namespace=group/nine",
                "@ada: `/chatops run feature set f true --staging --namespace=group/nine`\n:x: staging: nothing was changed: namespace \"group/nine\" does not exist. It is looked up in GitLab's tables.",
            ),
            (
                "run feature set f true --staging --project=99",
                "@ada: `/chatops run feature set f true --staging --project=99`\n:x: staging: nothing was changed: project \"99\" does not exist. It is looked up in GitLab's tables.",
            ),
            // The mentioned user has linked no account, whatever their Slack name is.
            (
                &format!("run feature set f true --staging --user={bob},<@U0UNKNOWN>"),
                "@ada: `/chatops run feature set f true --staging --user=@bob,@U0UNKNOWN`\n\
                 :x: staging: nothing was changed: these do not exist: linked account of \"@bob\", linked account of \"@U0UNKNOWN\". \
                 A mention means the GitLab account that the user has linked with Slack; without a linked account use the GitLab user name.",
            ),
            // Missing flags.
            (
                "run feature delete f --staging",
                "@ada: `/chatops run feature delete f --staging`\n:x: staging: nothing was changed: feature \"f\" does not exist. Nothing has been set for it.",
            ),
        ],
    )?;
    // In another channel than production's, and by another user.
    let said = room.give(
        &room.origin(&room.ada, &room.general),
        "run feature set f true",
    )?;
    assert_eq!(
        said.text,
        ":no_entry: Nothing was changed: production can only be changed in #production. For another environment add its option, such as `--staging`."
    );
    let said = room.give(
        &room.origin(&room.eve, &room.production_channel),
        "run feature set f true --staging",
    )?;
    assert_eq!(
        said.text,
        ":no_entry: You may not give commands here, so nothing was done. The app's operator can allow you with `--chatops-user`."
    );
    assert!(!said.is_public);
    for client in [&mut room.staging, &mut room.pre, &mut room.stage.client] {
        let left = "select (select count(*) from features) + (select count(*) from feature_gates) + (select count(*) from lockstep.feature_audit)
                         + (select count(*) from lockstep.chatops_command)";
        assert_eq!(number(client, left)?, 0);
    }
    Ok(())
}

#[test]
fn flags_are_set_in_all_ways_there_are() -> Result<()> {
    let mut room = Room::set("chatops_set")?;
    room.staging.batch_execute(STAFF)?;
    with_deployments(&mut room.staging)?;
    let (mention, id) = room.mention("ada");
    room.staging.execute(
        "insert into chat_names (user_id, team_id, chat_id) values (3, $1, $2), (2, 'T9', $2)",
        &[&room.team, &id],
    )?;
    check(
        &room,
        &[
            (
                "run feature get f --staging",
                "*f*\n• staging: not set, so off",
            ),
            ("run feature list --staging", "*staging*: no flag"),
            (
                "run feature set f true --staging --user=ada,BOB,root",
                "@ada: `/chatops run feature set f true --staging --user=ada,BOB,root`\n• staging: not set, so off → on for User:1, User:2, User:3",
            ),
            (
                "run feature set f false --staging --user=root --user=bob",
                "@ada: `/chatops run feature set f false --staging --user=root --user=bob`\n• staging: on for User:1, User:2, User:3 → on for User:2",
            ),
            // A mention means the linked account, not the account with the same name.
            (
                &format!("run feature set f true --staging --user={mention}"),
                "@ada: `/chatops run feature set f true --staging --user=@ada`\n• staging: on for User:2 → on for User:2, User:3",
            ),
            (
                &format!("run feature set f false --staging --user {mention}"),
                "@ada: `/chatops run feature set f false --staging --user @ada`\n• staging: on for User:2, User:3 → on for User:2",
            ),
            (
                "run feature set f true --staging --project=group/ONE,2,group/sub/four --group=group/sub --namespace=ada,group --feature-group=“some team”",
                "@ada: `/chatops run feature set f true --staging --project=group/ONE,2,group/sub/four --group=group/sub --namespace=ada,group --feature-group=“some team”`\n\
                 • staging: on for User:2 → on for Group:1, Group:2, Namespaces::UserNamespace:3, Project:1, Project:2, Project:4, User:2, the feature group some team (Project:2 is `group/two`)",
            ),
            (
                "run feature set f 25 --actors --staging",
                "@ada: `/chatops run feature set f 25 --actors --staging`\n\
                 • staging: on for Group:1, Group:2, Namespaces::UserNamespace:3, Project:1, Project:2, Project:4, User:2, the feature group some team \
                 → on for 25 % of the actors, Group:1, Group:2, Namespaces::UserNamespace:3, Project:1, Project:2, Project:4, User:2, the feature group some team",
            ),
            (
                "run feature set f 0 --actors --staging",
                "@ada: `/chatops run feature set f 0 --actors --staging`\n\
                 • staging: on for 25 % of the actors, Group:1, Group:2, Namespaces::UserNamespace:3, Project:1, Project:2, Project:4, User:2, the feature group some team → off",
            ),
            (
                "run feature set f 5 --random --ignore-random-deprecation-check --staging",
                "@ada: `/chatops run feature set f 5 --random --ignore-random-deprecation-check --staging`\n• staging: off → on for 5 % of the time",
            ),
            (
                "run feature set f 100 --actors --staging",
                "@ada: `/chatops run feature set f 100 --actors --staging`\n• staging: on for 5 % of the time → on",
            ),
            (
                "run feature set f true --staging",
                "@ada: `/chatops run feature set f true --staging`\n• staging: on, as before",
            ),
            (
                "run feature set f 5 --actors --staging",
                "@ada: `/chatops run feature set f 5 --actors --staging`\n:x: staging: nothing was changed: feature \"f\" is on for everybody. A setting for some actors would have no effect.",
            ),
            (
                "run feature set f false --user=ada --staging",
                "@ada: `/chatops run feature set f false --user=ada --staging`\n:x: staging: nothing was changed: feature \"f\" is on for everybody. A setting for some actors would have no effect.",
            ),
            (
                "gitlab run feature set g true --staging --pre --production",
                "@ada: `/chatops gitlab run feature set g true --staging --pre --production`\n• pre: not set, so off → on\n• staging: not set, so off → on\n• production: not set, so off → on\n\
                 No group owns the flag, so no other channel was notified: `lockstep.define_feature` sets one.",
            ),
            (
                "run feature set g false --staging",
                ":no_entry: Nothing was changed: `g` is on in production, so it is not turned off in staging. Turn it off in production first, or pass `--ignore-feature-flag-consistency-check`.",
            ),
            (
                "run feature set g false --staging --ignore-feature-flag-consistency-check",
                "@ada: `/chatops run feature set g false --staging --ignore-feature-flag-consistency-check`\n• staging: on → off",
            ),
            (
                "run feature set g false --staging --production",
                "@ada: `/chatops run feature set g false --staging --production`\n• staging: off, as before\n• production: on → off\n\
                 No group owns the flag, so no other channel was notified: `lockstep.define_feature` sets one.",
            ),
            (
                "run feature list --match=G --staging --production",
                "*staging*: 1 flag\n• `g`: off\n*production*: 1 flag\n• `g`: off",
            ),
            (
                "run feature list --staging",
                "*staging*: 2 flags\n• `f`: on\n• `g`: off",
            ),
            (
                "run feature delete f --staging",
                "@ada: `/chatops run feature delete f --staging`\n• staging: on → not set, so off",
            ),
            (
                "run feature get rename_integrations_workers --staging --production",
                "*rename_integrations_workers*\n• staging: not set, so off (development, group::integrations)\n• production: not set, so off (development, group::integrations)",
            ),
        ],
    )?;
    // Each change is recorded with its user.
    let ada = room.ada.id.clone();
    let query = "select count(*), count(*) filter (where actor = $1 and source = $2), count(*) filter (where session_role = 'chatops') from lockstep.feature_audit";
    let source = format!("slack {} {}", room.team, room.production_channel);
    let row = room.staging.query_one(query, &[&ada, &source])?;
    let counts: [i64; 3] = [row.get(0), row.get(1), row.get(2)];
    assert!(counts[0] > 20 && counts == [counts[0]; 3], "{counts:?}");
    let commands = room.staging.query_one(
        "select count(*), bool_and(user_name = 'ada' and environment = 'staging' and result is not null and command like '/chatops %run feature %') from lockstep.chatops_command",
        &[],
    )?;
    assert_eq!((commands.get(0), commands.get(1)), (14_i64, true));
    // Changes made elsewhere have no Slack user.
    room.staging
        .batch_execute("select lockstep.set_feature('h', true)")?;
    let others = "select count(*) from lockstep.feature_audit where feature = 'h' and actor is null and source is null";
    assert_eq!(number(&mut room.staging, others)?, 2);
    Ok(())
}

#[test]
fn incidents_hold_production() -> Result<()> {
    let mut room = Room::set("chatops_incident")?;
    check(
        &room,
        &[
            ("run incident list", "*production*: no incident is open"),
            (
                "run incident declare Sign-in is slow --severity 3",
                "@ada: `/chatops run incident declare Sign-in is slow --severity 3`\n• production: incident 1 of severity 3 is open: it blocks nothing",
            ),
            (
                "run feature set f true --staging --production",
                "@ada: `/chatops run feature set f true --staging --production`\n• staging: not set, so off → on\n• production: not set, so off → on\n\
                 No group owns the flag, so no other channel was notified: `lockstep.define_feature` sets one.",
            ),
            (
                "run incident declare \"the <database> is down\"",
                "@ada: `/chatops run incident declare \"the &lt;database&gt; is down\"`\n• production: incident 2 of severity 2 is open: no flag can be changed there until it is closed",
            ),
            (
                "run feature set f false --pre --production",
                ":no_entry: Incident 2 of severity 2 is open: the &lt;database&gt; is down. Until it is closed no flag is changed in production, and nothing was changed. `--ignore-production-check` does it nevertheless.",
            ),
            (
                "run feature delete f --production",
                ":no_entry: Incident 2 of severity 2 is open: the &lt;database&gt; is down. Until it is closed no flag is changed in production, and nothing was changed. `--ignore-production-check` does it nevertheless.",
            ),
            (
                "run feature set g true --staging",
                "@ada: `/chatops run feature set g true --staging`\n• staging: not set, so off → on",
            ),
            (
                "run feature set f false --production --ignore-production-check",
                "@ada: `/chatops run feature set f false --production --ignore-production-check`\n• production: on → off\n\
                 No group owns the flag, so no other channel was notified: `lockstep.define_feature` sets one.",
            ),
            (
                "run incident close 2",
                "@ada: `/chatops run incident close 2`\n• production: incident 2 is closed: the &lt;database&gt; is down",
            ),
            (
                "run incident close 2",
                "@ada: `/chatops run incident close 2`\n:x: production: nothing was changed: incident 2 does not exist, or is already closed. Only an open incident can be closed.",
            ),
            (
                "run feature delete f",
                "@ada: `/chatops run feature delete f`\n• production: off → not set, so off\n\
                 No group owns the flag, so no other channel was notified: `lockstep.define_feature` sets one.",
            ),
        ],
    )?;
    // Closing one allows changes in production, so it is only possible in production's channel.
    room.say("run incident declare again")?;
    let said = room.give(
        &room.origin(&room.ada, &room.general),
        "run incident close 3",
    )?;
    assert_eq!(
        said.text,
        ":no_entry: Nothing was changed: production can only be changed in #production. For another environment add its option, such as `--staging`."
    );
    assert_eq!(
        number(
            &mut room.stage.client,
            "select count(*) from lockstep.chatops_incident where id = 3 and closed_at is null"
        )?,
        1
    );
    room.say("run incident close 3")?;
    // A DBA's row also blocks commands that have passed the first check.
    room.stage.client.batch_execute(
        "insert into lockstep.chatops_incident (title, severity) values ('by hand', 1)",
    )?;
    let said = room.say("run feature set g true")?;
    assert!(
        said.starts_with(":no_entry: Incident 4 of severity 1 is open: by hand."),
        "{said}"
    );
    let command = r#"{"trigger_id": "t", "request": "r", "team_id": "T", "user_id": "U", "text": "x", "environment": "production"}"#;
    let wish = r#"{"enabled": true, "is_held_by_incidents": true}"#;
    let error = room
        .stage
        .client
        .query_one(
            "select lockstep_api.chatops_set_feature($1::text::jsonb, 'g', $2::text::jsonb)",
            &[&command, &wish],
        )
        .err()
        .map(|error| error.code().map(|code| code.code().to_owned()));
    assert_eq!(error, Some(Some("55000".to_owned())));
    let said = room.say("run incident list")?;
    assert!(
        said.contains("• 1 of severity 3, since ")
            && said.contains(" by ada (")
            && said.contains("• 4 of severity 1"),
        "{said}"
    );
    Ok(())
}
