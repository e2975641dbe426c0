//! Random concurrency: several sessions claim deliveries and report outcomes, while one publishes and one makes leases expire,
//! compared with a model of what Slack has seen.
//!
//! LOCKSTEP_SEED=... replays the choices of a run; the interleaving of sessions depends on the machine.

use std::collections::{BTreeMap, BTreeSet};
use std::io::{Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Mutex, MutexGuard};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use postgres::Client;

use crate::database::cluster;
use crate::delivery::claim::{Claim, channels, finish};
use crate::random::plan::Dice;
use crate::random::seed;
use crate::service_account::number;

const DATABASE: &str = "delivery_random";
const SENDERS: u64 = 6;
const DELIVERIES: i64 = 700;
/// Channels 1 to 5 belong to team A, 6 and 7 to team B.
const CHANNELS: i64 = 7;
/// A burst is 12 messages, and no minute exceeds the limit.
const PER_MINUTE: i32 = 120;
const BURST: f64 = 12.0;
const INTERVAL: f64 = 61.0 / 109.0;
/// Nobody waits here: instead, due times are moved by this many seconds. The pace's only when it is used up, otherwise time would
/// be wasted.
const STEP: f64 = 1.0;
const USED_UP: f64 = 5.5;

/// What is certain while all this runs: a session that believes it holds a channel also does in the database, as long as nobody
/// makes its lease expire.
#[derive(Default)]
struct Model {
    /// The holder of each channel.
    holders: BTreeMap<i64, Claim>,
    /// Leases of a channel that may have expired.
    lost: BTreeSet<(i64, i64)>,
    published: BTreeMap<i64, Vec<i64>>,
    /// Deliveries that somebody has reported, or started to report, as done.
    may_be_done: BTreeSet<i64>,
    is_done: BTreeSet<i64>,
    /// How often Slack has accepted a delivery.
    posted: BTreeMap<i64, u64>,
    /// The claims of each team, and when its time was moved.
    claims: [Vec<Span>; 2],
    moves: [Vec<Span>; 2],
    left: i64,
}

/// The period in which something happened, by the database's clock.
#[derive(Clone, Copy)]
struct Span {
    before: f64,
    after: f64,
    messages: f64,
}

struct Run {
    model: Mutex<Model>,
    has_failed: AtomicBool,
}

impl Run {
    fn model(&self) -> Result<MutexGuard<'_, Model>> {
        self.model
            .lock()
            .map_err(|_| anyhow!("another session failed"))
    }

    fn goes_on(&self) -> Result<bool> {
        Ok(!self.has_failed.load(Ordering::Relaxed) && self.model()?.left > 0)
    }
}

fn now(client: &mut Client) -> Result<f64> {
    let query = "select extract(epoch from clock_timestamp())::float8";
    Ok(client.query_one(query, &[])?.get(0))
}

struct Sender<'a> {
    run: &'a Run,
    client: Client,
    dice: Dice,
}

fn team_of(channel: i64) -> usize {
    usize::from(channel > 5)
}

impl Sender<'_> {
    fn send(&mut self) -> Result<()> {
        while self.run.goes_on()? {
            let requests = self.claim()?;
            if requests.is_empty() {
                self.move_time()?;
            }
            for (channel, claim) in requests {
                self.finish(channel, claim)?;
            }
        }
        Ok(())
    }

    fn claim(&mut self) -> Result<Vec<(i64, Claim)>> {
        let most = i32::try_from(1 + self.dice.below(5))?;
        let done_before = self.run.model()?.is_done.clone();
        let before = now(&mut self.client)?;
        let rows = self.client.query(
            "select delivery, lease, substr(channel, 2)::bigint from lockstep_api.claim_deliveries($1, '1 hour', $2)",
            &[&most, &PER_MINUTE],
        )?;
        let after = now(&mut self.client)?;
        let mut model = self.run.model()?;
        let mut requests = Vec::new();
        let mut of_team = [0.0, 0.0];
        for row in &rows {
            let claim = Claim {
                delivery: row.get(0),
                lease: row.get(1),
            };
            let (channel, delivery): (i64, i64) = (row.get(2), claim.delivery);
            of_team[team_of(channel)] += 1.0;
            ensure!(
                !done_before.contains(&delivery),
                "{delivery} was done already"
            );
            let earlier = model.published.get(&channel).into_iter().flatten();
            for other in earlier.take_while(|other| **other < delivery) {
                ensure!(
                    model.may_be_done.contains(other),
                    "{delivery} was claimed before {other}"
                );
            }
            if let Some(other) = model.holders.insert(channel, claim) {
                ensure!(
                    model.lost.contains(&(channel, other.lease)),
                    "{delivery} and {} are sent to channel {channel} at a time",
                    other.delivery
                );
            }
            requests.push((channel, claim));
        }
        for (claims, messages) in model.claims.iter_mut().zip(of_team) {
            claims.push(Span {
                before,
                after,
                messages,
            });
        }
        Ok(requests)
    }

    /// Sends, as far as the model of Slack is concerned, and reports the outcome.
    fn finish(&mut self, channel: i64, claim: Claim) -> Result<()> {
        let kind = self.dice.below(100);
        let (outcome, is_posted, is_done) = match kind {
            0..=54 => ("delivered", true, true),
            55..=64 => ("retry", false, false),
            65..=69 => ("uncertain", true, false),
            70..=74 => ("uncertain", false, false),
            75..=82 => ("rate_limited", false, false),
            83..=89 => ("failed", false, true),
            90..=94 => ("release", false, false),
            // It has sent, and never reports.
            _ => ("", true, false),
        };
        {
            let mut model = self.run.model()?;
            if is_posted {
                *model.posted.entry(claim.delivery).or_default() += 1;
            }
            if is_done {
                model.may_be_done.insert(claim.delivery);
            }
            if outcome.is_empty() {
                // Its lease expires, sooner or later.
                model.lost.insert((channel, claim.lease));
                return Ok(());
            }
            // From now on others may take the channel, unless they already have.
            if model.holders.get(&channel) == Some(&claim) {
                model.holders.remove(&channel);
            }
        }
        let said = format!(r#""outcome": "{outcome}", "wait": 3, "error": "{outcome}""#);
        let taken = finish(&mut self.client, &[claim], &said)?;
        let mut model = self.run.model()?;
        ensure!(
            taken == 1 || model.lost.contains(&(channel, claim.lease)),
            "the holder of {} was not heard",
            claim.delivery
        );
        if is_done && taken == 1 {
            ensure!(
                model.is_done.insert(claim.delivery),
                "{} was done twice",
                claim.delivery
            );
            model.left -= 1;
        }
        Ok(())
    }

    /// Makes a lease expire, or moves time for a channel or for the pace.
    fn move_time(&mut self) -> Result<()> {
        let channel = 1 + i64::try_from(self.dice.below(CHANNELS as u64))?;
        match self.dice.below(4) {
            0 => {
                let holder = self.run.model()?.holders.get(&channel).copied();
                if let Some(holder) = holder {
                    self.run.model()?.lost.insert((channel, holder.lease));
                    self.client.execute(
                        "update lockstep_internal.slack_channel set leased_until = clock_timestamp() - interval '1 second' where id = $1 and lease = $2",
                        &[&channel, &holder.lease],
                    )?;
                }
            }
            1 | 2 => {
                self.client.execute(
                    "update lockstep_internal.slack_channel set not_before = '-infinity' where id = $1",
                    &[&channel],
                )?;
            }
            _ => {
                let team = ["A", "B"][team_of(channel)];
                let before = now(&mut self.client)?;
                let moved = self.client.execute(
                    "update lockstep_internal.slack_team_pace set free_at = free_at - make_interval(secs => $2)
                      where team_id = $1 and free_at > clock_timestamp() + make_interval(secs => $3)",
                    &[&team, &STEP, &USED_UP],
                )?;
                let after = now(&mut self.client)?;
                let span = Span {
                    before,
                    after,
                    messages: 0.0,
                };
                let mut model = self.run.model()?;
                model.moves[team_of(channel)].extend((moved > 0).then_some(span));
            }
        }
        Ok(())
    }
}

/// Publishes a few at a time; some publications are rolled back.
fn publish(run: &Run, client: &mut Client, dice: &mut Dice) -> Result<()> {
    let mut left = DELIVERIES;
    while left > 0 && run.goes_on()? {
        let is_undone = dice.below(8) == 0;
        let count = left.min(1 + i64::try_from(dice.below(6))?);
        let mut transaction = client.transaction()?;
        let mut new = Vec::new();
        for _ in 0..count {
            let channel = 1 + i64::try_from(dice.below(CHANNELS as u64))?;
            let integration = match team_of(channel) {
                0 => 1 + i64::try_from(dice.below(4))?,
                _ => 5 + i64::try_from(dice.below(2))?,
            };
            let row = transaction.query_one("select publish($1, $2)", &[&channel, &integration])?;
            new.push((channel, row.get::<_, i64>(0)));
        }
        if is_undone {
            transaction.rollback()?;
            continue;
        }
        transaction.commit()?;
        left -= count;
        let mut model = run.model()?;
        for (channel, delivery) in new {
            model.published.entry(channel).or_default().push(delivery);
        }
    }
    Ok(())
}

/// In no period were there more messages than a burst and the elapsed time allow.
fn check_pace(claims: &[Span], moves: &[Span]) -> Result<f64> {
    let mut claims: Vec<Span> = claims
        .iter()
        .copied()
        .filter(|it| it.messages > 0.0)
        .collect();
    claims.sort_by(|a, b| a.after.total_cmp(&b.after));
    let mut begun: Vec<f64> = moves.iter().map(|it| it.before).collect();
    let mut ended: Vec<f64> = moves.iter().map(|it| it.after).collect();
    begun.sort_by(f64::total_cmp);
    ended.sort_by(f64::total_cmp);
    let mut nearest = f64::MAX;
    for first in &claims {
        let over = ended.partition_point(|at| *at < first.before);
        let mut messages = 0.0;
        for it in claims.iter().filter(|it| it.before >= first.before) {
            messages += it.messages;
            let moved = begun.partition_point(|at| *at <= it.after) - over;
            let passed = it.after - first.before + moved as f64 * STEP;
            let room = BURST + passed / INTERVAL - messages;
            ensure!(
                room > -1e-3,
                "{messages} messages within {passed} seconds, {} of which were made to pass",
                moved as f64 * STEP
            );
            nearest = nearest.min(room);
        }
    }
    Ok(nearest)
}

fn check(client: &mut Client, model: &Model) -> Result<()> {
    for (claims, moves) in model.claims.iter().zip(&model.moves) {
        let nearest = check_pace(claims, moves)?;
        // Otherwise nothing was tested.
        ensure!(nearest < 5.0, "the pace was never reached: {nearest}");
        println!("the pace was kept by {nearest} messages");
    }
    let rows = client.query(
        "select id, status, uncertain from lockstep_internal.slack_delivery order by id",
        &[],
    )?;
    assert_eq!(rows.len(), DELIVERIES as usize);
    let (mut delivered, mut repeated) = (0, 0);
    for row in rows {
        let (id, status): (i64, String) = (row.get(0), row.get(1));
        let uncertain = u64::try_from(row.get::<_, i32>(2))?;
        let posted = model.posted.get(&id).copied().unwrap_or_default();
        let sure = u64::from(status == "delivered");
        ensure!(
            status != "waiting" && (sure..=sure + uncertain).contains(&posted),
            "{id} is {status} and was posted {posted} times, {uncertain} uncertain"
        );
        ensure!(
            model.is_done.contains(&id),
            "nobody was told that {id} is {status}"
        );
        delivered += sure;
        repeated += posted.saturating_sub(1);
    }
    ensure!(
        delivered > 0 && repeated > 0,
        "{delivered} delivered, {repeated} again"
    );
    assert_eq!(
        number(
            client,
            "select count(*) from lockstep_internal.slack_channel where lease is not null"
        )?,
        0
    );
    Ok(())
}

#[test]
fn random_senders_send_each_delivery_once_and_in_order() -> Result<()> {
    let seed = seed()?;
    // Bypasses the capture of test output: the seed is needed even if the run hangs.
    writeln!(stderr(), "delivery_random: LOCKSTEP_SEED={seed}")?;
    let mut client = channels(DATABASE)?;
    let run = Run {
        model: Mutex::new(Model {
            left: DELIVERIES,
            ..Model::default()
        }),
        has_failed: AtomicBool::new(false),
    };
    let guarded = |work: &dyn Fn() -> Result<()>| {
        let result = work();
        if result.is_err() {
            run.has_failed.store(true, Ordering::Relaxed);
        }
        result
    };
    thread::scope(|scope| -> Result<()> {
        let senders: Vec<_> = (0..SENDERS)
            .map(|session| {
                let (run, guarded) = (&run, &guarded);
                scope.spawn(move || {
                    guarded(&|| {
                        let mut sender = Sender {
                            run,
                            client: cluster()?.connect(DATABASE)?,
                            dice: Dice::new(seed, session),
                        };
                        sender.send()
                    })
                })
            })
            .collect();
        let published = guarded(&|| {
            publish(
                &run,
                &mut cluster()?.connect(DATABASE)?,
                &mut Dice::new(seed, SENDERS),
            )
        });
        for sender in senders {
            sender
                .join()
                .map_err(|_| anyhow!("a sender panicked"))?
                .with_context(|| format!("LOCKSTEP_SEED={seed}"))?;
        }
        published
    })?;
    let model = run.model()?;
    check(&mut client, &model).with_context(|| format!("LOCKSTEP_SEED={seed}"))
}
