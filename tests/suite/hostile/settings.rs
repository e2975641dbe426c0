//! Settings of a session, role or database: each function returns the same with and without them, or a clear error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, anyhow, ensure};
use postgres::types::{FromSql, Type};
use postgres::{Client, NoTls};

use super::calls::{CALLS, Way, spelled_out};
use super::things;
use super::way::WRITES;
use super::world::{World, cluster, said};
use crate::concurrency::PATIENCE;
use crate::service_account::number;
use crate::settings::spelled;

/// The result of a statement: its cells in wire format, which does not depend on display settings; or an error.
type Answer = std::result::Result<Vec<Option<Vec<u8>>>, String>;

/// A value of any type in wire format.
struct Raw(Vec<u8>);

impl<'a> FromSql<'a> for Raw {
    fn from_sql(
        _: &Type,
        raw: &'a [u8],
    ) -> std::result::Result<Self, Box<dyn std::error::Error + Sync + Send>> {
        Ok(Self(raw.to_vec()))
    }

    fn accepts(_: &Type) -> bool {
        true
    }
}

/// Settings, and the SQLSTATE that statements may fail with under them, where one is expected.
const SETTINGS: [(&str, &str); 48] = [
    ("row_security = off", ""),
    ("default_transaction_read_only = on", "25006"),
    ("default_transaction_isolation = 'repeatable read'", ""),
    ("default_transaction_isolation = serializable", ""),
    ("default_transaction_deferrable = on", ""),
    ("lc_messages = 'POSIX'", ""),
    ("standard_conforming_strings = off", ""),
    ("escape_string_warning = off", ""),
    ("backslash_quote = on", ""),
    ("transform_null_equals = on", ""),
    ("array_nulls = off", ""),
    ("quote_all_identifiers = on", ""),
    ("search_path = ''", ""),
    ("search_path = pg_temp, mallory, pg_catalog", ""),
    ("datestyle = 'SQL, DMY'", ""),
    ("datestyle = 'German'", ""),
    ("datestyle = 'Postgres, MDY'", ""),
    ("intervalstyle = sql_standard", ""),
    ("intervalstyle = iso_8601", ""),
    ("timezone = 'Asia/Kathmandu'", ""),
    ("timezone = 'America/New_York'", ""),
    ("plan_cache_mode = force_custom_plan", ""),
    ("plan_cache_mode = force_generic_plan", ""),
    ("enable_indexscan = off", ""),
    ("enable_bitmapscan = off", ""),
    ("enable_seqscan = off", ""),
    ("enable_hashjoin = off", ""),
    ("enable_nestloop = off", ""),
    ("enable_sort = off", ""),
    ("enable_material = off", ""),
    ("jit_above_cost = 0", ""),
    ("work_mem = '64kB'", ""),
    ("hash_mem_multiplier = 1", ""),
    // A group of actors whose function writes cannot be evaluated in parallel mode.
    ("debug_parallel_query = regress", "25000"),
    ("parallel_setup_cost = 0", ""),
    ("join_collapse_limit = 1", ""),
    ("geqo_threshold = 2", ""),
    ("constraint_exclusion = on", ""),
    ("bytea_output = escape", ""),
    ("extra_float_digits = -15", ""),
    ("xmlbinary = hex", ""),
    ("default_toast_compression = pglz", ""),
    ("check_function_bodies = off", ""),
    ("client_encoding = 'LATIN1'", ""),
    ("client_min_messages = error", ""),
    ("synchronous_commit = off", ""),
    ("lock_timeout = '5s'", ""),
    (REPLICA, ""),
];

/// Under it only always-firing triggers fire.
const REPLICA: &str = "session_replication_role = replica";

/// Everything that each function returns.
fn answers(database: &str) -> Result<BTreeMap<String, Answer>> {
    let mut config = cluster()?.config(database);
    let mut client = config
        .options("-c hostile.client=yes -c statement_timeout=0")
        .connect(NoTls)?;
    let mut answers = BTreeMap::new();
    let mut ask = |client: &mut Client, key: String, statements: &str| -> Result<()> {
        client.batch_execute("begin")?;
        for (place, statement) in statements
            .split(";\n")
            .flat_map(|it| it.split("; "))
            .enumerate()
        {
            let answer = answer(client, statement);
            let is_wrong = answer.is_err();
            answers.insert(format!("{key} {place}"), answer);
            if is_wrong {
                break;
            }
        }
        client.batch_execute("rollback")?;
        Ok(())
    };
    for (name, way) in CALLS {
        if let Way::Call(sql) = way {
            ask(&mut client, (*name).to_owned(), &spelled_out(sql))?;
        }
    }
    for (table, statement) in WRITES {
        let statement = statement.replace("{t}", &format!("mallory.{table}"));
        // The effects of the triggers.
        let looks = [
            "select id, has_external_wiki, has_external_issue_tracker from mallory.projects order by id",
            "select id, team_id, user_id, bot_user_id from mallory.slack_integrations order by id",
            "select id, service_account_id from mallory.duo_workflows_workflows order by id",
            "select change, gate, before, after from lockstep.feature_audit order by id",
        ];
        let statements = format!("{statement}; {}", looks.join("; "));
        ask(&mut client, format!("{statement} of {table}"), &statements)?;
    }
    Ok(answers)
}

/// How a run with workers ends.
fn workers(database: &str) -> Result<Answer> {
    let mut client = cluster()?.connect(database)?;
    client.batch_execute(
        "begin read write;
         select lockstep.start_backfill('counted', 'mallory.counted'); commit",
    )?;
    let begun = Instant::now();
    let running = "select pg_catalog.count(*) from lockstep_internal.backfill_run r where r.status operator(pg_catalog.=) 'running'";
    while number(&mut client, running)? > 0 {
        ensure!(begun.elapsed() < PATIENCE, "the run does not end");
        thread::sleep(Duration::from_millis(10));
    }
    let ended = "select r.status, r.updated, r.last_error from lockstep_internal.backfill_run r where r.job operator(pg_catalog.=) 'counted' and r.id operator(pg_catalog.<>) 1000";
    Ok(answer(&mut client, ended))
}

fn answer(client: &mut Client, statement: &str) -> Answer {
    let rows = client
        .query(statement.trim(), &[])
        .map_err(|error| said(&error))?;
    let cells = rows.iter().flat_map(|row| {
        (0..row.len()).map(move |place| row.get::<_, Option<Raw>>(place).map(|raw| raw.0))
    });
    Ok(cells.collect())
}

/// Where two results differ.
fn differences(
    one: &BTreeMap<String, Answer>,
    other: &BTreeMap<String, Answer>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, answer) in one {
        match (answer, other.get(key)) {
            // An earlier statement has failed, which is reported there.
            (_, None) => {}
            (Ok(cells), Some(Ok(others))) if cells.len() == others.len() => {
                let cells = cells.iter().map(shown).zip(others.iter().map(shown));
                let different = cells.enumerate().filter(|(_, (cell, other))| cell != other);
                found.extend(different.map(|(place, (cell, other))| {
                    (format!("{key}, cell {place}"), format!("{cell} is {other}"))
                }));
            }
            (Ok(cells), Some(Ok(others))) => {
                let text = format!("{} cells are {}", cells.len(), others.len());
                found.push((key.clone(), text));
            }
            (Err(error), Some(Err(other))) if error == other => {}
            (_, Some(Err(other))) => found.push((key.clone(), other.clone())),
            (Err(error), Some(Ok(_))) => found.push((key.clone(), format!("not {error}"))),
        }
    }
    found
}

/// A cell without the quoting of names and without timestamps.
fn shown(cell: &Option<Vec<u8>>) -> String {
    let Some(cell) = cell else {
        return "null".to_owned();
    };
    let text = String::from_utf8_lossy(cell).replace(['"', '\\'], "");
    const MINUTE: &[u8] = b"0000-00-00 00:00";
    let mut bytes = text.into_bytes();
    for place in 0..bytes.len().saturating_sub(MINUTE.len() - 1) {
        let window = &bytes[place..place + MINUTE.len()];
        let is_minute = window.iter().zip(MINUTE).all(|(byte, form)| match form {
            b'0' => byte.is_ascii_digit(),
            form => byte == form,
        });
        if is_minute {
            bytes[place..place + MINUTE.len()].fill(b'-');
        }
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn under(template: &str, number: usize, setting: &str) -> Result<BTreeMap<String, Answer>> {
    let database = format!("{template}_{number}");
    let mut admin = cluster()?.connect("postgres")?;
    admin.batch_execute(&format!("create database {database} template {template}"))?;
    // A copy holds the original's work in flight.
    cluster()?
        .connect(&database)?
        .batch_execute("select * from lockstep.release_restored()")?;
    if !setting.is_empty() {
        admin.batch_execute(&format!(
            "alter database {database} set {}",
            spelled(setting)?
        ))?;
    }
    let answers = answers(&database).and_then(|mut answers| {
        answers.insert("workers".to_owned(), workers(&database)?);
        Ok(answers)
    });
    let answers = answers.with_context(|| setting.to_owned());
    admin.batch_execute(&format!("drop database {database} with (force)"))?;
    answers
}

#[test]
fn settings_change_no_answer() -> Result<()> {
    let world = World::with("settings", &things::NOTHING)?;
    let template = world.name.clone();
    drop(world);
    cluster()?.connect("postgres")?.batch_execute(&format!(
        "select pg_terminate_backend(pid, 10000) from pg_stat_activity where datname = '{template}'"
    ))?;
    let usual = under(&template, 1000, "")?;
    // What differs between two runs does not count: timestamps, tickets, the server's numbers.
    let volatile: BTreeSet<String> = differences(&usual, &under(&template, 1001, "")?)
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    println!(
        "{} answers, {} of their cells vary",
        usual.len(),
        volatile.len()
    );
    let wrong = Mutex::new(Vec::new());
    let next = AtomicUsize::new(0);
    let work = || -> Result<()> {
        loop {
            let number = next.fetch_add(1, Ordering::Relaxed);
            let Some((setting, expected)) = SETTINGS.get(number) else {
                return Ok(());
            };
            let answers = under(&template, number, setting)?;
            for (key, difference) in differences(&usual, &answers) {
                let is_expected = !expected.is_empty() && difference.starts_with(expected)
                    || *setting == REPLICA && key.contains(" of ");
                if !is_expected && !volatile.contains(&key) {
                    let mut wrong = wrong.lock().map_err(|error| anyhow!("{error}"))?;
                    wrong.push(format!("{setting}: {key}: {difference}"));
                }
            }
        }
    };
    thread::scope(|scope| {
        let threads = [scope.spawn(work), scope.spawn(work)];
        threads
            .into_iter()
            .try_for_each(|it| it.join().map_err(|_| anyhow!("a thread panicked"))?)
    })?;
    let wrong = wrong.into_inner().map_err(|error| anyhow!("{error}"))?;
    ensure!(
        wrong.is_empty(),
        "{} differ\n  {}",
        wrong.len(),
        wrong.join("\n  ")
    );
    Ok(())
}
