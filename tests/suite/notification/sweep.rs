//! Data that is no longer useful is not kept forever.

use anyhow::Result;
use postgres::Client;
use serde_json::json;

use crate::database::cluster;
use crate::notification::publish::told;
use crate::notification::settings::set;
use crate::service_account::number;

/// The sweep removes data about removed integrations, and troubles of channels that inheriting integrations no longer have.
#[test]
fn nothing_is_kept_of_what_is_gone() -> Result<()> {
    let mut client = told("settings_gone")?;
    client.batch_execute(
        "delete from lockstep_internal.slack_notification where integration_id > 3;
         update integrations set inherit_from_id = 2 where id = 1; delete from lockstep_internal.slack_notification where integration_id = 1;
         insert into lockstep_internal.slack_channel_trouble (schema, integration_id, team_id, channel, error)
         select 'public', id, 'A', channel, 'is_archived' from unnest(array[1, 2, 3]) id, unnest(array['#c', '#d']) channel;
         insert into lockstep_internal.slack_channel_trouble (schema, integration_id, team_id, channel, error) values ('elsewhere', 3, 'A', '#d', 'is_archived')",
    )?;
    set(&mut client, 2, &json!({"channels": "#d"}))?;
    let kept = |client: &mut Client| -> Result<String> {
        let query = "select concat_ws('; ',
            (select string_agg(integration_id::text, ' ' order by integration_id) from lockstep_internal.slack_notification),
            (select string_agg(integration_id || channel, ' ' order by integration_id, channel) from lockstep_internal.slack_channel_trouble
              where schema = 'public'))";
        Ok(client.query_one(query, &[])?.get(0))
    };
    assert_eq!(kept(&mut client)?, "2 3; 1#c 1#d 2#d 3#c 3#d");
    // A row that a sender is writing is left for the next time.
    let mut delivering = cluster()?.connect("settings_gone")?;
    client.batch_execute("update lockstep_internal.slack_channel_trouble set last_at = '2020-01-01' where integration_id = 1 and channel = '#c'; set lock_timeout = '5s'")?;
    let mut writing = delivering.transaction()?;
    writing.batch_execute("update lockstep_internal.slack_channel_trouble set failures = 2, last_at = '2020-01-01' where integration_id = 1 and channel = '#c'")?;
    assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, 1);
    writing.commit()?;
    assert_eq!(kept(&mut client)?, "2 3; 1#c 1#d 2#d 3#c");
    assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, 1);
    client.batch_execute("delete from slack_integrations where integration_id = 3; delete from integrations where id = 3")?;
    // And its manager.
    assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, 3);
    assert_eq!(kept(&mut client)?, "2; 1#d 2#d");
    // If all are gone at once, it is not a removal, but a table that has not been filled yet.
    client.batch_execute("begin; delete from slack_integrations; delete from integrations")?;
    assert_eq!(number(&mut client, "select lockstep.sweep_slack()")?, 0);
    client.batch_execute("rollback")?;
    assert_eq!(
        number(
            &mut client,
            "select count(*) from lockstep_internal.slack_channel_trouble where schema = 'elsewhere'"
        )?,
        1
    );
    Ok(())
}
