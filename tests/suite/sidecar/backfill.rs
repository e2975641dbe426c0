//! The sidecar's command `backfill`, as a user runs it: with and without a terminal, interrupted, attached to an existing run.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read};
use std::process::{Child, ChildStderr, Command, Output, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_tests::target;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use postgres::Client;

use crate::backfill::{SLOW, counted, progress, start, times, wait_until};
use crate::concurrency::{PATIENCE, wait_until_blocked};
use crate::database::cluster;
use crate::service_account::{catalog, number};

fn sidecar(database: &str, arguments: &[&str]) -> Result<Command> {
    let mut command = Command::new(target().join("debug/lockstep-sidecar"));
    command
        .arg("backfill")
        .args(arguments)
        .env("DATABASE_URL", cluster()?.address(database))
        .env_remove("RUST_LOG");
    Ok(command)
}

fn run(database: &str, arguments: &[&str]) -> Result<(Option<i32>, String, String)> {
    outcome(sidecar(database, arguments)?.output()?)
}

/// Exit code, stdout and stderr.
fn outcome(output: Output) -> Result<(Option<i32>, String, String)> {
    Ok((
        output.status.code(),
        String::from_utf8(output.stdout)?,
        String::from_utf8(output.stderr)?,
    ))
}

/// Starts a command and waits until it has reported its run, so that an interrupt finds it watching; returns the rest of its
/// stderr too.
fn watching(database: &str, arguments: &[&str]) -> Result<(Child, BufReader<ChildStderr>)> {
    let mut child = sidecar(database, arguments)?
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()?;
    let mut stderr = BufReader::new(child.stderr.take().context("no stderr")?);
    let mut line = String::new();
    stderr.read_line(&mut line)?;
    ensure!(line.contains(" run "), "{line}");
    Ok((child, stderr))
}

fn newest_run(client: &mut Client) -> Result<i64> {
    number(
        client,
        "select coalesce(max(run), 0) from lockstep.backfill_progress",
    )
}

#[test]
fn without_a_terminal_it_prints_lines_and_a_summary() -> Result<()> {
    let name = "sidecar_lines";
    let mut client = counted(name, 1_000)?;
    let (status, stdout, stderr) = run(name, &["count", "--workers", "2", "--settings", SLOW])?;
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    for words in ["started run 1 of count", "of 1,000 rows"] {
        ensure!(stderr.contains(words), "{words} is not in {stderr}");
    }
    let words: Vec<&str> = stdout.split_whitespace().collect();
    let line = words.join(" ");
    for part in [
        "finished",
        "scanned 1,000",
        "updated 1,000",
        "unresolved 0",
        "set aside 0",
    ] {
        ensure!(line.contains(part), "{part} is not in {stdout}");
    }
    ensure!(
        !stderr.contains('\x1b') && !stdout.contains('\x1b'),
        "escapes without a terminal"
    );
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 1_000)]));
    Ok(())
}

#[test]
fn in_a_terminal_it_draws_a_bar() -> Result<()> {
    let name = "sidecar_bar";
    let mut client = counted(name, 2_000)?;
    let program = target().join("debug/lockstep-sidecar");
    let command = format!("{} backfill count --settings '{SLOW}'", program.display());
    let output = Command::new("script")
        .args(["--quiet", "--return", "--command", &command, "/dev/null"])
        .env("DATABASE_URL", cluster()?.address(name))
        .env("TERM", "xterm")
        .stdin(Stdio::null())
        .output()
        .context("cannot run script")?;
    let screen = String::from_utf8_lossy(&output.stdout).into_owned();
    ensure!(output.status.success(), "{screen}");
    // The line is redrawn in place, and is gone at the end.
    let drawn = screen.matches('%').count();
    ensure!(drawn >= 3 && screen.contains("\r\u{1b}[2K"), "{screen:?}");
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 2_000)]));
    Ok(())
}

#[test]
fn an_interrupt_pauses_and_the_same_command_goes_on() -> Result<()> {
    let name = "sidecar_interrupt";
    let mut client = counted(name, 3_000)?;
    let arguments = ["count", "--workers", "2", "--settings", SLOW];
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let (child, mut stderr) = watching(name, &arguments)?;
        let run = newest_run(&mut client)?;
        let scanned = progress(&mut client, run, "scanned")?;
        wait_until(
            &mut client,
            run,
            &format!("status = 'running' and scanned > {scanned}"),
        )?;
        kill(Pid::from_raw(i32::try_from(child.id())?), signal)?;
        let (status, stdout, _) = outcome(child.wait_with_output()?)?;
        let mut rest = String::new();
        stderr.read_to_string(&mut rest)?;
        assert_eq!(status, Some(130), "{stdout}{rest}");
        ensure!(
            stdout.contains("resume: lockstep-sidecar backfill count"),
            "{stdout}"
        );
        // Nobody works on it any more when it says so.
        assert_eq!(
            progress(&mut client, run, "array[status, pids::text]")?,
            r#"{paused,"{}"}"#
        );
    }
    let (status, stdout, stderr) = run(name, &["count"])?;
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    ensure!(
        stderr.contains("attached to run 1 of count, which was paused"),
        "{stderr}"
    );
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 3_000)]));
    Ok(())
}

/// It reads a whole table, and must not go on reading when nobody waits for it.
#[test]
fn an_interrupt_ends_a_dry_run_in_the_server() -> Result<()> {
    let name = "sidecar_dry_interrupt";
    let mut client = catalog(name)?;
    let mut witness = cluster()?.connect(name)?;
    client.batch_execute("begin; lock table duo_workflows_workflows")?;
    for signal in [Signal::SIGINT, Signal::SIGTERM] {
        let child = sidecar(name, &["service_accounts", "--dry-run"])?
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let asking = "select pid from pg_stat_activity where datname = current_database() and query ~ '^select outcome' and state = 'active'";
        let begun = Instant::now();
        let pid = loop {
            ensure!(begun.elapsed() < PATIENCE, "it asks nothing");
            if let Some(row) = witness.query_opt(asking, &[])? {
                break row.get(0);
            }
            sleep(Duration::from_millis(5));
        };
        wait_until_blocked(&mut witness, pid)?;
        kill(Pid::from_raw(i32::try_from(child.id())?), signal)?;
        let (status, stdout, stderr) = outcome(child.wait_with_output()?)?;
        assert_eq!(status, Some(130), "{stdout}{stderr}");
        assert_eq!(stdout, "");
        ensure!(stderr.contains("interrupted"), "{stderr}");
        // The table is still locked: what ended it was not its end.
        let begun = Instant::now();
        while witness.query_opt(asking, &[])?.is_some() {
            ensure!(
                begun.elapsed() < PATIENCE,
                "the server goes on after {signal}"
            );
            sleep(Duration::from_millis(5));
        }
    }
    client.batch_execute("commit")?;
    let (status, stdout, stderr) = run(name, &["service_accounts", "--dry-run"])?;
    assert_eq!(status, Some(0), "{stdout}{stderr}");
    Ok(())
}

#[test]
fn it_attaches_to_a_run_and_can_leave_it_alone() -> Result<()> {
    let name = "sidecar_attach";
    let mut client = counted(name, 3_000)?;
    client.batch_execute(
        "select lockstep.register_backfill_job('other', 'counted', 'update counted set n = 9 where {range}')",
    )?;
    let started = start(&mut client, "count", 1, SLOW)?;
    let (status, _, stderr) = run(name, &["other"])?;
    assert_eq!(status, Some(2), "{stderr}");
    ensure!(
        stderr.contains("count") && stderr.contains(&started.to_string()),
        "{stderr}"
    );

    let (child, mut stderr) = watching(name, &["count", "--detach-on-interrupt"])?;
    kill(Pid::from_raw(i32::try_from(child.id())?), Signal::SIGINT)?;
    let (status, stdout, _) = outcome(child.wait_with_output()?)?;
    let mut rest = String::new();
    stderr.read_to_string(&mut rest)?;
    assert_eq!(status, Some(130), "{stdout}{rest}");
    assert_eq!(progress(&mut client, started, "status")?, "running");
    let (status, stdout, _) = run(name, &["count"])?;
    assert_eq!(status, Some(0), "{stdout}");
    assert_eq!(newest_run(&mut client)?, started);
    assert_eq!(times(&mut client, "counted")?, BTreeMap::from([(1, 3_000)]));
    Ok(())
}

#[test]
fn failures_are_told_by_the_exit_status() -> Result<()> {
    let name = "sidecar_failures";
    let mut client = counted(name, 50)?;
    client.batch_execute(
        "select lockstep.register_backfill_job('broken', 'counted', 'update counted set n = n / (id - 7) where {range}')",
    )?;
    let (status, stdout, stderr) = run(name, &["broken"])?;
    assert_eq!(status, Some(1), "{stdout}{stderr}");
    for words in ["failed", "up to 7", "22012", "lockstep.retry_backfill(1)"] {
        ensure!(stdout.contains(words), "{words} is not in {stdout}");
    }
    let (status, _, stderr) = run(name, &["gone"])?;
    assert_eq!(status, Some(2));
    for words in [
        "backfill job \"gone\" does not exist",
        "register_backfill_job",
    ] {
        ensure!(stderr.contains(words), "{words} is not in {stderr}");
    }
    for wrong in [
        vec![],
        vec!["count", "--settings", "{"],
        vec!["count", "--workers", "x"],
    ] {
        assert_eq!(run(name, &wrong)?.0, Some(2), "{wrong:?}");
    }
    let mut unreachable = Command::new(target().join("debug/lockstep-sidecar"));
    unreachable.args(["backfill", "count", "--database-url"]);
    unreachable.arg("postgres://someone:secret-word@127.0.0.1:1/none");
    let (status, stdout, stderr) = outcome(unreachable.output()?)?;
    assert_eq!(status, Some(2));
    ensure!(
        !stderr.is_empty() && !format!("{stdout}{stderr}").contains("secret-word"),
        "{stderr}"
    );
    Ok(())
}
