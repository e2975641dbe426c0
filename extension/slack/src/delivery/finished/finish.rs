//! The outcome of deliveries. A sender can only report it while it still holds the channel.

use super::lane;
use super::result::{Given, Outcome};
use crate::error::{OrRaise, Result, required};
use crate::held::DELIVERIES;
use crate::subscription;
use lockstep_server::kept;
use lockstep_server::waking::wake;
use lockstep_server::{Jsonb, OwnStatement, datum, keys_argument};
use pgrx::pg_sys;
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

struct Statements {
    lock: OwnStatement,
    deliveries: OwnStatement,
    channels: OwnStatement,
    keep_messages: OwnStatement,
    renew_messages: OwnStatement,
    forget_messages: OwnStatement,
    end_trouble: OwnStatement,
    trouble: OwnStatement,
    more: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        lock: OwnStatement::by_index(
            "select d.id, c.id, c.team_id, coalesce(n.channel, c.channel), c.subject, d.integration_id, d.channel, n.slack_id,
                    coalesce((select min(s.id) from lockstep_internal.slack_channel s
                               where s.slack_id = n.slack_id and s.team_id = n.team_id and s.schema = n.schema), n.id)
                      = coalesce(n.same_as, n.id), d.subscription_id
               from unnest($1, $2) r (delivery, lease) join lockstep_internal.slack_delivery d on d.id = r.delivery
               join lockstep_internal.slack_channel c on c.id = d.lane left join lockstep_internal.slack_channel n on n.id = d.channel
              where c.schema = $3 and c.lease = r.lease and c.delivery = r.delivery
              order by c.id for no key update of c",
            &[pg_sys::INT8ARRAYOID, pg_sys::INT8ARRAYOID, pg_sys::TEXTOID],
            &["id", "slack_id"],
        ),
        deliveries: OwnStatement::by_index(
            "update lockstep_internal.slack_delivery d
                set status = r.status, attempts = d.attempts + r.attempts, uncertain = d.uncertain + r.uncertain,
                    failures = d.failures + r.attempts + r.uncertain,
                    error = r.error, needed = r.needed, done_at = case when r.status <> 'waiting' then clock_timestamp() end
               from unnest($1, $2, $3, $4, $5, $6) r (delivery, status, attempts, uncertain, error, needed)
              where d.id = r.delivery and d.status = 'waiting'",
            &[
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT4ARRAYOID,
                pg_sys::INT4ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
            &["id"],
        ),
        // The next message may start a second after this one did, and not before its own time. A channel without a request is due
        // at once.
        channels: OwnStatement::by_index(
            "update lockstep_internal.slack_channel c
                set lease = null, leased_until = null, delivery = null, subject = null, paced_at = clock_timestamp(),
                    not_before = greatest(clock_timestamp() + r.wait * interval '1 second',
                                          clock_timestamp() - r.ago * interval '1 second' + interval '1 second')
               from unnest($1, $2, $3) r (channel, wait, ago) where c.id = r.channel",
            &[
                pg_sys::INT8ARRAYOID,
                pg_sys::FLOAT8ARRAYOID,
                pg_sys::FLOAT8ARRAYOID,
            ],
            &["id"],
        ),
        // The first message of a subject stays: updates keep its id, and a thread depends on it; unless the name now belongs to
        // another channel.
        keep_messages: OwnStatement::by_index(
            "insert into lockstep_internal.slack_message as m (channel, subject, ts, slack_channel, moment)
             select * from unnest($1, $2, $3, $4, $5) on conflict (channel, subject) do update
                set at = clock_timestamp(), moment = greatest(m.moment, excluded.moment),
                    ts = case when m.slack_channel = excluded.slack_channel then m.ts else excluded.ts end,
                    slack_channel = excluded.slack_channel",
            &[
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT8ARRAYOID,
            ],
            &["channel"],
        ),
        renew_messages: OwnStatement::by_index(
            "update lockstep_internal.slack_message m set at = clock_timestamp(), moment = greatest(m.moment, s.moment)
               from unnest($1, $2, $3) s (channel, subject, moment) where m.channel = s.channel and m.subject = s.subject",
            &[
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::INT8ARRAYOID,
            ],
            &["channel"],
        ),
        forget_messages: OwnStatement::by_index(
            "delete from lockstep_internal.slack_message m using unnest($1, $2) s (channel, subject)
              where m.channel = s.channel and m.subject = s.subject",
            &[pg_sys::INT8ARRAYOID, pg_sys::TEXTARRAYOID],
            &["channel"],
        ),
        end_trouble: OwnStatement::by_index(
            "delete from lockstep_internal.slack_channel_trouble t using unnest($2, $3, $4) r (integration, team, channel)
              where t.schema = $1 and t.integration_id = r.integration and t.team_id = r.team and t.channel = r.channel",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
            &["schema"],
        ),
        trouble: OwnStatement::by_index(
            "insert into lockstep_internal.slack_channel_trouble as t (schema, integration_id, team_id, channel, error, needed, since, last_at)
             select $1, r.*, now.at, now.at from (select clock_timestamp()) now (at) cross join unnest($2, $3, $4, $5, $6) r
                 on conflict (schema, integration_id, team_id, channel) do update
                set error = excluded.error, needed = excluded.needed, failures = t.failures + 1, last_at = clock_timestamp()",
            &[
                pg_sys::TEXTOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
            &["schema"],
        ),
        more: OwnStatement::by_index(
            "select from unnest($1) c (id)
              where exists (select from lockstep_internal.slack_delivery d where d.lane = c.id and d.status = 'waiting') limit 1",
            &[pg_sys::INT8ARRAYOID],
            &["lane"],
        ),
    };
}

/// Says what became of deliveries.
#[pg_extern(sql = r#"
create function lockstep_api.finish_deliveries(results jsonb, schema text default 'public')
returns integer language c set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.finish_deliveries(jsonb, text) is
  'reports the outcome of claimed deliveries; returns how many results were accepted: not those of channels that another sender holds by now';
revoke execute on function lockstep_api.finish_deliveries(jsonb, text) from public;
"#)]
fn finish_deliveries(results: Option<Jsonb>, schema: Option<&str>) -> i32 {
    let results = required(results, "results");
    let schema = required(schema, "schema");
    let finish = || -> Result<i32> {
        let results = own(Given::all(results.0)?, schema)?;
        if results.is_empty() {
            return Ok(0);
        }
        write_deliveries(&results)?;
        write_channels(&results)?;
        write_messages(&results)?;
        write_troubles(&results, schema)?;
        learn_names(&results)?;
        wake_for_more(&results)?;
        Ok(i32::try_from(results.len()).unwrap_or(i32::MAX))
    };
    finish().or_raise()
}

/// A result of a delivery whose channel is locked and was held by the sender.
struct Own {
    given: Given,
    lane: i64,
    team: String,
    /// The name that was used, and its row.
    name: String,
    channel: i64,
    slack_id: Option<String>,
    is_in_lane: bool,
    subject: Option<String>,
    integration: Option<i64>,
    subscription: Option<i64>,
}

/// Locks the channels that the senders still hold. Claims skip locked channels, so they never wait for this.
fn own(given: Vec<Given>, schema: &str) -> Result<Vec<Own>> {
    let deliveries: Vec<i64> = given.iter().map(|it| it.delivery).collect();
    let leases: Vec<i64> = given.iter().map(|it| it.lease).collect();
    let mut given: BTreeMap<i64, Given> = given.into_iter().map(|it| (it.delivery, it)).collect();
    let mut own = Vec::with_capacity(given.len());
    let arguments = [
        keys_argument(&deliveries),
        keys_argument(&leases),
        datum(schema),
    ];
    STATEMENTS.with(|statements| {
        statements.lock.rows(&arguments, |row| {
            let delivery: i64 = row.get(1).unwrap_or_default();
            if let Some(given) = given.remove(&delivery) {
                own.push(Own {
                    given,
                    lane: row.get(2).unwrap_or_default(),
                    team: row.get(3).unwrap_or_default(),
                    name: row.get(4).unwrap_or_default(),
                    subject: row.get(5),
                    integration: row.get(6),
                    subscription: row.get(10),
                    channel: row.get(7).unwrap_or_default(),
                    slack_id: row.get(8),
                    is_in_lane: row.get(9).unwrap_or(true),
                });
            }
        })
    })?;
    Ok(own)
}

fn write_deliveries(results: &[Own]) -> Result<()> {
    let given: Vec<&Given> = results.iter().map(|it| &it.given).collect();
    let given: Vec<&Given> = given.into_iter().filter(|it| it.counts()).collect();
    if given.is_empty() {
        return Ok(());
    }
    let count = |outcome| -> Vec<i32> {
        let is_one = |it: &&Given| i32::from(it.outcome == outcome);
        given.iter().map(is_one).collect()
    };
    let deliveries: Vec<i64> = given.iter().map(|it| it.delivery).collect();
    let statuses: Vec<&str> = given.iter().map(|it| it.status()).collect();
    let errors: Vec<Option<&str>> = given.iter().map(|it| it.error.as_deref()).collect();
    let needed: Vec<Option<&str>> = given.iter().map(|it| it.needed.as_deref()).collect();
    let arguments = [
        keys_argument(&deliveries),
        datum(statuses),
        datum(count(Outcome::Retry)),
        datum(count(Outcome::Uncertain)),
        datum(errors),
        datum(needed),
    ];
    STATEMENTS.with(|statements| statements.deliveries.run(&arguments))?;
    Ok(())
}

fn write_channels(results: &[Own]) -> Result<()> {
    let lanes: Vec<i64> = results.iter().map(|it| it.lane).collect();
    let waits: Vec<f64> = results.iter().map(|it| it.given.wait()).collect();
    let ago: Vec<Option<f64>> = results.iter().map(|it| it.given.ago()).collect();
    let arguments = [keys_argument(&lanes), datum(waits), datum(ago)];
    STATEMENTS.with(|statements| statements.channels.run(&arguments))?;
    Ok(())
}

fn write_messages(results: &[Own]) -> Result<()> {
    let (mut kept, mut renewed, mut forgotten) = (Vec::new(), Vec::new(), Vec::new());
    for it in results {
        let Some(subject) = it.subject.as_deref() else {
            continue;
        };
        match (it.given.outcome, &it.given.ts, &it.given.channel) {
            (Outcome::Delivered, Some(ts), Some(slack_channel)) => {
                let moment = it.given.moment;
                kept.push((
                    it.channel,
                    subject,
                    ts.as_str(),
                    slack_channel.as_str(),
                    moment,
                ));
            }
            (Outcome::Delivered, None, _) => renewed.push((it.channel, subject, it.given.moment)),
            (Outcome::LostMessage, ..) => forgotten.push((it.channel, subject)),
            _ => {}
        }
    }
    // A name may have been in two lanes: of two new messages of a subject the first counts.
    let mut seen = BTreeSet::new();
    kept.retain(|it| seen.insert((it.0, it.1)));
    STATEMENTS.with(|statements| {
        if !kept.is_empty() {
            let channels: Vec<i64> = kept.iter().map(|it| it.0).collect();
            let arguments = [
                keys_argument(&channels),
                datum(kept.iter().map(|it| it.1).collect::<Vec<_>>()),
                datum(kept.iter().map(|it| it.2).collect::<Vec<_>>()),
                datum(kept.iter().map(|it| it.3).collect::<Vec<_>>()),
                datum(kept.iter().map(|it| it.4).collect::<Vec<_>>()),
            ];
            statements.keep_messages.run(&arguments)?;
        }
        if !renewed.is_empty() {
            let channels: Vec<i64> = renewed.iter().map(|it| it.0).collect();
            let arguments = [
                keys_argument(&channels),
                datum(renewed.iter().map(|it| it.1).collect::<Vec<_>>()),
                datum(renewed.iter().map(|it| it.2).collect::<Vec<_>>()),
            ];
            statements.renew_messages.run(&arguments)?;
        }
        if !forgotten.is_empty() {
            let channels: Vec<i64> = forgotten.iter().map(|it| it.0).collect();
            let subjects: Vec<&str> = forgotten.iter().map(|it| it.1).collect();
            let arguments = [keys_argument(&channels), datum(subjects)];
            statements.forget_messages.run(&arguments)?;
        }
        Ok(())
    })
}

fn write_troubles(results: &[Own], schema: &str) -> Result<()> {
    let of = |outcome| -> Vec<&Own> {
        let it = results.iter().filter(|it| it.given.outcome == outcome);
        it.collect()
    };
    write_subscriptions(&of(Outcome::Delivered), &of(Outcome::Failed))?;
    let (mut delivered, mut failed) = (of(Outcome::Delivered), of(Outcome::Failed));
    delivered.retain(|it| it.integration.is_some());
    failed.retain(|it| it.integration.is_some());
    let mut seen = BTreeSet::new();
    failed.retain(|it| seen.insert((it.integration, it.team.as_str(), it.name.as_str())));
    let places = |of: &[&Own]| {
        let integrations: Vec<i64> = of.iter().filter_map(|it| it.integration).collect();
        let teams: Vec<&str> = of.iter().map(|it| it.team.as_str()).collect();
        let channels: Vec<&str> = of.iter().map(|it| it.name.as_str()).collect();
        [keys_argument(&integrations), datum(teams), datum(channels)]
    };
    STATEMENTS.with(|statements| {
        if !delivered.is_empty() {
            let [integrations, teams, channels] = places(&delivered);
            let arguments = [datum(schema), integrations, teams, channels];
            statements.end_trouble.run(&arguments)?;
        }
        if !failed.is_empty() {
            let [integrations, teams, channels] = places(&failed);
            let errors = failed.iter().map(|it| it.given.error.as_deref());
            let errors: Vec<&str> = errors.map(|it| it.unwrap_or("unknown_error")).collect();
            let needed: Vec<Option<&str>> =
                failed.iter().map(|it| it.given.needed.as_deref()).collect();
            let arguments = [
                datum(schema),
                integrations,
                teams,
                channels,
                datum(errors),
                datum(needed),
            ];
            statements.trouble.run(&arguments)?;
        }
        Ok(())
    })
}

/// The same of subscriptions, which have one channel each.
fn write_subscriptions(delivered: &[&Own], failed: &[&Own]) -> Result<()> {
    let delivered = delivered.iter().filter_map(|it| it.subscription);
    let failed = failed.iter().filter_map(|it| {
        let error = it.given.error.as_deref().unwrap_or("unknown_error");
        Some((it.subscription?, error, it.given.needed.as_deref()))
    });
    let (delivered, failed): (Vec<i64>, Vec<_>) = (delivered.collect(), failed.collect());
    let failing = failed.iter().map(|it| it.0);
    subscription::lock(
        &delivered
            .iter()
            .copied()
            .chain(failing)
            .collect::<Vec<i64>>(),
    )?;
    subscription::end_troubles(&delivered)?;
    subscription::note_troubles(&failed)
}

/// Slack's response says which channel a name belongs to.
fn learn_names(results: &[Own]) -> Result<()> {
    let names = results.iter().filter_map(|it| {
        let given = (it.given.outcome == Outcome::Delivered).then_some(&it.given)?;
        let slack_id = given.channel.as_deref()?;
        let is_known = it.slack_id.as_deref() == Some(slack_id) && it.is_in_lane;
        (!is_known).then_some((it.channel, slack_id))
    });
    lane::learn(names.collect())
}

/// Other senders may be idle.
fn wake_for_more(results: &[Own]) -> Result<()> {
    let lanes: Vec<i64> = results.iter().map(|it| it.lane).collect();
    let mut is_more = false;
    STATEMENTS.with(|statements| {
        statements
            .more
            .rows(&[keys_argument(&lanes)], |_| is_more = true)
    })?;
    if is_more {
        wake(DELIVERIES);
    }
    Ok(())
}
