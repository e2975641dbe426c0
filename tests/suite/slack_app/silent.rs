//! Databases that do not respond, or not in time.

use crate::slack_app::{COMMANDS, EVENTS, Sidecar, Stage, install, sidecar_url, with_projects};
use anyhow::{Result, ensure};
use lockstep_tests::slack::caller::Origin;
use lockstep_tests::slack::{App, Caller, FakeSlack};
use std::io::{Read, Write};
use std::net::TcpListener;
use std::os::unix::net::UnixStream;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

/// Forwards bytes between TCP and PostgreSQL's socket; connections that exist when it freezes stay silent forever.
struct Hole {
    port: u16,
    era: Arc<AtomicUsize>,
}

fn hole(socket: String) -> Result<Hole> {
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let era = Arc::new(AtomicUsize::new(0));
    let its = Arc::clone(&era);
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            let Ok(server) = UnixStream::connect(&socket) else {
                continue;
            };
            let born = its.load(Ordering::SeqCst);
            for is_up in [true, false] {
                let (Ok(mut tcp), Ok(mut unix)) = (stream.try_clone(), server.try_clone()) else {
                    return;
                };
                let era = Arc::clone(&its);
                thread::spawn(move || {
                    let mut bytes = [0; 65536];
                    loop {
                        let read = if is_up {
                            tcp.read(&mut bytes)
                        } else {
                            unix.read(&mut bytes)
                        };
                        let Ok(read) = read else { break };
                        while era.load(Ordering::SeqCst) > born {
                            thread::sleep(Duration::from_millis(200));
                        }
                        if read == 0 {
                            break;
                        }
                        let wrote = if is_up {
                            unix.write_all(&bytes[..read])
                        } else {
                            tcp.write_all(&bytes[..read])
                        };
                        if wrote.is_err() {
                            break;
                        }
                    }
                });
            }
        }
    });
    Ok(Hole { port, era })
}

#[test]
fn host_that_went_silent() -> Result<()> {
    let mut client = with_projects("app_t_silent")?;
    let slack = FakeSlack::start(App::default())?;
    let team = slack.create_workspace("Acme").id;
    let ada = slack.create_user(&team, "ada").id;
    let _ = sidecar_url("app_t_silent")?;
    let cluster = crate::database::cluster()?;
    let hole = hole(format!(
        "{}/.s.PGSQL.{}",
        cluster.socket().display(),
        lockstep_tests::cluster::PORT
    ))?;
    let url = format!(
        "host=127.0.0.1 port={} user=sidecar dbname=app_t_silent sslmode=disable",
        hole.port
    );
    let sidecar = Sidecar::start(&url, &slack, &[])?;
    sidecar.wait_until_ready()?;
    let query = "select lockstep.issue_slack_install_ticket(project_id => 1)";
    let ticket: String = client.query_one(query, &[])?.get(0);
    ensure!(install(&sidecar, &format!("?ticket={ticket}"))?.status == 200);
    let caller = Caller::new(&sidecar.base, slack.app());
    let origin = Origin {
        team_id: Some(team.clone()),
        user_id: ada.clone(),
        ..Origin::default()
    };
    // Some sessions.
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                for _ in 0..20 {
                    let _ = caller.command(COMMANDS, &origin, "/gitlab", "status");
                }
            });
        }
    });
    hole.era.fetch_add(1, Ordering::SeqCst);
    let begun = Instant::now();
    let mut outcomes = Vec::new();
    while begun.elapsed() < Duration::from_secs(90) {
        let event = slack.home_opened(&team, &ada)?;
        let status = caller
            .event(EVENTS, &event)
            .map(|reply| reply.status)
            .unwrap_or(0);
        outcomes.push((begun.elapsed().as_secs(), status));
        if outcomes
            .iter()
            .rev()
            .take(3)
            .filter(|(_, status)| *status == 200)
            .count()
            == 3
        {
            break;
        }
    }
    let ready = sidecar.get("/readyz")?.text();
    ensure!(
        outcomes.len() < 12,
        "{outcomes:?} {ready}\n{}",
        sidecar.log()
    );
    eprintln!("silent: {outcomes:?} {ready}");
    Ok(())
}

/// It costs its timeout until a session is there, and none of the later ones.
#[test]
fn first_host_hangs() -> Result<()> {
    const ROUNDS: usize = 20;
    let mut client = with_projects("app_t_hosts")?;
    let slack = FakeSlack::start(App::default())?;
    let _ = sidecar_url("app_t_hosts")?;
    let cluster = crate::database::cluster()?;
    let listener = TcpListener::bind("127.0.0.1:0")?;
    let port = listener.local_addr()?.port();
    let asked = Arc::new(AtomicUsize::new(0));
    let count = Arc::clone(&asked);
    thread::spawn(move || {
        let mut all = Vec::new();
        for stream in listener.incoming() {
            all.push(stream);
            count.fetch_add(1, Ordering::SeqCst);
        }
    });
    let url = format!(
        "host='127.0.0.1,{}' port={port},{} user=sidecar dbname=app_t_hosts sslmode=disable target_session_attrs=read-write",
        cluster.socket().display(),
        lockstep_tests::cluster::PORT
    );
    let sidecar = Sidecar::start(&url, &slack, &[])?;
    sidecar.wait_until_ready()?;
    let before = asked.load(Ordering::SeqCst);
    for _ in 0..ROUNDS {
        client.batch_execute("select pg_terminate_backend(pid, 60000) from pg_stat_activity where usename = 'sidecar' and datname = current_database()")?;
        sidecar.wait_until_ready()?;
    }
    // Some sessions of the beginning may have been on their way to it.
    let asked = asked.load(Ordering::SeqCst) - before;
    ensure!(asked < ROUNDS, "{asked} times\n{}", sidecar.log());
    Ok(())
}

#[test]
fn lock_on_one_table() -> Result<()> {
    let mut stage = Stage::set("app_t_lock")?;
    let team = stage.slack.create_workspace("Acme").id;
    let ada = stage.slack.create_user(&team, "ada").id;
    stage.connect(1)?;
    let mut holder = crate::database::cluster()?.connect("app_t_lock")?;
    let mut transaction = holder.transaction()?;
    transaction.batch_execute("lock table slack_integrations in access exclusive mode")?;
    let origin = Origin {
        team_id: Some(team.clone()),
        user_id: ada,
        ..Origin::default()
    };
    let caller = stage.caller.clone();
    thread::scope(|scope| {
        for _ in 0..8 {
            scope.spawn(|| {
                let _ = caller.command(COMMANDS, &origin, "/gitlab", "status");
            });
        }
    });
    let mut ready = Vec::new();
    for _ in 0..5 {
        ready.push(stage.sidecar.get("/readyz")?.text());
    }
    transaction.rollback()?;
    ensure!(
        ready.iter().all(|text| text.contains("\"ready\":true")),
        "{ready:?}\n{}",
        stage.sidecar.log()
    );
    Ok(())
}
