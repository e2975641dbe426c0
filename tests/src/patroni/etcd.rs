//! One etcd, which never fails here: what it does then is Patroni's matter.

use std::fs::{self, DirBuilder, File, Permissions};
use std::os::unix::fs::{DirBuilderExt, PermissionsExt};
use std::process::{Child, Stdio};
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};

use super::PATIENCE;
use super::programs::Programs;
use crate::account::Account;
use crate::home::{Home, clusters};
use crate::http::Http;

#[derive(Debug)]
pub(super) struct Etcd {
    pub(super) port: u16,
    process: Child,
}

impl Etcd {
    /// In a node's home; needs one port for clients, and one for other members, which do not come.
    pub(super) fn start(
        programs: &Programs,
        home: &Home,
        account: Account,
        purpose: &str,
        ports: &[u16],
    ) -> Result<Self> {
        let [port, port_of_peers] = ports else {
            anyhow::bail!("etcd needs two ports");
        };
        // The home's own copy, so that tests/sweep knows whose process it is.
        let program = home.path().join("etcd");
        fs::copy(&programs.etcd, &program).context("cannot copy etcd")?;
        fs::set_permissions(&program, Permissions::from_mode(0o755))?;
        let data = home.path().join("etcd.data");
        DirBuilder::new().mode(0o700).create(&data)?;
        account.own(&data)?;
        let log = clusters()?.join(format!("{purpose}_etcd.log"));
        let output = File::create(&log)?;
        let (clients, peers) = (
            format!("http://127.0.0.1:{port}"),
            format!("http://127.0.0.1:{port_of_peers}"),
        );
        let process = account
            .command(&program)
            .args(["--name", "only", "--unsafe-no-fsync", "--data-dir"])
            .arg(&data)
            .args(["--listen-client-urls", &clients])
            .args(["--advertise-client-urls", &clients])
            .args(["--listen-peer-urls", &peers])
            .args(["--initial-advertise-peer-urls", &peers])
            .args(["--initial-cluster", &format!("only={peers}")])
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .spawn()
            .context("cannot start etcd")?;
        let etcd = Self {
            port: *port,
            process,
        };
        let (http, begun) = (Http::new(PATIENCE), Instant::now());
        let is_healthy = || http.get(&format!("{clients}/health"), &[]);
        while !is_healthy().is_ok_and(|reply| reply.status == 200) {
            ensure!(
                begun.elapsed() < PATIENCE,
                "etcd does not start, see {}",
                log.display()
            );
            sleep(Duration::from_millis(20));
        }
        Ok(etcd)
    }
}

impl Drop for Etcd {
    fn drop(&mut self) {
        // It may have ended already.
        let _ = self.process.kill();
        let _ = self.process.wait();
    }
}
