//! The session that short reads share.

use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow, ensure};
use lockstep_tests::slack::Caller;
use lockstep_tests::slack::caller::Origin;
use postgres::Client;

use crate::concurrency::PATIENCE;
use crate::database::cluster;
use crate::slack_app::{COMMANDS, Stage};

const NAMES: [&str; 3] = ["group/one", "group/two", "group/three"];

/// A stage with three connected projects, and somebody who gives commands.
fn set(name: &str) -> Result<(Stage, Origin)> {
    let mut stage = Stage::set(name)?;
    let team = stage.slack.create_workspace("Acme");
    let ada = stage.slack.create_user(&team.id, "ada");
    for project in 1..=3 {
        stage.connect(project)?;
    }
    let origin = Origin {
        team_id: Some(team.id.clone()),
        user_id: ada.id,
        ..Origin::default()
    };
    Ok((stage, origin))
}

fn say(caller: &Caller, origin: &Origin, text: &str) -> Result<String> {
    let answer = caller.command(COMMANDS, origin, "/gitlab", text)?.json()?;
    Ok(answer["text"].as_str().unwrap_or_default().to_owned())
}

/// The sessions that have answered /gitlab status, the last one first.
fn sessions(stage: &mut Stage) -> Result<Vec<i32>> {
    let query = "select pid from pg_stat_activity
                  where datname = current_database() and query like '%list_slack_integrations%' and pid <> pg_backend_pid()
                  order by query_start desc";
    let rows = stage.client.query(query, &[])?;
    Ok(rows.iter().map(|row| row.get(0)).collect())
}

/// Waits until reads are answered on the shared session, which the first of them opens.
fn share(stage: &mut Stage, origin: &Origin) -> Result<i32> {
    let begun = Instant::now();
    loop {
        stage.say(origin, "group/one status")?;
        if let [last, _, ..] = sessions(stage)?[..] {
            return Ok(last);
        }
        ensure!(begun.elapsed() < PATIENCE, "no session is shared");
        thread::sleep(Duration::from_millis(10));
    }
}

#[test]
fn reads_at_the_same_time_share_a_session_and_get_answers_of_their_own() -> Result<()> {
    let (mut stage, origin) = set("app_shared")?;
    share(&mut stage, &origin)?;
    let (caller, origin) = (&stage.caller, &origin);
    let ask = |place: usize| -> Result<()> {
        for round in 0..20 {
            let name = NAMES[(place + round) % NAMES.len()];
            let said = say(caller, origin, &format!("{name} status"))?;
            ensure!(said.starts_with(&format!("*{name}*")), "{name}: {said}");
            let said = say(caller, origin, &format!("group/none-{place} status"))?;
            ensure!(said.contains(&format!("group/none-{place}")), "{said}");
        }
        Ok(())
    };
    thread::scope(|scope| {
        let asking: Vec<_> = (0..16)
            .map(|place| scope.spawn(move || ask(place)))
            .collect();
        asking
            .into_iter()
            .try_for_each(|it| it.join().map_err(|_| anyhow!("a client ended"))?)
    })?;
    let sessions = sessions(&mut stage)?;
    ensure!(sessions.len() <= 2, "{} sessions", sessions.len());
    Ok(())
}

/// Waits until a session waits for a lock.
fn wait_for_waiter(client: &mut Client) -> Result<i32> {
    let query = "select pid from pg_stat_activity where wait_event_type = 'Lock' and datname = current_database() limit 1";
    let begun = Instant::now();
    loop {
        if let Some(row) = client.query_opt(query, &[])? {
            return Ok(row.get(0));
        }
        ensure!(begun.elapsed() < PATIENCE, "nobody waits");
    }
}

#[test]
fn a_read_after_the_end_of_the_shared_session_is_answered_on_another() -> Result<()> {
    let (mut stage, origin) = set("app_shared_end")?;
    for _ in 0..3 {
        let shared = share(&mut stage, &origin)?;
        stage
            .client
            .execute("select pg_terminate_backend($1, 60000)", &[&shared])?;
        let said = stage.say(&origin, "group/two status")?;
        ensure!(said.starts_with("*group/two*"), "{said}");
    }
    Ok(())
}

#[test]
fn a_read_during_which_the_shared_session_ends_is_asked_again() -> Result<()> {
    let name = "app_shared_lost";
    let (mut stage, origin) = set(name)?;
    share(&mut stage, &origin)?;
    let mut holder = cluster()?.connect(name)?;
    let mut transaction = holder.transaction()?;
    transaction.batch_execute("lock table integrations in access exclusive mode")?;
    let caller = stage.caller.clone();
    thread::scope(|scope| -> Result<()> {
        let asking = scope.spawn(|| say(&caller, &origin, "group/two status"));
        let waiter = wait_for_waiter(&mut stage.client)?;
        stage
            .client
            .execute("select pg_terminate_backend($1, 60000)", &[&waiter])?;
        transaction.rollback()?;
        let said = asking.join().map_err(|_| anyhow!("a client ended"))??;
        ensure!(
            said.starts_with("*group/two*") || said.contains("a moment longer"),
            "{said}"
        );
        Ok(())
    })
}

#[test]
fn a_read_that_waits_for_a_lock_holds_up_no_other() -> Result<()> {
    let name = "app_shared_lock";
    let (mut stage, origin) = set(name)?;
    share(&mut stage, &origin)?;
    let mut holder = cluster()?.connect(name)?;
    let mut transaction = holder.transaction()?;
    transaction.batch_execute("lock table integrations in access exclusive mode")?;
    let caller = stage.caller.clone();
    let caller = &caller;
    thread::scope(|scope| -> Result<()> {
        let waiting = scope.spawn(|| say(caller, &origin, "group/one status"));
        wait_for_waiter(&mut stage.client)?;
        let said = say(caller, &origin, "subscriptions")?;
        ensure!(said.starts_with("No channel of this workspace"), "{said}");
        transaction.rollback()?;
        let said = waiting.join().map_err(|_| anyhow!("a client ended"))??;
        ensure!(
            said.contains("group/one") || said.contains("a moment longer"),
            "{said}"
        );
        Ok(())
    })?;
    // Nothing of it is left in the way of others.
    let said = stage.say(&origin, "group/three status")?;
    ensure!(said.starts_with("*group/three*"), "{said}");
    Ok(())
}
