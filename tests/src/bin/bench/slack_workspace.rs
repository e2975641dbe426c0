//! Slack workspaces: an installation that all rows of a team follow, compared with the bare writes of these rows.

use std::time::Instant;

use anyhow::Result;
use lockstep_tests::host::{self, Layout};
use postgres::Client;

use crate::Report;
use crate::figure::{Figure, Reach};
use crate::median::median;
use crate::selection::Selection;
use crate::server::{Copy, Server};
use crate::size::Size;
use crate::slack_propagation;
use crate::table::Table;

pub(crate) const NAME: &str = "slack_workspace";

const TEMPLATE: &str = "slack";

/// One team of `ROWS` projects with two scopes each, and as many other rows.
const FILL: &str = "
insert into projects (id, path, namespace_id, project_namespace_id, organization_id)
  select n, 'project-' || n, 1, n, 1 from generate_series(1, 2 * ROWS) n;
insert into integrations (id, project_id, type_new, category, active)
  select n, n, 'Integrations::GitlabSlackApplication', 'chat', true from generate_series(1, 2 * ROWS) n;
insert into slack_integrations (id, team_id, team_name, alias, user_id, bot_user_id, encrypted_bot_access_token, encrypted_bot_access_token_iv,
                                created_at, updated_at, integration_id, project_id)
  select n, case when n <= ROWS then 'T0' else 'T' || n end, 'Team', 'group-1/project-' || n, 'U0123456789', 'B0123456789', sha256('a'),
         '0123456789ab', now(), now(), n, n
  from generate_series(1, 2 * ROWS) n;
insert into slack_api_scopes (id, name, organization_id) values (1, 'commands', 1), (2, 'chat:write', 1), (3, 'chat:write.public', 1);
insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id)
  select n, s, n from generate_series(1, 2 * ROWS) n, generate_series(1, 2) s;
create extension lockstep_slack cascade;
analyze";

/// The writes that an installation amounts to: a new token for all rows, and one more scope.
const BARE: [&str; 2] = [
    "update slack_integrations
        set user_id = 'U1', bot_user_id = 'B1', encrypted_bot_access_token = sha256('b'), encrypted_bot_access_token_iv = 'abcdefghijkl', updated_at = now()
      where team_id = 'T0'",
    "insert into slack_integrations_scopes (slack_integration_id, slack_api_scope_id, project_id)
     select s.id, 3, s.project_id from slack_integrations s where s.team_id = 'T0'",
];

const INSTALL: &str = "
select written from lockstep.install_slack_workspace('T0', 'Team', 'U1', 'B1', sha256('b'), 'abcdefghijkl', '{commands,chat:write,chat:write.public}',
                                                     project_id => 1)";

/// An installation of another team: the sidecar's sessions live long, and know the tables after their first call.
const OTHER: &str = "
select written from lockstep.install_slack_workspace('OTHER', 'Team', 'U1', 'B1', sha256('b'), 'abcdefghijkl', '{commands}', project_id => PROJECT)";

/// Rows that this session has written and not reported yet, in all tables.
const WRITTEN: &str = "
select coalesce(sum(n_tup_ins + n_tup_upd + n_tup_del), 0)::bigint from pg_stat_xact_user_tables";

/// What one round measured.
struct Round {
    bare_ms: f64,
    install_ms: f64,
    again_ms: f64,
    /// Rows that a repeated installation wrote, and the bytes of WAL.
    again_rows: i64,
    again_wal: i64,
}

/// Runs the selected measurements of this part.
pub(crate) fn run(selection: &Selection, size: Size) -> Result<Report> {
    let mut table = Table::with_heading(["work", "elapsed ms", "us/row"]);
    let mut figures = Vec::new();
    if !selection.includes(NAME) {
        return Ok(Report { table, figures });
    }
    let mut server = Server::start()?;
    let rows = (size.rows / 10).max(10);
    server.create_template(TEMPLATE, |client| {
        host::create(client, Layout::Wide)?;
        client.batch_execute(&FILL.replace("ROWS", &rows.to_string()))?;
        Ok(())
    })?;
    let mut rounds = Vec::new();
    for _ in 0..size.rounds {
        let round = measure(&mut server, rows)?;
        eprintln!(
            "bench: {NAME} bare {:.0} ms, install {:.0} ms, again {:.0} ms",
            round.bare_ms, round.install_ms, round.again_ms
        );
        rounds.push(round);
    }
    let of_all = |value: fn(&Round) -> f64| median(rounds.iter().map(value));
    for (work, elapsed) in [
        ("bare writes", of_all(|round| round.bare_ms)),
        ("install", of_all(|round| round.install_ms)),
        ("the same again", of_all(|round| round.again_ms)),
    ] {
        let each = elapsed * 1_000.0 / f64::from(rows);
        table.push(vec![
            work.to_owned(),
            format!("{elapsed:.0}"),
            format!("{each:.2}"),
        ]);
    }
    figures.push(Figure::with_reach(
        format!("{NAME}/install/ratio"),
        of_all(|round| round.install_ms / round.bare_ms),
        "x",
        Reach::AtMost(1.3),
    ));
    figures.push(Figure::with_reach(
        format!("{NAME}/again/rows"),
        of_all(|round| round.again_rows as f64),
        "rows",
        Reach::AtMost(0.0),
    ));
    // A commit alone writes a few dozen bytes, and a page that is read for the first time may be pruned.
    figures.push(Figure::with_reach(
        format!("{NAME}/again/wal"),
        of_all(|round| round.again_wal as f64),
        "bytes",
        Reach::AtMost(1_000.0),
    ));
    figures.push(Figure::plain(
        format!("{NAME}/again/elapsed"),
        of_all(|round| round.again_ms),
        "ms",
    ));
    let beside = beside_snapshot(&mut server, rows)?;
    eprintln!("bench: {NAME} beside a snapshot {beside:.3}");
    figures.push(Figure::with_reach(
        format!("{NAME}/beside_snapshot/ratio"),
        beside,
        "x",
        Reach::AtMost(1.3),
    ));
    slack_propagation::run(&mut server, size, &mut table, &mut figures)?;
    Ok(Report { table, figures })
}

/// A session that waits for nothing else.
fn attached(copy: &mut Copy, rows: u32) -> Result<()> {
    copy.client
        .batch_execute("select * from lockstep.attach(); select * from lockstep.attach_slack()")?;
    copy.client
        .batch_execute(&OTHER.replace("PROJECT", &(rows + 1).to_string()))?;
    copy.settle()
}

fn elapsed(client: &mut Client, statements: &[&str]) -> Result<f64> {
    let start = Instant::now();
    let mut transaction = client.transaction()?;
    for statement in statements {
        transaction.batch_execute(statement)?;
    }
    transaction.commit()?;
    Ok(start.elapsed().as_secs_f64() * 1_000.0)
}

/// The sixth installation of a workspace beside a snapshot that is older than the first, whose row versions nobody may remove, divided
/// by the sixth time that the bare writes change all rows beside such a one.
fn beside_snapshot(server: &mut Server, rows: u32) -> Result<f64> {
    let mut sixth = |is_ours: bool| {
        server.with_copy(TEMPLATE, |copy| {
            match is_ours {
                true => attached(copy, rows)?,
                false => copy.settle()?,
            }
            let mut old = copy.cluster.connect(copy.database())?;
            old.batch_execute("begin isolation level repeatable read; select from projects limit 1")?;
            let mut last = 0.0;
            for number in 1..=6 {
                let token = format!("sha256('{number}')");
                let [write, scope] = BARE.map(|it| it.replace("sha256('b')", &token));
                let unlink = "delete from slack_integrations_scopes where slack_api_scope_id = 3 and project_id <= ROWS";
                let install = INSTALL.replace("sha256('b')", &token);
                // Each time the third scope is new.
                let unlink = unlink.replace("ROWS", &rows.to_string());
                copy.client.batch_execute(&unlink)?;
                last = match is_ours {
                    true => elapsed(&mut copy.client, &[&install])?,
                    false => elapsed(&mut copy.client, &[&write, &scope])?,
                };
            }
            Ok(last)
        })
    };
    Ok(sixth(true)? / sixth(false)?)
}

fn measure(server: &mut Server, rows: u32) -> Result<Round> {
    let bare_ms = server.with_copy(TEMPLATE, |copy| {
        copy.settle()?;
        elapsed(&mut copy.client, &BARE)
    })?;
    server.with_copy(TEMPLATE, |copy| {
        attached(copy, rows)?;
        let mut elapsed = || elapsed(&mut copy.client, &[INSTALL]);
        let install_ms = elapsed()?;
        // The first read of the new row versions sets hint bits on their pages.
        elapsed()?;
        let again_ms = elapsed()?;
        let mut transaction = copy.client.transaction()?;
        let wal = "select pg_current_wal_insert_lsn()::text";
        let rows_before: i64 = transaction.query_one(WRITTEN, &[])?.get(0);
        let before: String = transaction.query_one(wal, &[])?.get(0);
        transaction.batch_execute(INSTALL)?;
        let again_wal = transaction
            .query_one(
                "select (pg_current_wal_insert_lsn() - $1::text::pg_lsn)::bigint",
                &[&before],
            )?
            .get(0);
        let rows_after: i64 = transaction.query_one(WRITTEN, &[])?.get(0);
        transaction.commit()?;
        Ok(Round {
            bare_ms,
            install_ms,
            again_ms,
            again_rows: rows_after - rows_before,
            again_wal,
        })
    })
}
