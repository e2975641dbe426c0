//! Cache columns compared with views that pg_ivm maintains incrementally, if pg_ivm is installed.

use std::fs;

use anyhow::{Context, Result, ensure};
use lockstep_tests::host::{self, Layout};

use crate::Report;
use crate::figure::Figure;
use crate::median::median;
use crate::selection::Selection;
use crate::server::{Copy, Server};
use crate::size::Size;
use crate::table::Table;

pub(crate) const NAME: &str = "incremental_view";

const SECONDS_A_ROUND: u32 = 2;

/// Variants that track the projects with a tracker or a wiki, and how they are installed.
const VARIANTS: [(&str, &str); 3] = [
    ("none", ""),
    (
        "lockstep",
        "create extension lockstep; select * from lockstep.attach()",
    ),
    (
        "pg_ivm",
        "create extension pg_ivm; set search_path = public, pgivm;
         select create_immv('projects_with_wiki',
           $$select distinct project_id from integrations where active and type_new = 'Integrations::ExternalWiki'$$);
         select create_immv('projects_with_tracker', $$select distinct project_id from integrations where active and category = 'issue_tracker'$$);
         reset search_path",
    ),
];

/// Single-row transactions, and the existing rows: none, or one active or inactive integration per project.
const WORKLOADS: [(&str, &str, &str); 3] = [
    (
        "insert",
        "empty",
        "insert into integrations (project_id, type_new, category, active) values (nextval('next'), 'Integrations::ExternalWiki', 'common', true);",
    ),
    (
        "deactivate",
        "active",
        "update integrations set active = false where id = (select nextval('next'));",
    ),
    (
        "activate",
        "inactive",
        "update integrations set active = true where id = (select nextval('next'));",
    ),
];

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut server = Server::start()?;
    let has_peer = server.offers("pg_ivm")?;
    if !has_peer {
        eprintln!("bench: skipped: no extension pg_ivm here, so lockstep has no such peer");
    }
    let variants = &VARIANTS[..if has_peer { 3 } else { 2 }];
    let mut table = Table::with_heading(["work", "clients", "variant", "tps"]);
    let mut figures = Vec::new();
    for (work, rows, statement) in WORKLOADS {
        if !selection.includes(&format!("{NAME}/{work}")) {
            continue;
        }
        fill(&mut server, rows, size)?;
        for clients in [1, 8] {
            let name = format!("{NAME}/{work}/{clients}");
            if !selection.includes(&name) {
                continue;
            }
            let mut rates = vec![Vec::new(); variants.len()];
            for _ in 0..size.rounds {
                for ((_, install), rates) in variants.iter().zip(&mut rates) {
                    rates.push(server.with_copy(rows, |copy| {
                        copy.client.batch_execute(install)?;
                        copy.settle()?;
                        pgbench(copy, statement, clients)
                    })?);
                }
            }
            for ((variant, _), rates) in variants.iter().zip(&rates) {
                let rate = format!("{:.0}", median(rates.iter().copied()));
                table.push(vec![
                    work.to_owned(),
                    clients.to_string(),
                    (*variant).to_owned(),
                    rate,
                ]);
            }
            for (place, (variant, _)) in
                variants.iter().enumerate().filter(|(place, _)| *place != 1)
            {
                let ratios = rates[1]
                    .iter()
                    .zip(&rates[place])
                    .map(|(ours, other)| ours / other);
                let name = format!("{name}/tps_vs_{variant}");
                figures.push(Figure::plain(name, median(ratios), "ratio"));
            }
        }
        server.drop_database(rows)?;
    }
    Ok(Report { table, figures })
}

fn fill(server: &mut Server, rows: &str, size: Size) -> Result<()> {
    let count = size.rows;
    server.create_template(rows, |client| {
        host::create(client, Layout::Narrow)?;
        client.batch_execute(&format!(
            "insert into projects (id, namespace_id, has_external_wiki) select n, 1, {is_active} from generate_series(1, {count}) n;
             drop index index_integrations_on_project_id_and_type_new_unique;
             create index on integrations (project_id, type_new);
             create sequence next maxvalue {count} cycle cache 100",
            is_active = rows == "active"
        ))?;
        if rows != "empty" {
            client.batch_execute(&format!(
                "insert into integrations (id, project_id, type_new, category, active)
                 select n, n, 'Integrations::ExternalWiki', 'common', {} from generate_series(1, {count}) n",
                rows == "active"
            ))?;
        }
        Ok(())
    })
}

/// Transactions per second.
fn pgbench(copy: &Copy, statement: &str, clients: u32) -> Result<f64> {
    let script = lockstep_tests::target().join("bench/incremental_view.sql");
    if let Some(directory) = script.parent() {
        fs::create_dir_all(directory)?;
    }
    fs::write(&script, statement)?;
    let output = copy
        .cluster
        .client_program("pgbench")
        .args(["--no-vacuum", "--protocol=prepared", "--jobs=2"])
        .arg(format!("--client={clients}"))
        .arg(format!("--time={SECONDS_A_ROUND}"))
        .arg("--file")
        .arg(script)
        .arg(copy.database())
        .output()
        .context("cannot run pgbench")?;
    let text = String::from_utf8_lossy(&output.stdout);
    ensure!(
        output.status.success(),
        "pgbench failed: {text}{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let mut rate = text.lines().filter_map(|line| line.strip_prefix("tps ="));
    let rate = rate
        .next_back()
        .with_context(|| format!("no rate: {text}"))?;
    let digits = rate.trim().split(' ').next().unwrap_or_default();
    digits.parse().context("no number of transactions")
}
