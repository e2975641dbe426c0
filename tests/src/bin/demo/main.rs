//! Shows lockstep at work on 100,000 projects: what the application's triggers get wrong and lockstep gets right.

mod backfill;
mod column;
mod place;
mod race;
mod scene;
mod slack;
mod text;

use std::process::ExitCode;
use std::time::Instant;

use anyhow::Result;
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use column::{TRACKER, WIKI};
use place::Place;
use scene::{Scene, report};
use text::{duration, number, print_wrapped};

fn main() -> ExitCode {
    match run() {
        Ok(0) => ExitCode::SUCCESS,
        Ok(_) => ExitCode::FAILURE,
        Err(error) => {
            eprintln!("demo: {error:#}");
            ExitCode::FAILURE
        }
    }
}

/// Runs every scene and returns how many values were wrong while lockstep maintained them.
fn run() -> Result<i64> {
    let start = Instant::now();
    let place = Place::open()?;
    let mut client = place.connect()?;
    let version: String = client.query_one("show server_version", &[])?.get(0);
    println!("lockstep on PostgreSQL {version}, {}", place.describe());
    load(&mut client)?;

    host::run(&mut client, host::APPLICATION_TRIGGERS)?;
    race::run(&place, &mut client, "Application's triggers.")?;

    attach(&mut client)?;
    let mut wrong = bulk_activation(&mut client)?;
    wrong += cascade(&mut client)?;
    wrong += move_to_another_project(&mut client)?;
    wrong += truncate(&mut client)?;
    wrong += race::run(&place, &mut client, "5.")?;
    wrong += backfill::run(&place, &mut client)?;
    let (served, differing) = slack::run(&place, &mut client)?;
    wrong += differing;

    println!();
    for column in [TRACKER, WIKI] {
        let drift = column.drift(&mut client)?;
        println!("drift of projects.{}: {drift}", column.name);
        wrong += drift;
    }
    println!("drift of Slack workspaces: {differing}");
    println!("{}", duration(start.elapsed()));
    served.stay()?;
    Ok(wrong)
}

fn load(client: &mut Client) -> Result<()> {
    let start = Instant::now();
    host::create(client, Layout::Wide)?;
    host::run(client, host::DEMO_DATA)?;
    let count = "select (select count(*) from projects), count(*), count(distinct type_new) from integrations";
    let row = client.query_one(count, &[])?;
    println!(
        "{} projects, {} integrations of {} kinds: {}",
        number(row.get::<_, i64>(0)),
        number(row.get::<_, i64>(1)),
        row.get::<_, i64>(2),
        duration(start.elapsed())
    );
    Ok(())
}

/// Attaches lockstep to the two columns and repairs what it finds.
fn attach(client: &mut Client) -> Result<()> {
    println!();
    println!("Lockstep takes over");
    let start = Instant::now();
    let statement = "create extension lockstep";
    client.batch_execute(statement)?;
    report(statement, None, start.elapsed());

    let start = Instant::now();
    let statement =
        "select feature, status, detail from lockstep.attach(disable_application_triggers => true)";
    let rows = client.query(statement, &[])?;
    report(statement, None, start.elapsed());
    for row in rows {
        let detail: Option<String> = row.get(2);
        println!(
            "      {}: {}",
            row.get::<_, String>(0),
            row.get::<_, String>(1)
        );
        if let Some(detail) = detail.filter(|detail| !detail.is_empty()) {
            print_wrapped(8, &detail);
        }
    }
    for column in [TRACKER, WIKI] {
        let start = Instant::now();
        let rows = column.repair(client)?;
        let statement = format!(
            "select lockstep.repair_cache_column('projects', '{}')",
            column.name
        );
        report(&statement, u64::try_from(rows).ok(), start.elapsed());
    }
    Ok(())
}

fn bulk_activation(client: &mut Client) -> Result<i64> {
    let trackers = pick(
        client,
        "select project_id from integrations where category = 'issue_tracker' and project_id is not null \
         group by project_id having not bool_or(active) order by project_id limit 2",
    )?;
    let wikis = pick(
        client,
        "select project_id from integrations where type_new = 'Integrations::ExternalWiki' and not active \
         and project_id is not null order by project_id limit 1",
    )?;
    let scene = Scene::open(client, "1. Bulk activation", &trackers, &wikis)?;
    scene.execute(
        client,
        "update integrations set active = true where not active",
    )?;
    scene.close(client)
}

fn cascade(client: &mut Client) -> Result<i64> {
    // Two projects whose only tracker is inherited from their group, and one that has another.
    let only_inherited = "select child.project_id from integrations child \
         where child.category = 'issue_tracker' and child.project_id is not null and child.active \
         group by child.project_id having ";
    let mut projects = pick(
        client,
        &format!("{only_inherited} bool_and(child.inherit_from_id is not null) order by 1 limit 2"),
    )?;
    projects.extend(pick(
        client,
        &format!("{only_inherited} bool_or(child.inherit_from_id is not null) and bool_or(child.inherit_from_id is null) order by 1 limit 1"),
    )?);
    let title = "2. Cascade: groups lose their integrations, and with them their projects";
    let scene = Scene::open(client, title, &projects, &[])?;
    scene.execute(
        client,
        "delete from integrations where group_id is not null",
    )?;
    scene.execute(
        client,
        "delete from projects where namespace_id between 1000 and 1019",
    )?;
    scene.close(client)
}

fn move_to_another_project(client: &mut Client) -> Result<i64> {
    let source = pick(
        client,
        "select project_id from integrations where category = 'issue_tracker' and project_id is not null \
         group by project_id having count(*) = 1 order by project_id limit 1",
    )?;
    let target = pick(
        client,
        "select id from projects where not exists (select from integrations where project_id = projects.id) \
         order by id limit 1",
    )?;
    let projects = [source, target].concat();
    let scene = Scene::open(
        client,
        "3. Move: a tracker goes to another project",
        &projects,
        &[],
    )?;
    if let [source, target] = projects[..] {
        let statement = format!(
            "update integrations set project_id = {target} where project_id = {source} and category = 'issue_tracker'"
        );
        scene.execute(client, &statement)?;
    }
    scene.close(client)
}

fn truncate(client: &mut Client) -> Result<i64> {
    let trackers = pick(
        client,
        "select id from projects where has_external_issue_tracker order by id limit 1",
    )?;
    let wikis = pick(
        client,
        "select id from projects where has_external_wiki order by id limit 1",
    )?;
    let scene = Scene::open(client, "4. Truncate", &trackers, &wikis)?;
    scene.execute(client, "truncate integrations cascade")?;
    scene.close(client)
}

/// Project ids that a query finds.
fn pick(client: &mut Client, query: &str) -> Result<Vec<i64>> {
    Ok(client
        .query(query, &[])?
        .iter()
        .map(|row| row.get(0))
        .collect())
}
