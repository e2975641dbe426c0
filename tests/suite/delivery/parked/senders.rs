//! Several senders at once forget no parked channel.

use std::collections::BTreeMap;
use std::io::{Write, stderr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};

use super::crowd;
use crate::database::cluster;
use crate::delivery::claim::{Claim, claim_at, finish, numbers};
use crate::random::plan::Dice;
use crate::random::seed;
use crate::service_account::number;

const SENDERS: u64 = 4;
const CHANNELS: i64 = 400;

/// Several senders, outcomes by chance, and time that passes in leaps: all is sent once, in order, and nothing is forgotten.
#[test]
fn many_senders_forget_no_parked_channel() -> Result<()> {
    let name = "parked_random";
    let seed = seed()?;
    // Bypasses the capture of test output: the seed is needed even if the run hangs.
    writeln!(stderr(), "{name}: LOCKSTEP_SEED={seed}")?;
    let mut client = crowd(name, CHANNELS)?;
    client.batch_execute(
        "update lockstep_internal.slack_channel set team_id = 'B' where id % 3 = 0 and id > 10;
         update lockstep_internal.slack_delivery set integration_id = 5, slack_integration_id = 5 where lane % 3 = 0",
    )?;
    let is_over = AtomicBool::new(false);
    let most = thread::scope(|scope| -> Result<i64> {
        let senders: Vec<_> = (0..SENDERS)
            .map(|session| {
                let is_over = &is_over;
                scope.spawn(move || {
                    let result = send(name, Dice::new(seed, session), is_over);
                    is_over.store(true, Ordering::Relaxed);
                    result
                })
            })
            .collect();
        let mut most = 0;
        for sender in senders {
            let sender = sender.join().map_err(|_| anyhow!("a sender panicked"))?;
            most = most.max(sender.with_context(|| format!("LOCKSTEP_SEED={seed}"))?);
        }
        Ok(most)
    })?;
    ensure!(most > 100, "only {most} channels were parked");
    let wrong = "select count(*) from lockstep_internal.slack_delivery where status <> 'delivered'";
    assert_eq!(number(&mut client, wrong)?, 0);
    Ok(())
}

/// Returns how many channels it has seen parked at once.
fn send(name: &str, mut dice: Dice, is_over: &AtomicBool) -> Result<i64> {
    let mut client = cluster()?.connect(name)?;
    let mut most = 0;
    let mut idle = 0;
    while !is_over.load(Ordering::Relaxed) {
        let claimed = claim_at(&mut client, 40, 600)?;
        let early = "select count(*) from lockstep_internal.slack_delivery d
                      where d.id = any ($1) and exists (select from lockstep_internal.slack_delivery o
                             where o.lane = d.lane and o.status = 'waiting' and o.id < d.id)";
        let early: i64 = client.query_one(early, &[&numbers(&claimed)])?.get(0);
        ensure!(early == 0, "{early} of {claimed:?} were claimed too early");
        let mut by_outcome: BTreeMap<&str, Vec<Claim>> = BTreeMap::new();
        for it in &claimed {
            let outcome = dice.one_of(&[
                r#""outcome": "delivered""#,
                r#""outcome": "delivered""#,
                r#""outcome": "rate_limited", "wait": 30"#,
                r#""outcome": "retry", "wait": 300"#,
                r#""outcome": "release""#,
            ]);
            by_outcome.entry(outcome).or_default().push(*it);
        }
        for (outcome, claims) in by_outcome {
            let accepted = finish(&mut client, &claims, outcome)?;
            ensure!(accepted == claims.len() as i64, "{claims:?} were refused");
        }
        most = most.max(number(
            &mut client,
            "select count(*) from lockstep_internal.slack_channel where parked is not null",
        )?);
        if !claimed.is_empty() {
            idle = 0;
            continue;
        }
        let left = "select count(*) from lockstep_internal.slack_delivery where status = 'waiting'";
        if number(&mut client, left)? == 0 {
            break;
        }
        idle += 1;
        ensure!(idle < 2_000, "what waits is found no more");
        // Time passes for some of them, and for their workspaces.
        client.batch_execute(&format!(
            "update lockstep_internal.slack_channel set not_before = not_before - interval '40 seconds'
               where id in (select id from lockstep_internal.slack_channel where id % 4 = {} order by id for no key update skip locked);
             update lockstep_internal.slack_team_pace set free_at = free_at - interval '2 seconds'
               where ctid in (select ctid from lockstep_internal.slack_team_pace where team_id = '{}' for no key update skip locked)",
            dice.below(4),
            dice.one_of(&["A", "B"]),
        ))?;
    }
    Ok(most)
}
