//! A name server that does not answer: looking up a name blocks a thread, until the system gives up.

use std::fs;
use std::io::{ErrorKind, Write, stderr};
use std::net::{Ipv4Addr, TcpListener, UdpSocket};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use lockstep_tests::slack::{App, FakeSlack};
use nix::sys::signal::Signal;

use super::{Sidecar, command};
use crate::concurrency::PATIENCE;

/// resolv.conf has no port, so each of those that run at the same time has another address of the loopback interface.
const PORT: u16 = 53;

/// The most that glibc allows: two and a half minutes for a name.
const OPTIONS: &str = "options timeout:30 attempts:5";
const ATTEMPTS: usize = 5;

/// Other sources of names, such as systemd's, do not read resolv.conf.
const SOURCES: &str = "hosts: files dns\n";

/// The name of GitLab's address as it is in a query of its IPv4 address.
const QUERY: &[u8] = b"\x06gitlab\x07example\x00\x00\x01";

/// A directory of the test, gone with it.
struct Directory(PathBuf);

impl Drop for Directory {
    fn drop(&mut self) {
        let _ = fs::remove_dir_all(&self.0);
    }
}

/// An address where nobody answers queries for names.
fn free_address() -> Result<UdpSocket> {
    for last in 1..=254 {
        match UdpSocket::bind((Ipv4Addr::new(127, 53, 53, last), PORT)) {
            Err(error) if error.kind() == ErrorKind::AddrInUse => {}
            bound => return Ok(bound?),
        }
    }
    bail!("all addresses for name servers are in use")
}

/// A name server that only counts.
fn silent_server(socket: UdpSocket) -> Arc<AtomicUsize> {
    let asked = Arc::new(AtomicUsize::new(0));
    let counted = Arc::clone(&asked);
    thread::spawn(move || {
        let mut buffer = [0; 512];
        while let Ok(length) = socket.recv(&mut buffer) {
            let is_it = buffer[..length].windows(QUERY.len()).any(|it| it == QUERY);
            counted.fetch_add(usize::from(is_it), Ordering::SeqCst);
        }
    });
    asked
}

/// The command, with the directory's files in place of those in /etc, which only it sees. None where that is not allowed.
fn with_files(serve: &Command, directory: &Path) -> Option<Command> {
    const BIND: &str = "for file in resolv.conf nsswitch.conf; do
         if [ -e /etc/$file ]; then /bin/mount --bind \"$0/$file\" /etc/$file || exit 1; fi
       done
       exec \"$@\"";
    let within = |program: &mut Command| {
        program
            .args(["--mount", "/bin/sh", "-c", BIND])
            .arg(directory)
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
    let Ok(socket) = free_address() else {
        return not_tested();
    };
    let path = std::env::temp_dir().join(format!("lockstep-resolver-{}", std::process::id()));
    fs::create_dir(&path)?;
    let directory = Directory(path);
    let server = format!("nameserver {}\n{OPTIONS}\n", socket.local_addr()?.ip());
    fs::write(directory.0.join("resolv.conf"), server)?;
    fs::write(directory.0.join("nsswitch.conf"), SOURCES)?;
    let slack = FakeSlack::start(App::default())?;
    let port = TcpListener::bind("127.0.0.1:0")?.local_addr()?.port();
    let base = format!("http://127.0.0.1:{port}");
    // It asks GitLab when it starts.
    let mut serve = command("serve", "host=127.0.0.1 port=1", &slack);
    serve
        .arg(format!("--listen=127.0.0.1:{port}"))
        .arg(format!("--public-url={base}"))
        .arg("--gitlab-url=https://gitlab.example");
    let Some(serve) = with_files(&serve, &directory.0) else {
        return not_tested();
    };
    let asked = silent_server(socket);
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
    ensure!(status == Some(0) && log.contains("stopped"), "{log}");
    ensure!(attempts < ATTEMPTS, "it waited until the lookup failed");
    Ok(())
}

/// Not captured, as the output of a test that passes would be.
fn not_tested() -> Result<()> {
    writeln!(
        stderr(),
        "a silent name server is not tested: only root may answer for one and replace resolv.conf"
    )?;
    Ok(())
}
