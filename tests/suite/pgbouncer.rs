//! The pooler harness: clients share server sessions, transaction by transaction.

use anyhow::{Context, Result};
use lockstep_tests::cluster::Cluster;
use lockstep_tests::pgbouncer::PgBouncer;
use postgres::{Client, NoTls, SimpleQueryMessage};

fn text(client: &mut Client, query: &str) -> Result<String> {
    // Not prepared: a statement that one client prepares would be visible to another.
    let messages = client.simple_query(query)?;
    let row = messages.iter().find_map(|message| match message {
        SimpleQueryMessage::Row(row) => row.get(0),
        _ => None,
    });
    Ok(row.context("no row")?.to_owned())
}

#[test]
fn clients_share_a_server_connection_between_transactions() -> Result<()> {
    let cluster = Cluster::start("pooled", &[])?;
    cluster
        .create_database("pooled")?
        .batch_execute("create role guest login")?;
    let pool = PgBouncer::start(&cluster, "pgbouncer", 2)?;
    let (mut first, mut second) = (pool.connect("pooled")?, pool.connect("pooled")?);
    let pid = "select pg_backend_pid()";
    let shared = text(&mut first, pid)?;
    assert_eq!(text(&mut second, pid)?, shared);
    // During a transaction the client has the connection to itself, and the other gets a second one.
    first.batch_execute("begin")?;
    assert_eq!(text(&mut first, pid)?, shared);
    assert_ne!(text(&mut second, pid)?, shared);
    first.batch_execute("commit")?;
    // Any role may connect, not only the superuser.
    let mut guest = pool.config("pooled");
    let mut guest = guest.user("guest").connect(NoTls)?;
    assert_eq!(text(&mut guest, "select current_user::text")?, "guest");
    Ok(())
}

#[test]
fn pool_of_a_cluster_can_be_started_again() -> Result<()> {
    let cluster = Cluster::start("pooled-2", &[])?;
    let first = PgBouncer::start(&cluster, "pgbouncer-2", 1)?;
    drop(first);
    let second = PgBouncer::start(&cluster, "pgbouncer-2", 1)?;
    let mut client = second.connect("postgres")?;
    assert_eq!(text(&mut client, "select 1")?, "1");
    Ok(())
}
