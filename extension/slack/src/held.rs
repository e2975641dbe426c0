//! Which database owns deliveries and tokens: a copy contains those of the database it was copied from.

use crate::error::{DeliveryError, OrRaise, Result};
use lockstep_server::OwnStatement;
use lockstep_server::error::notice;
use lockstep_server::home::Home;
use lockstep_server::kept;
use lockstep_server::waking::Work;
use pgrx::prelude::*;

/// Waited for by senders.
pub(crate) const DELIVERIES: Work = Work::new("lockstep_delivery", 0x1_0000);

kept! {
    static HOME: Home<2> = Home::new(
        "lockstep_internal.slack_home",
        "select (select count(*) from lockstep_internal.slack_delivery d where d.status = 'waiting'),
                (select count(*) from lockstep_internal.slack_installation i where i.encrypted_refresh_token is not null)",
        &[
            "delete from lockstep_internal.slack_delivery where status = 'waiting'",
            "update lockstep_internal.slack_channel set lease = null, leased_until = null, delivery = null, subject = null where lease is not null",
            // Refreshing a token here would invalidate the one of the original database.
            "update lockstep_internal.slack_installation
                set encrypted_refresh_token = null, encrypted_refresh_token_iv = null, lease = null, leased_until = null
              where encrypted_refresh_token is not null",
        ],
        // A dump does not have the paces of workspaces, which channels may be parked for.
        &["update lockstep_internal.slack_channel set parked = 'time' where parked = 'team'"],
        DELIVERIES,
    );
    static OF_VALUE: OwnStatement = OwnStatement::new(
        "select string_agg(format('%s: %s', v.what, v.rows), ', ' order by v.place), bool_or(v.place = 5)
           from (values (1, (select count(*) from lockstep_internal.slack_delivery d where d.status = 'waiting'), 'deliveries that wait'),
                        (2, (select count(*) from lockstep_internal.slack_installation), 'installations of Slack workspaces'),
                        (3, (select count(*) from lockstep_internal.slack_notification), 'settings of notifications'),
                        (4, (select count(*) from lockstep_internal.slack_subscription), 'subscriptions of channels'),
                        (5, (select count(*) from lockstep.chatops_command), 'commands of chatops')) v (place, rows, what)
          where v.rows > 0",
        &[],
    );
}

/// Whether deliveries and tokens belong to another database, or to an earlier time of this one.
pub(crate) fn is_of_another() -> Result<bool> {
    HOME.with(|home| home.is_of_another())
}

/// Reports held work, if there is any.
pub(crate) fn settle() -> Result<()> {
    if let Some([deliveries, tokens]) = HOME.with(|home| home.settle())? {
        notice(
            "deliveries are held: this database is a copy, or was restored",
            format!(
                "Held deliveries: {deliveries}, held token refreshes: {tokens}; new ones are held as well."
            ),
            "Call lockstep.release_restored_slack() if this database takes the place of the other one, else lockstep.discard_restored_slack().",
        );
    }
    Ok(())
}

/// Reports what DROP EXTENSION removes, because it cannot do so itself.
pub(crate) fn say_what_would_go() -> Result<()> {
    let mut found = None;
    OF_VALUE.with(|statement| {
        statement.rows(&[], |row| {
            found = row.get::<String>(1).zip(row.get::<bool>(2))
        })
    })?;
    if let Some((rows, has_commands)) = found {
        let hint = match has_commands {
            true => {
                "To keep it, dump the database first; to keep a record of the commands: create table chatops_command as select * from lockstep.chatops_command."
            }
            false => "To keep it, dump the database first.",
        };
        notice(
            "drop extension removes what lockstep_slack has recorded in this database",
            format!("It has {rows}."),
            hint,
        );
    }
    Ok(())
}

/// Allows restored work to continue here.
#[pg_extern(sql = r#"
create function lockstep.release_restored_slack()
returns table (deliveries bigint, tokens bigint)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.release_restored_slack() is
  'sends the deliveries and refreshes the tokens that a restored or copied database holds; returns how many. For the database that takes the place of the other one';
revoke execute on function lockstep.release_restored_slack() from public;
grant execute on function lockstep.release_restored_slack() to lockstep_admin;
"#)]
fn release_restored_slack() -> TableIterator<'static, (name!(deliveries, i64), name!(tokens, i64))>
{
    let [deliveries, tokens] = HOME.with(|home| home.release()).or_raise();
    TableIterator::once((deliveries, tokens))
}

/// Discards restored work, so that this database starts with nothing in flight.
#[pg_extern(sql = r#"
create function lockstep.discard_restored_slack()
returns table (deliveries bigint, tokens bigint)
language c rows 1 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep.discard_restored_slack() is
  'drops the deliveries and refresh tokens that a restored or copied database holds; returns how many. For a copy that works beside the other one';
revoke execute on function lockstep.discard_restored_slack() from public;
grant execute on function lockstep.discard_restored_slack() to lockstep_admin;
"#)]
fn discard_restored_slack() -> TableIterator<'static, (name!(deliveries, i64), name!(tokens, i64))>
{
    let discarded = HOME.with(|home| home.discard()).or_raise();
    let [deliveries, tokens] = discarded
        .ok_or_else(|| DeliveryError::NotACopy.into())
        .or_raise();
    TableIterator::once((deliveries, tokens))
}
