//! The first waiting delivery of each channel. The caller has locked the channels.

use super::subject;
use crate::delivery::channel::Locked;
use crate::error::Result;
use crate::event::{DirectMessage, Reason, may_be_sent, quiet};
use crate::slack_workspace::{Destination, ancestors, destinations, with_token};
use crate::subscription;
use lockstep_server::kept;
use lockstep_server::{OwnStatement, datum, keys_argument};
use pgrx::pg_sys;
use std::collections::{BTreeMap, BTreeSet};

/// Deliveries of a removed integration fail, and the next delivery in line is examined, in at most this many rounds. The rest is
/// left for the next claim.
const MOST_ROUNDS: usize = 10;

struct Statements {
    first: OwnStatement,
    fail: OwnStatement,
    fail_quiet: OwnStatement,
    fail_each: OwnStatement,
}

kept! {
    static STATEMENTS: Statements = Statements {
        first: OwnStatement::by_index(
            "select h.lane, h.id, h.slack_integration_id, h.integration_id, h.event, h.attempts, h.uncertain, h.failures, h.channel,
                    h.mentions, h.wait::int8, n.channel, h.subscription_id, e.project_id
               from unnest($1) c (id)
              cross join lateral (
                select d.lane, d.id, d.slack_integration_id, d.integration_id, d.event, d.attempts, d.uncertain, d.failures, d.channel,
                       d.mentions, d.subscription_id,
                       case when d.not_before is not null then
                         -- Written while a clock was ahead: the time has come.
                         case when d.created_at <= clock_timestamp() + interval '5 minutes'
                           then extract(epoch from d.not_before - clock_timestamp()) * 1000000 else 0 end
                       end as wait
                  from lockstep_internal.slack_delivery d
                 where d.lane = c.id and d.status = 'waiting' order by d.lane, d.id limit 1) h
               left join lockstep_internal.slack_channel n on n.id = h.channel
               left join lockstep_internal.event e on e.id = h.event",
            &[pg_sys::INT8ARRAYOID],
            &["lane", "id"],
        ),
        fail: OwnStatement::by_index(
            "update lockstep_internal.slack_delivery d
                set status = 'failed', error = g.error, needed = null, done_at = clock_timestamp()
               from unnest($1, $2, $3, $4, $5) g (lane, slack_integration_id, integration_id, subscription_id, error)
              where d.lane = g.lane and d.status = 'waiting' and d.slack_integration_id is not distinct from g.slack_integration_id
                and d.integration_id is not distinct from g.integration_id
                and d.subscription_id is not distinct from g.subscription_id",
            &[
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
            &["lane"],
        ),
        // In silent mode everything that waits in the lane.
        fail_quiet: OwnStatement::by_index(
            "update lockstep_internal.slack_delivery d
                set status = 'failed', error = q.error, needed = null, done_at = clock_timestamp()
               from unnest($1, $2, $3) q (lane, project_id, error)
              where d.lane = q.lane and d.status = 'waiting'
                and (q.error = 'silent_mode' or q.project_id = (select e.project_id from lockstep_internal.event e where e.id = d.event))",
            &[
                pg_sys::INT8ARRAYOID,
                pg_sys::INT8ARRAYOID,
                pg_sys::TEXTARRAYOID,
            ],
            &["lane", "id"],
        ),
        fail_each: OwnStatement::by_index(
            "update lockstep_internal.slack_delivery set status = 'failed', error = $2, needed = null, done_at = clock_timestamp()
              where id = any ($1) and status = 'waiting'",
            &[pg_sys::INT8ARRAYOID, pg_sys::TEXTOID],
            &["id"],
        ),
    };
}

/// A delivery that can be sent.
pub(super) struct Head {
    pub(super) id: i64,
    /// The row of the name under which the channel is addressed, and that name.
    pub(super) channel: i64,
    pub(super) name: Option<String>,
    /// None for a subscription.
    pub(super) integration: Option<i64>,
    pub(super) subscription: Option<i64>,
    pub(super) alias: String,
    pub(super) event: i64,
    pub(super) attempts: i32,
    pub(super) uncertain: i32,
    pub(super) failures: i32,
    /// Slack's ids, with spaces between.
    pub(super) mentions: Option<String>,
    /// For how many microseconds its reader is not to be disturbed.
    pub(super) early: Option<i64>,
}

struct First {
    lane: i64,
    slack_integration: Option<i64>,
    /// Where its event happened, if in a project.
    project: Option<i64>,
    /// It is one, and not too early.
    is_direct_message: bool,
    head: Head,
}

/// The first delivery of each channel that can be sent. Deliveries of removed or inactive integrations, of ended subscriptions and of
/// projects of which nobody is notified any more fail, and so do direct messages to somebody who may not see them by now, or does not
/// want them.
pub(super) fn heads(schema: &str, channels: &[Locked]) -> Result<BTreeMap<i64, Head>> {
    let teams: BTreeMap<i64, &str> = channels
        .iter()
        .map(|it| (it.id, it.team.as_str()))
        .collect();
    let mut heads = BTreeMap::new();
    let mut left: Vec<i64> = teams.keys().copied().collect();
    for _ in 0..MOST_ROUNDS {
        let firsts = firsts(&left)?;
        let ids: BTreeSet<i64> = firsts
            .iter()
            .filter_map(|it| it.slack_integration)
            .collect();
        let ids: Vec<i64> = ids.into_iter().collect();
        let destinations = destinations(schema, &ids)?;
        let heirs = heirs(schema, &firsts, &destinations)?;
        let subscribed = Subscribed::look_up(schema, &firsts)?;
        let quiet = quiet(schema, firsts.iter().map(|it| it.project).collect())?;
        let mut gone = Vec::new();
        let mut quieted = Vec::new();
        let mut sound = Vec::new();
        for mut first in firsts {
            let destination = first.slack_integration.and_then(|it| destinations.get(&it));
            let team = teams.get(&first.lane).copied();
            let trouble = match first.head.subscription {
                Some(subscription) => subscribed.trouble(subscription, team),
                None => trouble(&first, destination, team, &heirs),
            };
            // As when they were published: where nobody is notified any more, nothing else is wrong.
            match (quiet.get(&first.project), trouble) {
                (Some(reason), _) => quieted.push((first.lane, first.project, *reason)),
                (None, Some(error)) => gone.push(Gone {
                    lane: first.lane,
                    slack_integration: first.slack_integration,
                    integration: first.head.integration,
                    subscription: first.head.subscription,
                    error,
                }),
                (None, None) => {
                    first.head.alias = destination.map(|it| it.alias.clone()).unwrap_or_default();
                    sound.push(first);
                }
            }
        }
        fail_quiet(&quieted)?;
        fail(&gone)?;
        let refused = refused(schema, &sound, &teams)?;
        fail_each(&refused, "no_access")?;
        left = quieted.into_iter().map(|(lane, ..)| lane).collect();
        left.extend(gone.into_iter().map(|it| it.lane));
        for first in sound {
            match refused.contains(&first.head.id) {
                true => left.push(first.lane),
                false => {
                    heads.insert(first.lane, first.head);
                }
            }
        }
        if left.is_empty() {
            break;
        }
    }
    Ok(heads)
}

/// Integrations that notify through the workspace of one that they inherit from: with all above each, and whether it is active.
type Heirs = BTreeMap<(i64, i64), bool>;

fn heirs(
    schema: &str,
    firsts: &[First],
    destinations: &BTreeMap<i64, Destination>,
) -> Result<Heirs> {
    let heir = |first: &First| {
        let to = destinations.get(&first.slack_integration?)?;
        let integration = first.head.integration?;
        (to.integration != integration).then_some(integration)
    };
    let ids: Vec<i64> = firsts.iter().filter_map(heir).collect();
    match ids.is_empty() {
        true => Ok(Heirs::new()),
        false => ancestors(schema, &ids),
    }
}

/// The subscriptions that there still are, and the workspaces that have the app.
struct Subscribed {
    /// The workspace of each, by id.
    teams: BTreeMap<i64, String>,
    with_token: BTreeSet<String>,
}

impl Subscribed {
    fn look_up(schema: &str, firsts: &[First]) -> Result<Self> {
        let ids = firsts.iter().filter_map(|it| it.head.subscription);
        let ids: BTreeSet<i64> = ids.collect();
        let teams = subscription::teams(&ids.into_iter().collect::<Vec<i64>>())?;
        Ok(Self {
            with_token: with_token(schema, teams.values().map(String::as_str))?,
            teams,
        })
    }

    /// Why a delivery to a channel of that workspace cannot be sent, if so.
    fn trouble(&self, subscription: i64, team: Option<&str>) -> Option<&'static str> {
        let found = self.teams.get(&subscription).map(String::as_str);
        match found.filter(|found| Some(*found) == team) {
            None => Some("unsubscribed"),
            Some(team) if self.with_token.contains(team) => None,
            Some(_) => Some("not_installed"),
        }
    }
}

/// The direct messages that may no longer be sent.
fn refused(schema: &str, firsts: &[First], teams: &BTreeMap<i64, &str>) -> Result<Vec<i64>> {
    let direct: Vec<&First> = firsts.iter().filter(|it| it.is_direct_message).collect();
    if direct.is_empty() {
        return Ok(Vec::new());
    }
    let events: Vec<i64> = direct.iter().map(|first| first.head.event).collect();
    let payloads = subject::payloads(&events)?;
    let mut ids = Vec::new();
    let mut messages = Vec::new();
    for First { lane, head, .. } in direct {
        // Without its event it fails anyway.
        if let Some(team) = teams.get(lane)
            && let Some(user) = head.name.as_deref()
            && let Some(event) = payloads.get(&head.event)
        {
            ids.push(head.id);
            messages.push(DirectMessage { team, user, event });
        }
    }
    let allowed = may_be_sent(schema, &messages)?;
    let refused = ids.into_iter().zip(allowed).filter(|(_, may)| !may);
    Ok(refused.map(|(id, _)| id).collect())
}

/// Why a delivery cannot be sent, if so.
fn trouble(
    first: &First,
    to: Option<&Destination>,
    team: Option<&str>,
    heirs: &Heirs,
) -> Option<&'static str> {
    let to = to.filter(|to| Some(&*to.team) == team);
    let is_active = to.zip(first.head.integration);
    let is_active = is_active.and_then(|(to, integration)| match to.integration == integration {
        true => Some(to.is_active),
        false => heirs.get(&(integration, to.integration)).copied(),
    });
    match is_active {
        Some(true) => None,
        Some(false) => Some("inactive"),
        None => Some("not_installed"),
    }
}

fn firsts(lanes: &[i64]) -> Result<Vec<First>> {
    let mut firsts = Vec::new();
    STATEMENTS.with(|statements| {
        statements.first.rows(&[keys_argument(lanes)], |row| {
            firsts.push(First {
                lane: row.get(1).unwrap_or_default(),
                slack_integration: row.get(3),
                project: row.get(14),
                is_direct_message: row.get(11).is_some_and(|wait: i64| wait <= 0),
                head: Head {
                    id: row.get(2).unwrap_or_default(),
                    channel: row.get(9).unwrap_or_default(),
                    name: row.get(12),
                    integration: row.get(4),
                    subscription: row.get(13),
                    alias: String::new(),
                    event: row.get(5).unwrap_or_default(),
                    attempts: row.get(6).unwrap_or_default(),
                    uncertain: row.get(7).unwrap_or_default(),
                    failures: row.get(8).unwrap_or_default(),
                    mentions: row.get(10),
                    early: row.get(11).filter(|wait: &i64| *wait > 0),
                },
            });
        })
    })?;
    Ok(firsts)
}

/// A lane whose first delivery cannot be sent, and why.
struct Gone {
    lane: i64,
    slack_integration: Option<i64>,
    integration: Option<i64>,
    subscription: Option<i64>,
    error: &'static str,
}

/// Fails everything that waits in these lanes for the same integrations and rows, or the same subscriptions.
fn fail(gone: &[Gone]) -> Result<()> {
    if gone.is_empty() {
        return Ok(());
    }
    let lanes: Vec<i64> = gone.iter().map(|it| it.lane).collect();
    let ids = |of: fn(&Gone) -> Option<i64>| {
        let ids: Vec<Option<i64>> = gone.iter().map(of).collect();
        datum(ids)
    };
    let errors: Vec<&str> = gone.iter().map(|it| it.error).collect();
    let arguments = [
        keys_argument(&lanes),
        ids(|it| it.slack_integration),
        ids(|it| it.integration),
        ids(|it| it.subscription),
        datum(errors),
    ];
    STATEMENTS.with(|statements| statements.fail.run(&arguments))?;
    Ok(())
}

/// Fails everything that waits in these lanes for the same projects.
fn fail_quiet(quieted: &[(i64, Option<i64>, Reason)]) -> Result<()> {
    if quieted.is_empty() {
        return Ok(());
    }
    let lanes: Vec<i64> = quieted.iter().map(|(lane, ..)| *lane).collect();
    let projects: Vec<Option<i64>> = quieted.iter().map(|(_, project, _)| *project).collect();
    let reasons: Vec<&str> = quieted.iter().map(|(.., it)| it.name()).collect();
    let arguments = [keys_argument(&lanes), datum(projects), datum(reasons)];
    STATEMENTS.with(|statements| statements.fail_quiet.run(&arguments))?;
    Ok(())
}

/// Fails these deliveries alone.
pub(super) fn fail_each(deliveries: &[i64], error: &str) -> Result<()> {
    if !deliveries.is_empty() {
        let arguments = [keys_argument(deliveries), datum(error)];
        STATEMENTS.with(|statements| statements.fail_each.run(&arguments))?;
    }
    Ok(())
}
