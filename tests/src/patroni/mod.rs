//! Three servers under Patroni with etcd, on loopback. Who leads is decided as in production: by a lock in etcd that expires.

mod etcd;
mod node;
mod programs;

use std::net::{Ipv4Addr, TcpListener};
use std::process::Child;
use std::thread::sleep;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};
use postgres::config::TargetSessionAttrs;
use postgres::{Client, Config, NoTls};
use serde_json::{Value, json};

use crate::account::Account;
use crate::cluster::{SUPERUSER, watch};
use crate::home::Home;
use crate::http::Http;

use etcd::Etcd;
pub use node::Node;
use node::Plan;
use programs::Programs;

const NODES: usize = 3;

const LOOPBACK: &str = "127.0.0.1";

/// A failover takes the lock's time to live, 20 seconds; a replica that has to be rewound first some more.
const PATIENCE: Duration = Duration::from_secs(120);

/// How long a host may take to answer, so that a connection finds the leader soon.
const HELLO: Duration = Duration::from_secs(2);

/// A member as Patroni sees it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Member {
    pub name: String,
    /// leader, sync_standby or replica.
    pub role: String,
    pub state: String,
    timeline: Option<i64>,
}

/// A running group of servers; all of it is stopped and removed when this is dropped, or by tests/sweep.
#[derive(Debug)]
pub struct Patroni {
    nodes: Vec<Node>,
    /// Lives in the first node's home.
    _etcd: Etcd,
    programs: Programs,
    password: String,
    http: Http,
    watchdog: Child,
}

impl Patroni {
    /// Creates and starts the servers, with synchronous replication; None if Patroni or etcd is not installed. The logs are
    /// `target/pg/<purpose>_<n>.log` and `target/pg/<purpose>_etcd.log`.
    pub fn start(purpose: &str) -> Result<Option<Self>> {
        let Some(programs) = Programs::find()? else {
            return Ok(None);
        };
        let account = Account::of_server()?;
        // For those who may connect to loopback.
        let password = std::fs::read_to_string("/proc/sys/kernel/random/uuid")?;
        let password = password.trim().to_owned();
        let ports = free_ports(2 + 2 * NODES)?;
        let (of_etcd, of_nodes) = ports.split_at(2);
        let homes = (1..=NODES)
            .map(|number| Home::create(&format!("{purpose}_{number}"), account))
            .collect::<Result<Vec<_>>>()?;
        let watchdog = watch()?;
        let first = homes.first().context("no home")?;
        let etcd = Etcd::start(&programs, first, account, purpose, of_etcd)?;
        let mut nodes = Vec::new();
        for (home, ports) in homes.into_iter().zip(of_nodes.chunks(2)) {
            let plan = Plan {
                name: format!("{purpose}_{}", nodes.len() + 1),
                home,
                account,
                port: ports[0],
                port_of_api: ports[1],
            };
            let mut node =
                Node::prepare(plan, &programs, &dynamic_settings(), &password, etcd.port)?;
            node.start()?;
            nodes.push(node);
        }
        let patroni = Self {
            nodes,
            _etcd: etcd,
            programs,
            password,
            http: Http::new(PATIENCE),
            watchdog,
        };
        patroni.wait_until_whole()?;
        Ok(Some(patroni))
    }

    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    /// The versions of what decides here.
    pub fn versions(&self) -> Result<String> {
        self.programs.versions()
    }

    /// How to connect to whichever server leads.
    pub fn config(&self, database: &str) -> Config {
        let mut config = Config::new();
        for node in &self.nodes {
            config.host(LOOPBACK).port(node.port());
        }
        config
            .user(SUPERUSER)
            .password(&self.password)
            .dbname(database)
            .connect_timeout(HELLO)
            .target_session_attrs(TargetSessionAttrs::ReadWrite);
        config
    }

    /// The same as a connection string of keywords. The path in it is for tests/sweep, which finds sidecars by their server's.
    pub fn address(&self, database: &str) -> String {
        let hosts = [LOOPBACK; NODES].join(",");
        let ports: Vec<String> = self
            .nodes
            .iter()
            .map(|node| node.port().to_string())
            .collect();
        format!(
            "host={hosts} port={} user={SUPERUSER} password={} dbname={database} target_session_attrs=read-write application_name='{}'",
            ports.join(","),
            self.password,
            self.nodes[0].socket().display(),
        )
    }

    /// Connects to one server, whatever it is at the moment, by its socket.
    pub fn connect_to(&self, node: usize, database: &str) -> Result<Client> {
        let node = &self.nodes[node];
        ensure!(!node.is_frozen(), "{} would not answer", node.name());
        let mut config = Config::new();
        config
            .host_path(node.socket())
            .port(node.port())
            .user(SUPERUSER)
            .dbname(database);
        Ok(config.connect(NoTls)?)
    }

    /// Connects to whichever server leads, as soon as one does.
    pub fn connect(&self, database: &str) -> Result<Client> {
        let begun = Instant::now();
        loop {
            match self.config(database).connect(NoTls) {
                Ok(client) => return Ok(client),
                Err(error) if begun.elapsed() > PATIENCE => {
                    bail!("no server leads: {error}, {:?}", self.members())
                }
                Err(_) => sleep(Duration::from_millis(20)),
            }
        }
    }

    /// What the first node that answers knows of all.
    pub fn members(&self) -> Result<Vec<Member>> {
        let mut failure = None;
        for node in self.nodes.iter().filter(|node| !node.is_frozen()) {
            match self.http.get(&format!("{}/cluster", node.api()), &[]) {
                Ok(reply) => return members_of(&reply.json()?),
                Err(error) => failure = Some(error),
            }
        }
        Err(failure.context("no node")?).context("no Patroni answers")
    }

    /// The place of the server that leads.
    pub fn leader(&self) -> Result<usize> {
        let members = self.members()?;
        let leader = members.iter().find(|member| member.role == "leader");
        let leader = leader.with_context(|| format!("nobody leads: {members:?}"))?;
        let place = self
            .nodes
            .iter()
            .position(|node| node.name() == leader.name);
        place.context("a stranger leads")
    }

    /// Waits until a server leads, all others follow it, and commits wait for one of these.
    pub fn wait_until_whole(&self) -> Result<()> {
        let begun = Instant::now();
        loop {
            let members = self.members();
            if members.as_ref().is_ok_and(|members| is_whole(members)) {
                return Ok(());
            }
            ensure!(
                begun.elapsed() < PATIENCE,
                "{members:?}, see {}",
                self.nodes[0].log().display()
            );
            sleep(Duration::from_millis(100));
        }
    }

    /// Has the synchronous standby lead, as an administrator does: `patronictl switchover`. Patroni takes no other one.
    pub fn switch_over(&self) -> Result<()> {
        let members = self.members()?;
        let of = |role: &str| {
            let member = members.iter().find(|member| member.role == role);
            member.with_context(|| format!("no {role}: {members:?}"))
        };
        let wish = json!({"leader": of("leader")?.name, "candidate": of("sync_standby")?.name});
        let url = format!("{}/switchover", self.nodes[self.leader()?].api());
        let reply = self.http.post_json(&url, &[], &wish)?;
        ensure!(reply.status == 200, "{}: {}", reply.status, reply.text());
        Ok(())
    }

    /// The node to kill, to freeze, or to start again.
    pub fn node_mut(&mut self, node: usize) -> &mut Node {
        &mut self.nodes[node]
    }
}

impl Drop for Patroni {
    fn drop(&mut self) {
        // In whatever order: each that is left alone would start its server again, or take the lead.
        for node in &mut self.nodes {
            if let Err(error) = node.kill() {
                eprintln!("{error:#}");
            }
        }
        drop(self.watchdog.stdin.take());
        self.watchdog.wait().ok();
    }
}

/// What all nodes have in common. A lock of 20 seconds is the shortest that Patroni takes. A server that fails to reach etcd for
/// the time of retries gives up the lead, so these are long enough for a busy machine.
fn dynamic_settings() -> Value {
    json!({
        "ttl": 20,
        "loop_wait": 1,
        "retry_timeout": 6,
        "synchronous_mode": true,
        "postgresql": {
            "use_pg_rewind": true,
            "use_slots": true,
            // Without fsync a killed server still recovers, because the kernel has what it wrote.
            "parameters": {"fsync": "off", "max_worker_processes": 16, "log_line_prefix": "%m [%p] %d ", "timezone": "UTC"},
        },
    })
}

fn members_of(answer: &Value) -> Result<Vec<Member>> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let members = answer["members"].as_array().context("no members")?;
    let members = members.iter().map(|member| Member {
        name: text(&member["name"]),
        role: text(&member["role"]),
        state: text(&member["state"]),
        timeline: member["timeline"].as_i64(),
    });
    Ok(members.collect())
}

fn is_whole(members: &[Member]) -> bool {
    let has = |role: &str| members.iter().any(|member| member.role == role);
    // Later versions say that a replica streams.
    let runs = |member: &Member| matches!(&*member.state, "running" | "streaming");
    let leader = members.iter().find(|member| member.role == "leader");
    let timeline = leader.and_then(|leader| leader.timeline);
    members.len() == NODES
        && has("sync_standby")
        && timeline.is_some()
        && members.iter().all(|it| runs(it) && it.timeline == timeline)
}

/// Ports that nobody listens to at the moment.
fn free_ports(count: usize) -> Result<Vec<u16>> {
    let listeners = (0..count)
        .map(|_| TcpListener::bind((Ipv4Addr::LOCALHOST, 0)))
        .collect::<std::io::Result<Vec<_>>>()?;
    let ports = listeners.iter().map(|it| Ok(it.local_addr()?.port()));
    ports.collect()
}
