//! Every function with arguments that nobody would pass: each call succeeds or says in PostgreSQL's words what is wrong, and afterwards
//! every report still answers. LOCKSTEP_SEED=... replays a run.

use std::io::{Write, stderr};

use anyhow::{Result, bail, ensure};
use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use lockstep_tests::host::{self, Layout};
use lockstep_tests::slack::{App, FakeSlack};
use postgres::Client;
use postgres::error::SqlState;

use crate::database::{cluster, with_slack};
use crate::random::{plan::Dice, seed};
use crate::slack_app::{Sidecar, http, sidecar_url};

const NAME: &str = "surface_arguments";
const CALLS: u64 = 4_000;
const CALLS_PER_CHECK: u64 = 250;

/// What a person, a page or monitoring reads.
const REPORTS: [&str; 16] = [
    "lockstep.status_report()",
    "lockstep.metrics_report()",
    "lockstep.drift_report()",
    "lockstep.drift_checks()",
    "lockstep.worker_status",
    "lockstep.dead_jobs",
    "lockstep.job_schedules",
    "lockstep.features",
    "lockstep.feature_audit",
    "lockstep.backfill_progress",
    "lockstep.backfill_set_aside",
    "lockstep.cache_columns",
    "lockstep.slack_delivery_status",
    "lockstep.list_slack_workspaces()",
    "lockstep.slack_workspace_drift()",
    "lockstep.claim_jobs(lockstep.start_runner('reports'), '{A}', 100)",
];

/// They wait for a session that does not come, or take away what the others need.
const LEFT_OUT: [&str; 7] = [
    "detach",
    "detach_slack",
    "detach_service_accounts",
    "discard_restored",
    "discard_restored_slack",
    "release_restored",
    "release_restored_slack",
];

const TEXTS: [&str; 26] = [
    "''",
    "' '",
    "'a'",
    "'A'",
    "'User:1'",
    "'Project:42'",
    "'T0123'",
    "'U0123'",
    "'public'",
    "'PUBLIC'",
    "'projects'",
    "'has_external_wiki'",
    "'cache_columns'",
    "'service_accounts'",
    "'@daily'",
    "'* * * * *'",
    "'UTC'",
    "e'a\\nb\\tc\\x7f'",
    "'ünï©ødé 🦀'",
    "'<@U1> <!channel> *b*'",
    "'a''b\"c\\d{range}%s$1'",
    "'until_executed'",
    "repeat('x', 255)",
    "repeat('x', 256)",
    "repeat('🦀', 100000)",
    "null",
];
const NUMBERS: [&str; 10] = [
    "null",
    "0",
    "1",
    "2",
    "-1",
    "5",
    "8",
    "42",
    "2147483647",
    "-2147483648",
];
const LARGE: [&str; 3] = ["9223372036854775807", "-9223372036854775808", "4294967296"];
const OBJECTS: [&str; 18] = [
    "null",
    "{}",
    "[]",
    "\"x\"",
    "1e400",
    "{\"channels\": \"#a, #b\"}",
    "{\"channels\": null, \"routes\": []}",
    "{\"sub_batch_size\": 1, \"pause_ms\": 0}",
    "{\"target_ms\": -1}",
    "{\"active\": true}",
    "{\"active\": \"\\ud83e\\udd80\"}",
    "{\"object_kind\": \"push\", \"project\": {\"id\": 42}, \"ref\": \"refs/heads/main\", \"commits\": []}",
    "{\"object_kind\": \"pipeline\", \"project\": {\"id\": 42}, \"object_attributes\": {\"id\": 1e300, \"status\": \"failed\"}}",
    "{\"object_kind\": \"issue\", \"project\": {\"id\": -1}, \"object_attributes\": {}}",
    "[{\"delivery\": 1, \"lease\": 1, \"outcome\": \"delivered\"}]",
    "{\"trigger_id\": \"1\", \"request\": {}, \"team_id\": \"T0123\", \"user_id\": \"U1\", \"text\": \"\"}",
    "{\"enabled\": true, \"percentage\": \"1e9\", \"of\": \"time\"}",
    "{\"a\": [[[[[[[[[[{}]]]]]]]]]]}",
];

fn argument(kind: &str, dice: &mut Dice) -> Result<String> {
    let text = dice.one_of(&TEXTS).to_owned();
    Ok(match kind {
        "text" => text,
        "boolean" => dice.one_of(&["true", "false", "null"]).to_owned(),
        "smallint" | "integer" => dice.one_of(&NUMBERS).to_owned(),
        "bigint" => match dice.below(4) {
            0 => dice.one_of(&LARGE).to_owned(),
            _ => dice.one_of(&NUMBERS).to_owned(),
        },
        "numeric" => dice
            .one_of(&[
                "null",
                "0",
                "100",
                "0.001",
                "1e-400",
                "'NaN'",
                "'infinity'",
                "-5",
                "1e1000",
            ])
            .to_owned(),
        "interval" => dice
            .one_of(&[
                "null",
                "'0'",
                "'1 second'",
                "'-1 day'",
                "'1 month -31 days'",
                "'178000000 years'",
                "'infinity'",
                "'1 hour'",
            ])
            .to_owned(),
        "timestamp with time zone" => dice
            .one_of(&[
                "null",
                "now()",
                "'infinity'",
                "'-infinity'",
                "'294276-12-31'",
                "'4714-11-24 00:00:00+00 BC'",
                "now() + interval '1 day'",
            ])
            .to_owned(),
        "json" | "jsonb" => match dice.below(30) {
            0 => "jsonb_build_object('text', repeat('x', 1000000))".to_owned(),
            1 => "null".to_owned(),
            _ => format!("'{}'", dice.one_of(&OBJECTS)),
        },
        "bytea" => dice
            .one_of(&[
                "null",
                "''",
                "'\\x00'",
                "'\\xff01'",
                "decode(repeat('ab', 10000), 'hex')",
            ])
            .to_owned(),
        "regclass" => dice
            .one_of(&[
                "null",
                "0",
                "999999",
                "'projects'",
                "'integrations'",
                "'pg_class'",
                "'lockstep.features'",
                "'projects_pkey'",
            ])
            .to_owned(),
        "regprocedure" => dice
            .one_of(&["null", "0", "'lower(text)'", "'now()'"])
            .to_owned(),
        _ => match kind.strip_suffix("[]") {
            Some(element) => {
                let elements: Result<Vec<String>> = (0..dice.below(4))
                    .map(|_| argument(element, dice))
                    .collect();
                format!("array[{}]::{kind}", elements?.join(", "))
            }
            None => bail!("no arguments of type {kind} are known"),
        },
    })
}

struct Function {
    name: String,
    types: Vec<String>,
    defaults: usize,
    is_procedure: bool,
}

fn functions(client: &mut Client) -> Result<Vec<Function>> {
    let rows = client.query(
        "select p.oid::regproc::text, array(select format_type(t, null) from unnest(p.proargtypes) with ordinality a (t, n) order by n),
                p.pronargdefaults::int, p.prokind = 'p', p.proname::text
           from pg_proc p where p.pronamespace::regnamespace::text in ('lockstep', 'lockstep_api') order by p.proname::text collate \"C\", p.oid",
        &[],
    )?;
    let functions = rows.iter().filter(|row| !LEFT_OUT.contains(&row.get(4)));
    let functions = functions.map(|row| Function {
        name: row.get(0),
        types: row.get(1),
        defaults: row.get::<_, i32>(2) as usize,
        is_procedure: row.get(3),
    });
    Ok(functions.collect())
}

fn call(function: &Function, dice: &mut Dice) -> Result<String> {
    let left_out = dice.below(function.defaults as u64 + 1) as usize;
    let types = &function.types[..function.types.len() - left_out];
    let arguments: Result<Vec<String>> = types
        .iter()
        .map(|kind| Ok(format!("{}::{kind}", argument(kind, dice)?)))
        .collect();
    let verb = match function.is_procedure {
        true => "call",
        false => "select * from",
    };
    Ok(format!(
        "{verb} {}({})",
        function.name,
        arguments?.join(", ")
    ))
}

/// What no argument may lead to: an internal error, the time that is over, a fault of the system, memory that ran out. A limit that an
/// administrator has set (53400, as when no background worker is free) is an answer.
fn breaks(state: &SqlState) -> bool {
    *state != SqlState::CONFIGURATION_LIMIT_EXCEEDED
        && ["XX", "57", "58", "53"].contains(&&state.code()[..2])
}

#[test]
fn no_argument_breaks_a_report() -> Result<()> {
    let mut client = with_slack(NAME, Layout::Narrow)?;
    for script in [host::MEMBERS, host::DEPLOYMENTS, host::SAMPLE] {
        host::run(&mut client, script)?;
    }
    client.batch_execute("select lockstep.attach(); select lockstep.attach_slack()")?;
    let functions = functions(&mut client)?;
    ensure!(functions.len() > 120, "only {} functions", functions.len());
    let seed = seed()?;
    writeln!(stderr(), "{NAME}: LOCKSTEP_SEED={seed}")?;
    let mut dice = Dice::new(seed, 0);
    let mut succeeded = 0;
    let mut wrong = Vec::new();
    let mut session = cluster()?.connect(NAME)?;
    session.batch_execute("set statement_timeout = '2min'; set client_min_messages = error")?;
    for number in 1..=CALLS {
        let function = &functions[dice.below(functions.len() as u64) as usize];
        let call = call(function, &mut dice)?;
        match session.batch_execute(&call) {
            Ok(()) => succeeded += 1,
            Err(error) => {
                // Without a state of the server's the session itself is broken.
                if error.code().is_none_or(breaks) {
                    wrong.push(format!("{}: {error:?}", shortened(&call)));
                }
            }
        }
        if number % CALLS_PER_CHECK == 0 {
            for report in REPORTS {
                let failed = client
                    .batch_execute(&format!("select * from {report}"))
                    .err();
                wrong.extend(
                    failed.map(|error| format!("{report} after {number} calls: {error:?}")),
                );
            }
        }
    }
    client.batch_execute("select lockstep.cancel_backfill(run) from lockstep.backfill_progress where status in ('running', 'paused')")?;
    wrong.extend(pages_fail()?);
    ensure!(
        wrong.is_empty(),
        "LOCKSTEP_SEED={seed}\n{}",
        wrong.join("\n")
    );
    ensure!(succeeded > CALLS / 20, "only {succeeded} calls succeeded");
    Ok(())
}

/// What a sidecar cannot show.
fn pages_fail() -> Result<Option<String>> {
    let slack = FakeSlack::start(App::default())?;
    let sidecar = Sidecar::start(
        &sidecar_url(NAME)?,
        &slack,
        &["--viewer-password", "password of viewers"],
    )?;
    sidecar.wait_until_ready()?;
    let viewer = format!("Basic {}", STANDARD.encode("viewer:password of viewers"));
    let url = format!("{}/status", sidecar.base);
    let status = http().get(&url, &[("authorization", &viewer)])?;
    let metrics = sidecar.metrics()?;
    let is_shown = status.status == 200 && metrics.contains("\nlockstep_database_up 1\n");
    Ok((!is_shown).then(|| format!("{}\n{metrics}\n{}", status.text(), sidecar.log())))
}

fn shortened(call: &str) -> String {
    call.chars().take(2_000).collect()
}
