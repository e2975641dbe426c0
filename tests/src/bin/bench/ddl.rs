//! DDL on tables that lockstep does not use: its cost compared with a database without the extension.

use std::time::Instant;

use anyhow::Result;
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::Server;
use crate::size::Size;
use crate::table::Table;

pub(crate) const NAME: &str = "ddl";

/// The databases: only with the application's tables, and with the extension attached to them.
const DATABASES: [&str; 2] = ["without", "with"];

/// What is created and dropped, with another number for `N` each time; both are measured.
const PAIRS: [(&str, [&str; 2]); 4] = [
    (
        "temporary_table",
        [
            "create temporary table scratch_N (id integer primary key)",
            "drop table scratch_N",
        ],
    ),
    (
        "table",
        [
            "create table scratch_N (id bigint primary key, namespace_id bigint references namespaces, code text unique, size integer check (size > 0))",
            "drop table scratch_N",
        ],
    ),
    (
        "column",
        [
            "alter table elsewhere add column more_N integer",
            "alter table elsewhere drop column more_N",
        ],
    ),
    (
        "index",
        [
            "create index index_N on elsewhere (n)",
            "drop index index_N",
        ],
    ),
];

/// A source with 200 partitions of a thousand keys each, and a target.
const PARTITIONED: &str = "
create table targets (id bigint primary key, has_any boolean);
create table sources (id bigint not null, target_id bigint not null, active boolean) partition by range (id);
create index on sources (target_id);
do $$ begin
  for n in 0 .. 199 loop
    execute format('create table sources_%s partition of sources for values from (%s) to (%s)', n, n * 1000, (n + 1) * 1000);
  end loop;
end $$;";

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut server = Server::start()?;
    for database in DATABASES {
        server.create_template(database, |client| {
            host::create(client, Layout::Wide)?;
            client.batch_execute("create table elsewhere (id bigint primary key, n integer)")?;
            client.batch_execute(PARTITIONED)?;
            if database == "with" {
                client.batch_execute(
                    "create extension lockstep; select * from lockstep.attach();
                     select lockstep.add_cache_column('targets', 'has_any', 'sources', 'target_id', '{\"active\": true}')",
                )?;
            }
            Ok(())
        })?;
    }
    let mut clients = DATABASES.map(|database| server.connect(database));
    let [Ok(without), Ok(with)] = &mut clients else {
        anyhow::bail!("cannot connect to the databases");
    };
    let mut table = Table::with_heading(["DDL", "statement", "without us", "with us"]);
    let mut figures = Vec::new();
    let times = (size.rows / 250).clamp(20, 400);
    for (what, statements) in PAIRS {
        let name = format!("{NAME}/{what}");
        if selection.includes(&name) {
            let [create, drop] = beside(without, with, &statements, times)?;
            for (statement, medians) in [("create", create), ("drop", drop)] {
                table.push(row(what, statement, medians));
                figures.push(Figure::with_reach(
                    format!("{name}/{statement}/beyond_without"),
                    medians[1] - medians[0],
                    "us",
                    Reach::AtMost(50.0),
                ));
            }
        }
    }
    let name = format!("{NAME}/partition");
    if selection.includes(&name) {
        let statements = [
            "create table one_more_N partition of sources for values from (1000000) to (1001000)",
            "drop table one_more_N",
        ];
        let [create, drop] = beside(without, with, &statements, times / 10)?;
        table.push(row("partition, of a source that has 200", "create", create));
        table.push(row("partition, of a source that has 200", "drop", drop));
        figures.push(Figure::with_reach(
            format!("{name}/create/beyond_without"),
            (create[1] - create[0]) / 1e3,
            "ms",
            Reach::AtMost(10.0),
        ));
    }
    let name = format!("{NAME}/session");
    if selection.includes(&name) {
        let [create, drop] = first_of_sessions(&server, times / 4)?;
        table.push(row(
            "temporary table, the first of a session",
            "create",
            create,
        ));
        table.push(row("temporary table, the first of a session", "drop", drop));
        figures.push(Figure::with_reach(
            format!("{name}/first/beyond_without"),
            (create[1] - create[0] + drop[1] - drop[0]) / 1e3,
            "ms",
            Reach::AtMost(5.0),
        ));
    }
    Ok(Report { table, figures })
}

/// The first DDL of a session, which has to learn what the others know already; like `beside`.
fn first_of_sessions(server: &Server, times: u32) -> Result<[[f64; 2]; 2]> {
    let (_, statements) = PAIRS[0];
    let mut measured: [[Vec<f64>; 2]; 2] = Default::default();
    for number in 0..times {
        let mut databases = [0, 1];
        databases.rotate_left(number as usize % 2);
        for place in databases {
            let mut client = server.connect(DATABASES[place])?;
            for (statement, of) in statements.iter().zip(&mut measured) {
                of[place].push(elapsed(&mut client, statement, number)?);
            }
        }
    }
    Ok(measured.map(|of| of.map(median)))
}

/// The microseconds of a statement.
fn elapsed(client: &mut Client, statement: &str, number: u32) -> Result<f64> {
    let statement = statement.replace('N', &number.to_string());
    let start = Instant::now();
    client.batch_execute(&statement)?;
    Ok(start.elapsed().as_secs_f64() * 1e6)
}

fn row(what: &str, statement: &str, medians: [f64; 2]) -> Vec<String> {
    let mut row = vec![what.to_owned(), statement.to_owned()];
    row.extend(medians.map(|it| format!("{it:.0}")));
    row
}

/// Runs two statements in both databases in turn, so that disturbances affect both. Returns the median of each in microseconds,
/// without and with the extension.
fn beside(
    without: &mut Client,
    with: &mut Client,
    statements: &[&str; 2],
    times: u32,
) -> Result<[[f64; 2]; 2]> {
    let mut measured: [[Vec<f64>; 2]; 2] = Default::default();
    // The first ones fill the session's caches.
    for number in 0..times + 5 {
        let mut databases = [(0, &mut *without), (1, &mut *with)];
        // The second database finds the server as the first one left it.
        databases.rotate_left(number as usize % 2);
        for (place, client) in databases {
            for (statement, of) in statements.iter().zip(&mut measured) {
                let elapsed = elapsed(client, statement, number)?;
                if number >= 5 {
                    of[place].push(elapsed);
                }
            }
        }
    }
    Ok(measured.map(|of| of.map(median)))
}
