//! Settings that a session, a role or a database may have: each function answers under them as it does without, or with a plain error.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Mutex;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;

use anyhow::{Context, Result, anyhow, ensure};
use postgres::types::{FromSql, Type};
use postgres::{Client, NoTls};

use super::calls::{CALLS, Way, spelled_out};
use super::{WRITES, World, cluster, said, things};

/// What a statement answered: its cells as they are on the wire, which do not depend on how values are shown; or an error.
type Answer = std::result::Result<Vec<Option<Vec<u8>>>, String>;

/// A value of any type, as it came.
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

/// Settings, and the SQLSTATE that statements may fail with under them, where one is to be expected.
const SETTINGS: [(&str, &str); 47] = [
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
    ("force_parallel_mode = regress", ""),
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
];

/// Every function by everything that it answers.
fn answers(database: &str) -> Result<BTreeMap<String, Answer>> {
    let mut config = cluster()?.config(database);
    let mut client = config
        .options("-c hostile.client=yes -c statement_timeout=20s")
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
        // What the triggers have made of it.
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

fn answer(client: &mut Client, statement: &str) -> Answer {
    let rows = client
        .query(statement.trim(), &[])
        .map_err(|error| said(&error))?;
    let cells = rows.iter().flat_map(|row| {
        (0..row.len()).map(move |place| row.get::<_, Option<Raw>>(place).map(|raw| raw.0))
    });
    Ok(cells.collect())
}

/// Where two answers to the same differ.
fn differences(
    one: &BTreeMap<String, Answer>,
    other: &BTreeMap<String, Answer>,
) -> Vec<(String, String)> {
    let mut found = Vec::new();
    for (key, answer) in one {
        let difference = match (answer, other.get(key)) {
            (Ok(cells), Some(Ok(others))) if cells.len() == others.len() => {
                for (place, (cell, other)) in cells.iter().zip(others).enumerate() {
                    if cell != other {
                        let text = |it: &Option<Vec<u8>>| {
                            it.as_ref().map_or_else(
                                || "null".to_owned(),
                                |it| String::from_utf8_lossy(it).into_owned(),
                            )
                        };
                        found.push((
                            format!("{key}, cell {place}"),
                            format!("{} is {}", text(cell), text(other)),
                        ));
                    }
                }
                continue;
            }
            (Ok(_), Some(Err(error))) | (Err(_), Some(Err(error)))
                if answer.as_ref().err() != Some(error) =>
            {
                error.clone()
            }
            (Err(_), Some(Err(_))) => continue,
            (_, None) => "missing".to_owned(),
            (Err(error), Some(Ok(_))) => format!("answers, where it was {error}"),
            (Ok(cells), Some(Ok(others))) => format!("{} cells are {}", cells.len(), others.len()),
            (Ok(_), Some(Err(error))) => error.clone(),
        };
        found.push((key.clone(), difference));
    }
    found
}

fn under(template: &str, number: usize, setting: &str) -> Result<BTreeMap<String, Answer>> {
    let database = format!("{template}_{number}");
    let mut admin = cluster()?.connect("postgres")?;
    admin.batch_execute(&format!("create database {database} template {template}"))?;
    // A copy holds what the other one has in flight.
    cluster()?
        .connect(&database)?
        .batch_execute("select * from lockstep.release_restored()")?;
    if !setting.is_empty() {
        admin.batch_execute(&format!("alter database {database} set {setting}"))?;
    }
    let answers = answers(&database).with_context(|| setting.to_owned());
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
    // What differs from one time to the next says nothing: times, tickets, numbers of the server.
    let volatile: BTreeSet<String> = differences(&usual, &under(&template, 1001, "")?)
        .into_iter()
        .map(|(key, _)| key)
        .collect();
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
                let is_expected = !expected.is_empty() && difference.starts_with(expected);
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
