//! A copy of a database contains the original's work in flight, and neither runs nor sends it until an administrator decides.

use std::sync::{Arc, Mutex, PoisonError};

use anyhow::{Context, Result, ensure};
use postgres::{Client, NoTls};

use crate::database::{cluster, empty};
use crate::dump::{PSQL, dump, restore};
use crate::notification::publish::{event, publish_as, told};
use crate::service_account::number;
use crate::surface::refusal::error_of;

const CLAIMED_JOBS: &str =
    "select count(*) from lockstep.claim_jobs(lockstep.start_runner('r'), '{Payroll}', 10)";
const CLAIMED_DELIVERIES: &str =
    "select count(*) from lockstep_api.claim_deliveries(10, '1 minute', 60000)";
const CLAIMED_TOKENS: &str =
    "select count(*) from lockstep_api.claim_slack_token_refresh('1 day', '1 minute')";
const IS_HELD: &str = "select (lockstep.status_report() -> 'is_held')::boolean::integer::bigint";

/// A database with one of each kind in flight.
fn in_flight(name: &str) -> Result<Client> {
    let mut client = told(name)?;
    let push = event("push", 1, serde_json::json!({"ref": "refs/heads/main"}));
    publish_as(&mut client, &push, Some("one"))?;
    client.batch_execute(
        "select lockstep.enqueue_job('Payroll');
         insert into lockstep_internal.slack_installation (schema, team_id, team_name, user_id, scopes, encrypted_bot_access_token,
                                                  encrypted_bot_access_token_iv, encrypted_refresh_token, encrypted_refresh_token_iv, expires_at)
           values ('public', 'A', 'Team A', 'U1', '{}', 'token', 'iv', 'refresh', 'iv', now())",
    )?;
    Ok(client)
}

fn claimed(client: &mut Client) -> Result<[bool; 3]> {
    let mut any = |query| Ok::<_, anyhow::Error>(number(client, query)? > 0);
    Ok([
        any(CLAIMED_JOBS)?,
        any(CLAIMED_DELIVERIES)?,
        any(CLAIMED_TOKENS)?,
    ])
}

/// The notices of `attach`.
fn notices_of_attach(database: &str) -> Result<Vec<String>> {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let hearing = Arc::clone(&heard);
    let mut config = cluster()?.config(database);
    config.notice_callback(move |notice| {
        let mut heard = hearing.lock().unwrap_or_else(PoisonError::into_inner);
        heard.push(format!(
            "{} {}",
            notice.message(),
            notice.detail().unwrap_or_default()
        ));
    });
    let mut client = config.connect(NoTls).context("cannot connect")?;
    client
        .batch_execute("select * from lockstep.attach(); select * from lockstep.attach_slack()")?;
    let mut heard = heard.lock().unwrap_or_else(PoisonError::into_inner);
    heard.retain(|text| text.contains("held"));
    Ok(heard.clone())
}

fn check_is_held(name: &str) -> Result<Client> {
    let mut client = cluster()?.connect(name)?;
    assert_eq!(claimed(&mut client)?, [false; 3], "{name}");
    assert_eq!(number(&mut client, IS_HELD)?, 1, "{name}");
    // A sender that asks how long to wait does not end up in a busy loop.
    let wait =
        "select count(*) from (select lockstep_api.delivery_wait(60) s) w where w.s is not null";
    assert_eq!(number(&mut client, wait)?, 0, "{name}");
    // New ones are held as well.
    client.batch_execute("select lockstep.enqueue_job('Payroll')")?;
    assert_eq!(claimed(&mut client)?, [false; 3], "{name}");
    let notices = notices_of_attach(name)?;
    ensure!(
        notices.len() == 2
            && notices[0].contains("Held jobs: 2; ")
            && notices[1].contains("Held deliveries: "),
        "{notices:?}"
    );
    assert_eq!(claimed(&mut client)?, [false; 3], "{name}");
    Ok(client)
}

#[test]
fn what_is_restored_or_copied_waits_for_a_word() -> Result<()> {
    let mut client = in_flight("held")?;
    let dumped = dump(&[], "held")?;
    let custom = dump(&["--format", "custom"], "held")?;
    let mut postgres = cluster()?.connect("postgres")?;
    for name in ["held_restored", "held_in_place", "held_discarded"] {
        empty(name)?;
    }
    restore("psql", &PSQL, "held_restored", &dumped)?;
    // An extension from before; the database has its own id as well.
    cluster()?
        .connect("held_in_place")?
        .batch_execute("create extension lockstep_slack cascade")?;
    let mut of_restore = vec!["--exit-on-error"];
    restore("pg_restore", &of_restore, "held_in_place", &custom)?;
    of_restore.push("--single-transaction");
    restore("pg_restore", &of_restore, "held_discarded", &custom)?;
    drop(client);
    postgres.batch_execute("create database held_template template held")?;

    for name in ["held_restored", "held_in_place", "held_template"] {
        let mut held = check_is_held(name)?;
        let row = held.query_one(
            "select lockstep.release_restored(), deliveries > 0, tokens from lockstep.release_restored_slack()",
            &[],
        )?;
        assert_eq!(
            (
                row.get::<_, i64>(0),
                row.get::<_, bool>(1),
                row.get::<_, i64>(2)
            ),
            (2, true, 1)
        );
        assert_eq!(number(&mut held, IS_HELD)?, 0);
        assert_eq!(claimed(&mut held)?, [true; 3], "{name}");
        assert_eq!(notices_of_attach(name)?, [""; 0]);
        // Doing it twice changes nothing, and nothing can be discarded any more.
        let again = "select lockstep.release_restored() + deliveries + tokens from lockstep.release_restored_slack()";
        assert_eq!(number(&mut held, again)?, 0);
        for discard in ["discard_restored", "discard_restored_slack"] {
            let error = error_of(&mut held, &format!("select lockstep.{discard}()"))?;
            assert_eq!(error.code().code(), "55000", "{error}");
        }
    }

    let mut discarded = check_is_held("held_discarded")?;
    discarded.batch_execute(
        "insert into lockstep_internal.job (worker, args, priority, run_at, status, retries, keeps_dead, died_at)
           values ('Payroll', '[]', 0, now(), 'dead', 0, true, now());
         select lockstep.discard_restored(); select lockstep.discard_restored_slack()",
    )?;
    assert_eq!(claimed(&mut discarded)?, [false; 3]);
    assert_eq!(number(&mut discarded, IS_HELD)?, 0);
    for (query, rows) in [
        ("select count(*) from lockstep_internal.job", 1),
        (
            "select count(*) from lockstep_internal.slack_delivery where status = 'waiting'",
            0,
        ),
        // It may send, but not invalidate the other database's token.
        (
            "select count(*) from lockstep_internal.slack_installation where encrypted_bot_access_token is not null",
            1,
        ),
    ] {
        assert_eq!(number(&mut discarded, query)?, rows, "{query}");
    }
    // New work is its own.
    discarded.batch_execute("select lockstep.enqueue_job('Payroll')")?;
    assert_eq!(claimed(&mut discarded)?, [true, false, false]);

    // The original has continued the whole time.
    client = cluster()?.connect("held")?;
    assert_eq!(number(&mut client, IS_HELD)?, 0);
    assert_eq!(claimed(&mut client)?, [true; 3]);
    Ok(())
}

/// A template with nothing in flight, such as template1, causes no notice.
#[test]
fn an_idle_copy_is_its_own_once_attached() -> Result<()> {
    drop(crate::database::with_slack(
        "idle_template",
        lockstep_tests::host::Layout::Narrow,
    )?);
    cluster()?
        .connect("postgres")?
        .batch_execute("create database idle_copy template idle_template")?;
    assert_eq!(notices_of_attach("idle_copy")?, [""; 0]);
    let mut copy = cluster()?.connect("idle_copy")?;
    assert_eq!(number(&mut copy, IS_HELD)?, 0);
    copy.batch_execute("select lockstep.enqueue_job('Payroll')")?;
    assert_eq!(number(&mut copy, CLAIMED_JOBS)?, 1);
    Ok(())
}
