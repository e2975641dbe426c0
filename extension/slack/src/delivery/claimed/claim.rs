//! Claims deliveries in batches.

use super::head::{Head, fail_each, heads};
use super::pace::Pace;
use super::parked::Parked;
use super::subject::{self, SEPARATE, UPDATE};
use crate::delivery::channel::{self, Due, Locked, Next};
use crate::error::{DeliveryError, OrRaise, Result, SlackError, required};
use crate::held;
use crate::held::DELIVERIES;
use crate::slack_workspace::{Token, check_attached, tokens};
use lockstep_server::random_bytes;
use lockstep_server::waking;

use pgrx::datum::Interval;
use pgrx::prelude::*;
use std::collections::{BTreeMap, BTreeSet};

/// A sender that claims more at once keeps them from others.
const MOST_AT_ONCE: i32 = 10_000;
/// How many times more channels are tried than wanted, because others may be claiming some of them.
const TRIES: usize = 4;

const SECOND: i64 = 1_000_000;
const DAY: i64 = 86_400 * SECOND;

type Claimed = (
    i64,
    i64,
    String,
    Option<String>,
    String,
    Option<i64>,
    String,
    // A json, which PostgreSQL stores as text: unparsed, as received.
    String,
    i32,
    i32,
    i32,
    String,
    Option<String>,
    Option<String>,
    Option<String>,
    Option<i64>,
    Option<Vec<u8>>,
    Option<Vec<u8>>,
    Option<String>,
);

/// Claims the first waiting delivery of channels that are due.
#[pg_extern(sql = r#"
create function lockstep_api.claim_deliveries(most integer, lease_for interval, per_minute integer, schema text default 'public')
returns table (delivery bigint, lease bigint, team_id text, enterprise_id text, channel text, integration_id bigint, alias text, event json,
               attempts integer, uncertain integer, failures integer, updates text, subject text, ts text, slack_channel text, moment bigint, token bytea, token_iv bytea, mentions text)
language c rows 50 set search_path = pg_catalog, pg_temp
as 'MODULE_PATHNAME', '@FUNCTION_NAME@';
comment on function lockstep_api.claim_deliveries(integer, interval, integer, text) is
  'claims the first waiting delivery of channels that are due, as many a minute and workspace as are given, with what it takes to send it; the channel is the caller''s until lockstep_api.finish_deliveries';
revoke execute on function lockstep_api.claim_deliveries(integer, interval, integer, text) from public;
"#)]
#[allow(clippy::type_complexity)]
fn claim_deliveries(
    most: Option<i32>,
    lease_for: Option<Interval>,
    per_minute: Option<i32>,
    schema: Option<&str>,
) -> TableIterator<
    'static,
    (
        name!(delivery, i64),
        name!(lease, i64),
        name!(team_id, String),
        name!(enterprise_id, Option<String>),
        name!(channel, String),
        name!(integration_id, Option<i64>),
        name!(alias, String),
        name!(event, String),
        name!(attempts, i32),
        name!(uncertain, i32),
        name!(failures, i32),
        name!(updates, String),
        name!(subject, Option<String>),
        name!(ts, Option<String>),
        name!(slack_channel, Option<String>),
        name!(moment, Option<i64>),
        name!(token, Option<Vec<u8>>),
        name!(token_iv, Option<Vec<u8>>),
        name!(mentions, Option<String>),
    ),
> {
    let most = required(most, "most");
    let lease_for = required(lease_for, "lease_for");
    let per_minute = required(per_minute, "per_minute");
    let schema = required(schema, "schema");
    TableIterator::new(claim(most, lease_for, per_minute, schema).or_raise())
}

fn claim(most: i32, lease_for: Interval, per_minute: i32, schema: &str) -> Result<Vec<Claimed>> {
    if !(1..=MOST_AT_ONCE).contains(&most) {
        return Err(DeliveryError::Most { most }.into());
    }
    let is_within = lease_for.months() == 0
        && lease_for.days() == 0
        && (SECOND..=DAY).contains(&lease_for.micros());
    if !is_within {
        return Err(DeliveryError::Lease.into());
    }
    let pace = Pace::per_minute(per_minute)?;
    check_attached(schema)?;
    if held::is_of_another()? {
        return Ok(Vec::new());
    }
    let wanted = usize::try_from(most).unwrap_or_default();
    let (channels, parked) = candidates(schema, pace, wanted)?;
    let teams = parked.settle(schema)?;
    let claimed = match channels.is_empty() {
        true => Vec::new(),
        false => take(schema, pace, &channels, most, lease_for)?,
    };
    teams.settle(schema)?;
    Ok(claimed)
}

/// Claims deliveries of some of these channels.
fn take(
    schema: &str,
    pace: Pace,
    channels: &[i64],
    most: i32,
    lease_for: Interval,
) -> Result<Vec<Claimed>> {
    let locked = channel::lock(channels, most)?;
    if locked.is_empty() {
        return Ok(Vec::new());
    }
    let mut heads = heads(schema, &locked)?;
    for (channel, head) in heads.extract_if(.., |_, head| head.early.is_some()) {
        channel::hold(&[channel], head.early.unwrap_or_default())?;
    }
    let outgoing = with_messages(schema, locked, heads)?;
    let updates = pace.of_updates();
    let (changed, new): (Vec<_>, Vec<_>) = outgoing.into_iter().partition(Outgoing::is_update);
    let (mut admitted, _) = admit(schema, pace, new)?;
    let (changed, held) = admit(schema, updates, changed)?;
    admitted.extend(changed);
    // Whether a channel is due does not depend on the pace of updates, so these are held explicitly.
    let held: Vec<i64> = held.iter().map(|it| it.channel.id).collect();
    channel::hold(&held, updates.interval())?;
    if admitted.len() == usize::try_from(most).unwrap_or_default() {
        waking::wait_no_more(DELIVERIES);
    }
    hand_out(schema, admitted, lease_for)
}

/// The channels to try, longest due first, with no more per workspace than its pace allows.
fn candidates(schema: &str, pace: Pace, wanted: usize) -> Result<(Vec<i64>, Parked)> {
    let mut room: BTreeMap<String, i64> = BTreeMap::new();
    let (mut parked, mut due) = Parked::due(schema, pace, TRIES * wanted)?;
    let early = channel::look(schema, &mut due, |due| {
        fill_up(&mut room, schema, pace, due)?;
        Ok(choose(due, &room, wanted).len() >= wanted)
    })?;
    fill_up(&mut room, schema, pace, &due)?;
    parked.note(early, &due, &room, pace);
    Ok((choose(&due, &room, TRIES * wanted), parked))
}

/// Looks up the remaining capacity of workspaces not looked up yet.
fn fill_up(room: &mut BTreeMap<String, i64>, schema: &str, pace: Pace, due: &[Due]) -> Result<()> {
    let teams: BTreeSet<&str> = due.iter().map(|it| it.team.as_str()).collect();
    let new: Vec<&str> = teams
        .into_iter()
        .filter(|team| !room.contains_key(*team))
        .collect();
    if !new.is_empty() {
        room.extend(new.iter().map(|team| ((*team).to_owned(), pace.burst())));
        room.extend(pace.room(schema, new)?);
    }
    Ok(())
}

fn choose(due: &[Due], room: &BTreeMap<String, i64>, most: usize) -> Vec<i64> {
    let mut left: BTreeMap<&str, i64> = room.iter().map(|(team, n)| (&**team, *n)).collect();
    due.iter()
        .filter(|it| takes_one(&mut left, &it.team))
        .take(most)
        .map(|it| it.id)
        .collect()
}

/// Uses up one of the workspace's remaining messages, if there is one.
fn takes_one<K: Ord + std::borrow::Borrow<str>>(left: &mut BTreeMap<K, i64>, team: &str) -> bool {
    match left.get_mut(team) {
        Some(left) if *left > 0 => {
            *left -= 1;
            true
        }
        _ => false,
    }
}

/// Splits deliveries into those that their workspace's pace allows and the others.
fn admit(
    schema: &str,
    pace: Pace,
    outgoing: Vec<Outgoing>,
) -> Result<(Vec<Outgoing>, Vec<Outgoing>)> {
    let mut wanted: BTreeMap<String, i64> = BTreeMap::new();
    for it in &outgoing {
        *wanted.entry(it.channel.team.clone()).or_default() += 1;
    }
    if wanted.is_empty() {
        return Ok((outgoing, Vec::new()));
    }
    let mut admitted = pace.admit(schema, &wanted)?;
    let is_admitted = |it: &Outgoing| takes_one(&mut admitted, &it.channel.team);
    Ok(outgoing.into_iter().partition(is_admitted))
}

/// A delivery with everything its message needs.
struct Outgoing {
    channel: Locked,
    head: Head,
    event: String,
    updates: String,
    subject: Option<String>,
    message: Option<subject::Message>,
}

impl Outgoing {
    /// Whether it changes an existing message.
    fn is_update(&self) -> bool {
        self.updates == UPDATE && self.message.is_some()
    }
}

fn with_messages(
    schema: &str,
    locked: Vec<Locked>,
    mut heads: BTreeMap<i64, Head>,
) -> Result<Vec<Outgoing>> {
    if heads.is_empty() {
        return Ok(Vec::new());
    }
    let integrations: BTreeSet<i64> = heads.values().filter_map(|it| it.integration).collect();
    let updates = subject::updates(schema, integrations)?;
    let events: BTreeSet<i64> = heads.values().map(|it| it.event).collect();
    let events: Vec<i64> = events.into_iter().collect();
    let payloads = subject::payloads(&events)?;
    let mut outgoing = Vec::with_capacity(heads.len());
    let mut without_event = Vec::new();
    for channel in locked {
        let Some(head) = heads.remove(&channel.id) else {
            continue;
        };
        let Some(event) = payloads.get(&head.event).cloned() else {
            without_event.push(head.id);
            continue;
        };
        let updates = head.integration.and_then(|it| updates.get(&it).cloned());
        let updates = updates.unwrap_or_else(|| SEPARATE.to_owned());
        let subject = match updates == SEPARATE {
            true => None,
            false => subject::subject(&event),
        };
        outgoing.push(Outgoing {
            channel,
            head,
            event,
            updates,
            subject,
            message: None,
        });
    }
    fail_each(&without_event, "no_event")?;
    let subjects: Vec<(i64, String)> = outgoing
        .iter()
        .filter_map(|it| Some((it.head.channel, it.subject.clone()?)))
        .collect();
    if !subjects.is_empty() {
        let mut messages = subject::messages(&subjects)?;
        for it in &mut outgoing {
            let subject = it.subject.clone();
            it.message = subject.and_then(|subject| messages.remove(&(it.head.channel, subject)));
        }
    }
    Ok(outgoing)
}

fn hand_out(schema: &str, outgoing: Vec<Outgoing>, lease_for: Interval) -> Result<Vec<Claimed>> {
    if outgoing.is_empty() {
        return Ok(Vec::new());
    }
    // Random, so that a lease never equals that of an earlier sender.
    let lease = random_bytes::<8>().ok_or(SlackError::NoChance)?;
    let lease = i64::from_le_bytes(lease) & i64::MAX;
    let next: Vec<Next> = outgoing
        .iter()
        .map(|it| Next {
            channel: it.channel.id,
            delivery: it.head.id,
            subject: it.subject.clone(),
        })
        .collect();
    channel::lease(&next, lease, lease_for)?;
    let teams: BTreeSet<String> = outgoing.iter().map(|it| it.channel.team.clone()).collect();
    let tokens = tokens(schema, teams.into_iter().collect())?;
    let none = Token::default();
    let claimed = outgoing.into_iter().map(|it| {
        let token = tokens.get(&it.channel.team).unwrap_or(&none);
        (
            it.head.id,
            lease,
            it.channel.team,
            token.enterprise.clone(),
            it.head.name.unwrap_or(it.channel.channel),
            it.head.integration,
            it.head.alias,
            it.event,
            it.head.attempts,
            it.head.uncertain,
            it.head.failures,
            it.updates,
            it.subject,
            it.message.as_ref().map(|message| message.ts.clone()),
            it.message
                .as_ref()
                .map(|message| message.slack_channel.clone()),
            it.message.and_then(|message| message.moment),
            token.token.clone(),
            token.iv.clone(),
            it.head.mentions,
        )
    });
    Ok(claimed.collect())
}
