//! A name server that does not answer: looking up a name blocks a thread, until the system gives up.

use std::fs;
use std::net::{TcpListener, UdpSocket};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use lockstep_tests::slack::{App, FakeSlack};
use nix::sys::signal::Signal;

use super::{Sidecar, command};
use crate::concurrency::PATIENCE;

/// Nobody else uses this address of the loopback interface.
const NAME_SERVER: &str = "127.53.53.53:53";

/// The most that glibc allows: two and a half minutes for a name.
const OPTIONS: &str = "nameserver 127.53.53.53\noptions timeout:30 attempts:5\n";
const ATTEMPTS: usize = 5;

/// The name of GitLab's address as it is in a query of its IPv4 address.
const QUERY: &[u8] = b"\x06gitlab\x07example\x00\x00\x01";

/// A name server that only counts.
fn silent_server() -> Result<Arc<AtomicUsize>> {
    let socket = UdpSocket::bind(NAME_SERVER)?;
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok(length) = socket.recv(&mut buffer) {
            let is_it = buffer[..length].windows(QUERY.len()).any(|it| it == QUERY);
            counted.fetch_add(usize::from(is_it), Ordering::SeqCst);
        }
    });
    Ok(asked)
}

/// The command, with another resolv.conf that only it sees. None where that is not allowed.
fn with_resolver(serve: &Command, file: &str) -> Option<Command> {
    const BIND: &str = "/bin/mount --bind \"$0\" /etc/resolv.conf && exec \"$@\"";
    let within = |program: &mut Command| {
        program
            .args(["--mount", "/bin/sh", "-c", BIND, file])
            .env_clear();
    };
    let mut may = Command::new("/usr/bin/unshare");
    within(&mut may);
    let is_allowed = may.arg("/bin/true").output();
    if !is_allowed.is_ok_and(|ended| ended.status.success()) {
        return None;
    }
    let mut command = Command::new("/usr/bin/unshare");
    within(&mut command);
    command.arg(serve.get_program()).args(serve.get_args());
    let variables = serve.get_envs();
    command.envs(variables.filter_map(|(name, value)| Some((name, value?))));
    Some(command)
}

#[test]
fn a_silent_name_server_does_not_hold_up_a_stop() -> Result<()> {
    let file = std::env::temp_dir().join(format!("lockstep-resolv-{}", std::process::id()));
    fs::write(&file, OPTIONS)?;
    let slack = FakeSlack::start(App::default())?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let base = format!("http://127.0.0.1:{port}");
    // It asks GitLab when it starts.
    let mut serve = command("serve", "host=127.0.0.1 port=1", &slack);
    serve
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg(format!("--public-url={base}"))
        .arg("--gitlab-url=https://gitlab.example");
    let Some(serve) = with_resolver(&serve, &file.display().to_string()) else {
        eprintln!("a silent name server is not tested: only root may replace resolv.conf");
        return Ok(());
    };
    let asked = silent_server()?;
    let sidecar = Sidecar::of(serve, base)?;
    let begun = Instant::now();
    while asked.load(Ordering::SeqCst) == 0 {
        ensure!(
            begun.elapsed() < PATIENCE,
            "it asked nothing: {}",
            sidecar.log()
        );
        thread::sleep(Duration::from_millis(5));
    }
    sidecar.signal(Signal::SIGTERM)?;
    let (status, log) = sidecar.end()?;
    let attempts = asked.load(Ordering::SeqCst);
    fs::remove_file(&file)?;
    ensure!(status == Some(0) && log.contains("stopped"), "{log}");
    ensure!(attempts < ATTEMPTS, "it waited until the lookup failed");
    Ok(())
}
