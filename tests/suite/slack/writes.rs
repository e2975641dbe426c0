//! Each kind of write, by every form of statement, is copied to the whole team.

use crate::slack::{in_lockstep, state, workspaces};
use anyhow::{Context, Result, ensure};
use lockstep_tests::host::Layout;

const LINK: &str =
    "insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id)";

/// Each write, and team A's values afterwards.
const WRITES: [(&str, &str); 21] = [
    (
        "update slack_integrations set user_id = 'U3' where id = 2",
        "U3 B1 token iv 2020-01-01 00:00:00 {chat:write,commands}",
    ),
    (
        "update slack_integrations set bot_user_id = null where id = 4",
        "U3 token iv 2020-01-01 00:00:00 {chat:write,commands}",
    ),
    (
        "update slack_integrations set bot_user_id = 'B2', encrypted_bot_access_token = 'token 2' where id = 4",
        "U3 B2 token 2 iv 2020-01-01 00:00:00 {chat:write,commands}",
    ),
    // The last row of the statement wins.
    (
        "update slack_integrations s set encrypted_bot_access_token_iv = ('iv' || o.id)::bytea
           from (select id from slack_integrations where team_id = 'A' order by id) o where s.id = o.id",
        "U3 B2 token 2 iv4 2020-01-01 00:00:00 {chat:write,commands}",
    ),
    // Only a timestamp: the newest wins, which is this one or another.
    (
        "update slack_integrations set updated_at = '2021-01-01' where id = 3",
        "U3 B2 token 2 iv4 2021-01-01 00:00:00 {chat:write,commands}",
    ),
    // Older than the others: they stay unchanged, and it follows.
    (
        "update slack_integrations set updated_at = '2019-01-01' where id = 3",
        "U3 B2 token 2 iv4 2021-01-01 00:00:00 {chat:write,commands}",
    ),
    (
        "update slack_integrations set alias = 'a five' where id = 1",
        "U3 B2 token 2 iv4 2021-01-01 00:00:00 {chat:write,commands}",
    ),
    // A legacy row follows.
    (
        "insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         values (7, 'A', 'Team A', 'a7', 'U0', '2022-01-01', '2022-01-01', 7)",
        "U3 B2 token 2 iv4 2021-01-01 00:00:00 {chat:write,commands}",
    ),
    // One with a token wins, and has no scopes yet.
    (
        "insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id, encrypted_bot_access_token)
         values (8, 'A', 'Team A', 'a8', 'U4', '2018-01-01', '2018-01-01', 8, 'token 3')",
        "U4 token 3 2018-01-01 00:00:00 {}",
    ),
    (
        "LINK values (8, 1, 8), (8, 3, 8)",
        "U4 token 3 2018-01-01 00:00:00 {commands,links:read}",
    ),
    (
        "update slack_integrations_scopes set slack_api_scope_id = 2 where slack_integration_id = 2 and slack_api_scope_id = 3",
        "U4 token 3 2018-01-01 00:00:00 {chat:write,commands}",
    ),
    (
        "delete from slack_integrations_scopes where slack_integration_id = 3 and slack_api_scope_id = 1",
        "U4 token 3 2018-01-01 00:00:00 {chat:write}",
    ),
    // Of two values the last one counts.
    (
        "insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id, encrypted_bot_access_token)
         values (9, 'A', 'Team A', 'a8', 'U5', '2018-01-01', '2018-01-01', 8, 'token 4'),
                (10, 'A', 'Team A', 'a9', 'U6', '2018-01-01', '2018-01-01', 9, null)
         on conflict (team_id, alias) do update set encrypted_bot_access_token = excluded.encrypted_bot_access_token, user_id = excluded.user_id",
        "U5 token 4 2018-01-01 00:00:00 {chat:write}",
    ),
    (
        "merge into slack_integrations s using (values ('a3', 'U7'), ('a99', 'U8')) v (alias, \"user\") on s.team_id = 'A' and s.alias = v.alias
         when matched then update set user_id = v.user
         when not matched then insert (team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
           values ('A', 'Team A', v.alias, v.user, '2017-01-01', '2017-01-01', 9)",
        "U7 token 4 2018-01-01 00:00:00 {chat:write}",
    ),
    // Parts of one statement: the row that is inserted joins, whichever runs first.
    (
        "with renewed as (update slack_integrations set encrypted_bot_access_token = 'token 5' where id = 3)
         insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
         values (20, 'A', 'Team A', 'a20', 'U9', '2017-01-01', '2017-01-01', 9)",
        "U7 token 5 2018-01-01 00:00:00 {chat:write}",
    ),
    (
        "with joined as (insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
                         values (21, 'A', 'Team A', 'a21', 'U9', '2017-01-01', '2017-01-01', 9))
         update slack_integrations set encrypted_bot_access_token = 'token 4' where id = 20",
        "U7 token 4 2018-01-01 00:00:00 {chat:write}",
    ),
    (
        "delete from slack_integrations where id = 4",
        "U7 token 4 2018-01-01 00:00:00 {chat:write}",
    ),
    (
        "delete from integrations where id in (1, 2)",
        "U7 token 4 2018-01-01 00:00:00 {chat:write}",
    ),
    (
        "delete from slack_api_scopes where id = 2",
        "U7 token 4 2018-01-01 00:00:00 {}",
    ),
    (
        "LINK values (3, 1, 3)",
        "U7 token 4 2018-01-01 00:00:00 {commands}",
    ),
    (
        "truncate slack_integrations_scopes",
        "U7 token 4 2018-01-01 00:00:00 {}",
    ),
];

fn every_write(name: &str, layout: Layout) -> Result<()> {
    let mut client = workspaces(name, layout)?;
    assert_eq!(
        state(&mut client, "A")?,
        "U1 B1 token iv 2020-01-01 00:00:00 {chat:write,commands}"
    );
    let of_b = state(&mut client, "B")?;
    for (write, expected) in WRITES {
        let write = match layout {
            Layout::Older => {
                let link = LINK.replace(", project_id", "");
                let values = |row: &str| row.replace(", 8)", ")").replace("1, 3)", "1)");
                match write.strip_prefix("LINK") {
                    Some(rest) => link + &values(rest),
                    None => write.to_owned(),
                }
            }
            _ => write.replace("LINK", LINK),
        };
        client.batch_execute(&write).context(write.clone())?;
        let now = state(&mut client, "A")?;
        ensure!(
            now == expected,
            "{write}\nexpected {expected}\ngot      {now}"
        );
        in_lockstep(&mut client).context(write)?;
        assert_eq!(state(&mut client, "B")?, of_b);
    }
    Ok(())
}

#[test]
fn every_write_is_spread() -> Result<()> {
    every_write("slack_writes", Layout::Narrow)
}

#[test]
fn every_write_is_spread_on_older_hosts() -> Result<()> {
    every_write("slack_writes_older", Layout::Older)
}

/// A statement inserts a row in one part and changes the token of the only other one in another.
#[test]
fn a_row_that_joins_brings_no_old_token_back() -> Result<()> {
    let mut client = workspaces("slack_writes_joins", Layout::Narrow)?;
    let row = |id: u32| {
        format!(
            "insert into slack_integrations (id, team_id, team_name, alias, user_id, created_at, updated_at, integration_id)
             values ({id}, 'N', 'Team N', 'n{id}', 'U1', now(), now(), 9)"
        )
    };
    client.batch_execute(&row(30))?;
    for (number, order) in ["update first", "insert first"].into_iter().enumerate() {
        let token = format!("token {number}");
        let update = format!(
            "update slack_integrations set encrypted_bot_access_token = '{token}', encrypted_bot_access_token_iv = 'iv {number}' where id = 30"
        );
        client.batch_execute("update slack_integrations set encrypted_bot_access_token = 'old', encrypted_bot_access_token_iv = 'iv' where id = 30")?;
        client.batch_execute("delete from slack_integrations where id = 31")?;
        client.batch_execute(&match order {
            "update first" => format!("with a as ({update}) {}", row(31)),
            _ => format!("with a as ({}) {update}", row(31)),
        })?;
        let tokens = "select string_agg(convert_from(encrypted_bot_access_token, 'UTF8'), ', ') from slack_integrations where team_id = 'N'";
        let now: String = client.query_one(tokens, &[])?.get(0);
        assert_eq!(now, format!("{token}, {token}"), "{order}");
        in_lockstep(&mut client)?;
    }
    Ok(())
}
