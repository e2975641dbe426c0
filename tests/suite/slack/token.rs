//! Slack tokens: refreshing and re-encrypting.

use crate::service_account::number;
use crate::slack::sidecar::one;
use crate::slack::{in_lockstep, state, workspaces};
use anyhow::{Context, Result};
use lockstep_tests::host::Layout;
use postgres::Client;

#[test]
fn tokens_are_refreshed_by_one() -> Result<()> {
    let mut client = workspaces("slack_token", Layout::Narrow)?;
    let install = |team: &str, minutes: i32| {
        format!(
            "select lockstep.install_slack_workspace('{team}', 'Team', 'U2', 'B2', 'token', 'iv', '{{commands}}', refresh_token => 'r', refresh_token_iv => 'ri',
                                                     expires_at => now() + interval '{minutes} minutes')"
        )
    };
    client.batch_execute(&[install("A", 30), install("B", 10), install("C", 300)].join(";"))?;
    let claim = "select coalesce((select team_id || ' ' || lease from lockstep_api.claim_slack_token_refresh('1 hour', '1 minute')), 'none')";
    let claimed = |client: &mut Client| -> Result<(String, String)> {
        let answer = one(client, claim)?.context("nothing")?;
        let (team, lease) = answer.split_once(' ').context(answer.clone())?;
        Ok((team.to_owned(), lease.to_owned()))
    };
    let (first, lease) = claimed(&mut client)?;
    let (second, other) = claimed(&mut client)?;
    assert_eq!((first.as_str(), second.as_str()), ("B", "A"));
    assert_ne!(lease, other);
    assert_eq!(one(&mut client, claim)?.as_deref(), Some("none"));
    let store = |team: &str, lease: &str, token: &str| {
        format!(
            "select lockstep_api.store_slack_token('{team}', {lease}, '{token}', 'iv 2', 'r2', 'ri2', now() + interval '12 hours')::text"
        )
    };
    assert_eq!(
        one(&mut client, &store("A", &lease, "token 2"))?.as_deref(),
        Some("false")
    );
    // An expired lease still counts while nobody has taken over.
    client.batch_execute("update lockstep_internal.slack_installation set leased_until = now() - interval '1 hour' where team_id = 'A'")?;
    assert_eq!(
        one(&mut client, &store("A", &other, "token 2"))?.as_deref(),
        Some("true")
    );
    assert!(state(&mut client, "A")?.starts_with("U2 B2 token 2 iv 2"));
    in_lockstep(&mut client)?;
    assert_eq!(
        one(&mut client, &store("A", &other, "token 2"))?.as_deref(),
        Some("true")
    );
    assert_eq!(
        one(&mut client, &store("A", &other, "token 3"))?.as_deref(),
        Some("false")
    );
    let kept = "select concat_ws(' ', encode(encrypted_refresh_token, 'escape'), refreshed_at is not null, refresh_error, lease, leased_until)
                  from lockstep_internal.slack_installation where team_id = ";
    assert_eq!(
        one(&mut client, &format!("{kept}'A'"))?.as_deref(),
        Some("r2 t")
    );
    let give_back = |lease: &str| {
        format!(
            "select lockstep_api.give_back_slack_token_refresh('B', {lease}, 'no answer', '1 hour')::text"
        )
    };
    assert_eq!(
        one(&mut client, &give_back(&other))?.as_deref(),
        Some("false")
    );
    assert_eq!(
        one(&mut client, &give_back(&lease))?.as_deref(),
        Some("true")
    );
    assert_eq!(one(&mut client, claim)?.as_deref(), Some("none"));
    assert_eq!(
        one(
            &mut client,
            "select refresh_error from lockstep.list_slack_workspaces() where team_id = 'B'"
        )?
        .as_deref(),
        Some("no answer")
    );
    client.batch_execute(
        "update lockstep_internal.slack_installation set leased_until = now() where team_id = 'B'",
    )?;
    let (team, lease) = claimed(&mut client)?;
    assert_eq!(team, "B");
    // A token set by somebody else makes the refresh token worthless, and the lease of its refresher.
    client.batch_execute(
        "update slack_integrations set encrypted_bot_access_token = 'foreign' where id = 5",
    )?;
    assert_eq!(
        one(&mut client, &store("B", &lease, "token 2"))?.as_deref(),
        Some("false")
    );
    assert_eq!(
        one(&mut client, &format!("{kept}'B'"))?.as_deref(),
        Some("f")
    );
    in_lockstep(&mut client)
}

#[test]
fn tokens_are_encrypted_anew() -> Result<()> {
    let mut client = workspaces("slack_rekey", Layout::Narrow)?;
    client.batch_execute(
        "select lockstep.install_slack_workspace('B', 'Team', 'U2', 'B2', 'token', 'iv', '{commands}', refresh_token => 'r', refresh_token_iv => 'ri',
                                                 expires_at => '2030-01-01'),
                lockstep.install_slack_workspace('C', 'Team', 'U2', 'B2', 'token', 'iv', '{commands}')",
    )?;
    let list = |after: &str, most: i32| {
        format!("select coalesce((select string_agg(concat_ws(' ', team_id, encode(token_iv, 'escape'), encode(refresh_token_iv, 'escape')), ', ')
                                    from lockstep_api.list_slack_tokens('{after}', {most})), '')")
    };
    assert_eq!(
        one(&mut client, &list("", 9))?.as_deref(),
        Some("A iv, B iv ri, C iv")
    );
    assert_eq!(one(&mut client, &list("", 1))?.as_deref(), Some("A iv"));
    assert_eq!(one(&mut client, &list("A", 1))?.as_deref(), Some("B iv ri"));
    assert_eq!(one(&mut client, &list("C", 9))?.as_deref(), Some(""));
    let replace = |team: &str, old: &str, old_refresh: &str, refresh: &str| {
        format!(
            "select lockstep_api.replace_slack_token('{team}', '{old}', 'new', 'new iv', {old_refresh}, {refresh})::text"
        )
    };
    for (call, answer) in [
        (replace("B", "other", "'ri'", "'new r', 'new ri'"), "false"),
        (replace("B", "iv", "'other'", "'new r', 'new ri'"), "false"),
        (replace("B", "iv", "null", "null, null"), "false"),
        (replace("B", "iv", "'ri'", "'new r', 'new ri'"), "true"),
        (replace("B", "iv", "'ri'", "'new r', 'new ri'"), "false"),
        (replace("C", "iv", "null", "null, null"), "true"),
        (replace("A", "other", "null", "null, null"), "false"),
        (replace("A", "iv", "null", "null, null"), "true"),
        (replace("D", "iv", "null", "null, null"), "false"),
    ] {
        assert_eq!(one(&mut client, &call)?.as_deref(), Some(answer), "{call}");
    }
    assert!(state(&mut client, "A")?.starts_with("U1 B1 new new iv"));
    assert!(state(&mut client, "B")?.starts_with("U2 B2 new new iv"));
    let kept = "select count(*) from lockstep_internal.slack_installation where team_id = 'B' and expires_at = '2030-01-01' and encrypted_refresh_token = 'new r'";
    assert_eq!(number(&mut client, kept)?, 1);
    in_lockstep(&mut client)
}

/// An installation that has lost its token while the rows have one: the app uses that one, so it is re-encrypted.
#[test]
fn token_of_rows_is_encrypted_anew() -> Result<()> {
    let mut client = workspaces("slack_rekey_rows", Layout::Narrow)?;
    client.batch_execute(
        "select lockstep.install_slack_workspace('A', 'Team', 'U2', 'B2', 'token', 'iv', '{commands}');
         update lockstep_internal.slack_installation set encrypted_bot_access_token = null, encrypted_bot_access_token_iv = null",
    )?;
    let list = "select string_agg(concat_ws(' ', team_id, encode(token, 'escape'), encode(token_iv, 'escape')), ', ') from lockstep_api.list_slack_tokens('', 9)";
    assert_eq!(one(&mut client, list)?.as_deref(), Some("A token iv"));
    let replace = |old: &str| {
        format!(
            "select lockstep_api.replace_slack_token('A', '{old}', 'new', 'new iv', null, null, null)::text"
        )
    };
    for (old, answer) in [("other", "false"), ("iv", "true"), ("iv", "false")] {
        assert_eq!(
            one(&mut client, &replace(old))?.as_deref(),
            Some(answer),
            "{old}"
        );
    }
    assert_eq!(one(&mut client, list)?.as_deref(), Some("A new new iv"));
    in_lockstep(&mut client)
}
