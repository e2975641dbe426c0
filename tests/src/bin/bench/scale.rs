//! Whether anything grows faster than the tables: the same work in databases of 100 and 10,000 times the rows of the smallest one,
//! each beside plain SQL that does as much. Growth is what lockstep takes there over what it takes in the smallest, divided by the
//! same of plain SQL, which pays for deeper indexes and colder caches as well.
//!
//! CPU times, so that other work on the machine disturbs little.

use std::fs;

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::Report;
use crate::clock::Clock;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

pub(crate) const NAME: &str = "scale";

const DATABASE: &str = "scale";

/// Rows of the smallest database, of those of BENCH_ROWS: 100 k, 1 M and 10 M projects by default.
const TIMES: [i64; 3] = [1, 10, 100];

/// Rows that a bulk statement changes, spread evenly over the whole table.
const STATEMENT_ROWS: i64 = 10_000;

/// Transactions of a round that change one row each.
const SINGLE_ROWS: i64 = 1_000;

/// Its tables need enough of the disk.
const SETTINGS: [(&str, &str); 2] = [("max_wal_size", "2GB"), ("min_wal_size", "1GB")];

/// Each project has one active tracker. Foreign keys are not checked while the tables are filled.
const FILL: &str = "
set session_replication_role = replica;
insert into projects (id, name, path, namespace_id, updated_at, has_external_issue_tracker, has_external_wiki)
  select n, 'project ' || n, 'project-' || n, 1, '2024-01-01', true, false from generate_series(1, ROWS) n;
insert into integrations (id, project_id, type_new, category, active, created_at, updated_at)
  select n, n, 'Integrations::Jira', 'issue_tracker', true, '2024-01-01', '2024-01-01' from generate_series(1, ROWS) n;
reset session_replication_role;
analyze";

/// What an application does for the projects of a statement. The condition follows.
const FOLLOW: &str = "
update projects p
   set has_external_issue_tracker =
       exists (select from integrations i where i.project_id = p.id and i.category = 'issue_tracker' and i.active)
 where p.id";

/// What the columns should be, by plain SQL.
const WRONG: &str = "
select p.id from projects p
 where p.has_external_issue_tracker is distinct from
       exists (select from integrations i where i.project_id = p.id and i.category = 'issue_tracker' and i.active)";

/// Makes every tenth value wrong, unseen by any trigger.
const SPOIL: &str = "
set session_replication_role = replica;
update projects set has_external_issue_tracker = not has_external_issue_tracker where id % 10 = 0;
reset session_replication_role";

/// What is measured, in CPU milliseconds of the session:
///
/// - what lockstep adds to a statement of 10,000 rows, beside the update of their projects;
/// - a transaction that changes one row, beside one that updates the project itself;
/// - `attach`, beside a count of the wrong rows;
/// - `cache_column_drift`, beside the same count;
/// - a backfill of the column of which a tenth is wrong, beside one update of these rows.
const WORKS: [&str; 5] = ["bulk", "single", "attach", "drift", "repair"];

/// What one database took.
struct Sample {
    rows: i64,
    plain: [f64; 5],
    lockstep: [f64; 5],
    /// What the session of lockstep's bulk statements has for itself, in KiB.
    memory: f64,
}

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut table = Table::with_heading(["work", "rows", "plain ms", "lockstep ms"]);
    let mut figures = Vec::new();
    if !selection.includes(NAME) {
        return Ok(Report { table, figures });
    }
    let mut server = Server::start_with(&SETTINGS)?;
    let mut samples = Vec::new();
    for times in TIMES {
        let rows = i64::from(size.rows) * times;
        eprintln!("bench: {NAME}, filling {rows} rows");
        server.create_template(DATABASE, |client| {
            host::create(client, Layout::Narrow)?;
            client.batch_execute(&FILL.replace("ROWS", &rows.to_string()))?;
            Ok(())
        })?;
        let sample = measure(&mut server, rows, size.rounds)?;
        server.drop_database(DATABASE)?;
        for (number, work) in WORKS.iter().enumerate() {
            let (plain, lockstep) = (sample.plain[number], sample.lockstep[number]);
            eprintln!(
                "bench: {NAME}, {rows} rows, {work}: plain {plain:.3} ms, lockstep {lockstep:.3} ms"
            );
            table.push(vec![
                (*work).to_owned(),
                rows.to_string(),
                format!("{plain:.3}"),
                format!("{lockstep:.3}"),
            ]);
        }
        samples.push(sample);
    }
    if let Some((smallest, others)) = samples.split_first() {
        for sample in others {
            figures.extend(growth(smallest, sample));
        }
    }
    Ok(Report { table, figures })
}

fn growth(smallest: &Sample, sample: &Sample) -> Vec<Figure> {
    let times = sample.rows / smallest.rows;
    let mut figures = Vec::new();
    for (number, work) in WORKS.iter().enumerate() {
        let growth = |of: fn(&Sample) -> &[f64; 5]| of(sample)[number] / of(smallest)[number];
        figures.push(Figure::with_reach(
            format!("{NAME}/{work}/growth_at_{times}_times_the_rows"),
            growth(|it| &it.lockstep) / growth(|it| &it.plain),
            "ratio",
            Reach::AtMost(1.3),
        ));
    }
    figures.push(Figure::with_reach(
        format!("{NAME}/memory/growth_at_{times}_times_the_rows"),
        sample.memory / smallest.memory,
        "ratio",
        Reach::AtMost(1.1),
    ));
    figures
}

/// Plain SQL and lockstep begin with the same pages.
fn measure(server: &mut Server, rows: i64, rounds: usize) -> Result<Sample> {
    let toggle = "update integrations set active = not active where id";
    let count = format!("select count(*) from ({WRONG}) wrong");
    let (bare, plain) = server.with_copy(DATABASE, |copy| {
        copy.settle()?;
        let client = &mut copy.client;
        let bare = bulk(client, toggle, rows, rounds)?;
        let bulk = bulk(client, FOLLOW, rows, rounds)?;
        let single = single(client, rows, rounds, true)?;
        let count = timed(client, &count)?;
        spoil(client)?;
        let repair = timed(
            client,
            &format!("update projects set has_external_issue_tracker = not has_external_issue_tracker where id in ({WRONG})"),
        )?;
        Ok((bare, [bulk, single, count, count, repair]))
    })?;
    let (lockstep, memory) = server.with_copy(DATABASE, |copy| {
        copy.client.batch_execute("create extension lockstep")?;
        let attach = timed(&mut copy.client, "select * from lockstep.attach()")?;
        copy.settle()?;
        // A session that has done nothing else, so that its memory is that of these statements.
        let client = &mut copy.cluster.connect(copy.database())?;
        let bulk = bulk(client, toggle, rows, rounds)? - bare;
        let memory = memory(client)?;
        let single = single(client, rows, rounds, false)?;
        let drift = timed(
            client,
            "select count(*) from lockstep.cache_column_drift('projects', 'has_external_issue_tracker')",
        )?;
        spoil(client)?;
        let repair = timed(client, "call lockstep.backfill('cache_columns', 'projects')")?;
        let wrong: i64 = client.query_one(&count, &[])?.get(0);
        ensure!(wrong == 0, "{wrong} of {rows} rows are wrong at the end");
        Ok(([bulk, single, attach, drift, repair], memory))
    })?;
    Ok(Sample {
        rows,
        plain,
        lockstep,
        memory,
    })
}

/// The median of a statement on rows that are spread over the table, run twice as often as rounds: so a toggle ends where it began.
fn bulk(client: &mut Client, statement: &str, rows: i64, rounds: usize) -> Result<f64> {
    let step = (rows / STATEMENT_ROWS).max(1);
    let statement = format!(
        "{statement} = any (array(select generate_series({step}::bigint, {rows}, {step})))"
    );
    client.batch_execute(&format!("begin; {statement}; rollback"))?;
    for table in ["integrations", "projects"] {
        client.batch_execute(&format!("vacuum {table}"))?;
    }
    let times: Result<Vec<f64>> = (0..2 * rounds).map(|_| timed(client, &statement)).collect();
    Ok(median(times?))
}

/// The median time of a transaction that negates `active` of one integration. `follows`: the project's column as an application does it.
fn single(client: &mut Client, rows: i64, rounds: usize, follows: bool) -> Result<f64> {
    let toggle = client.prepare("update integrations set active = not active where id = $1")?;
    let follow = client.prepare(&format!("{FOLLOW} = $1"))?;
    // A step that shares no divisor with the number of rows reaches all of them.
    let mut next = 1;
    let mut times = Vec::with_capacity(rounds);
    for _ in 0..rounds {
        let mut clock = Clock::of_session(client)?;
        for _ in 0..SINGLE_ROWS {
            next = (next + 7_919) % rows;
            let id = next + 1;
            // Twice, so that each has its value again.
            for _ in 0..2 {
                clock.time(|| {
                    let mut transaction = client.transaction()?;
                    transaction.execute(&toggle, &[&id])?;
                    if follows {
                        transaction.execute(&follow, &[&id])?;
                    }
                    transaction.commit()
                })?;
            }
        }
        times.push(clock.busy / (2 * SINGLE_ROWS) as f64);
    }
    Ok(median(times))
}

fn spoil(client: &mut Client) -> Result<()> {
    client.batch_execute(SPOIL)?;
    client.batch_execute("vacuum projects")?;
    Ok(())
}

fn timed(client: &mut Client, statement: &str) -> Result<f64> {
    let mut clock = Clock::of_session(client)?;
    clock.time(|| client.batch_execute(statement))?;
    Ok(clock.busy)
}

/// What a session has for itself alone, without the server's shared memory.
fn memory(client: &mut Client) -> Result<f64> {
    let process: i32 = client.query_one("select pg_backend_pid()", &[])?.get(0);
    let path = format!("/proc/{process}/status");
    let status = fs::read_to_string(&path).with_context(|| format!("cannot read {path}"))?;
    let own = status
        .lines()
        .find_map(|line| line.strip_prefix("RssAnon:"));
    let kib = own.and_then(|own| own.trim().strip_suffix(" kB"));
    kib.and_then(|kib| kib.parse().ok())
        .with_context(|| format!("{path} has no RssAnon"))
}
