//! Clients that do not give up: writers of integrations, enqueuers and a runner of jobs in SQL, and GitLab's webhooks. Each notes what
//! was acknowledged, outside of the database.

use std::collections::BTreeSet;
use std::sync::Mutex;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::thread::{Scope, ScopedJoinHandle, sleep};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use lockstep_tests::gitlab::{Webhook, push};
use lockstep_tests::patroni::Patroni;
use postgres::error::SqlState;
use postgres::{Client, Config, NoTls};

use crate::notification::app::TOKEN;
use crate::patroni::scene::{DATABASE, PROJECTS, Scene};

/// The time limit for anything that has to go on; it only decides whether the test hangs.
pub(crate) const PATIENCE: Duration = Duration::from_secs(120);

const WRITERS: i32 = 2;

const LEASE_HAS_ENDED: SqlState = SqlState::OBJECT_NOT_IN_PREREQUISITE_STATE;

/// A moment between what one client does and the next, so that the machine has time for the others.
const PAUSE: Duration = Duration::from_millis(10);

/// Slack takes 300 messages per minute in one workspace, and there are two who publish.
const OF_WEBHOOKS: Duration = Duration::from_millis(450);

pub(crate) struct Load {
    config: Config,
    bases: Vec<String>,
    is_over: AtomicBool,
    /// Writes by writer and number.
    pub(crate) written: Noted<(i32, i64)>,
    /// Jobs that a sidecar runs.
    pub(crate) enqueued: Noted<i64>,
    /// Jobs that the runner in SQL has completed.
    pub(crate) completed: Noted<i64>,
    /// Events by project and number.
    pub(crate) published: Noted<(i64, usize)>,
}

/// What was acknowledged.
#[derive(Debug)]
pub(crate) struct Noted<T> {
    all: Mutex<BTreeSet<T>>,
    count: AtomicUsize,
}

impl<T> Default for Noted<T> {
    fn default() -> Self {
        Self {
            all: Mutex::default(),
            count: AtomicUsize::new(0),
        }
    }
}

impl<T: Ord + Clone> Noted<T> {
    /// False if it was there.
    fn note(&self, one: T) -> Result<bool> {
        let is_new = self.all.lock().ok().context("poisoned")?.insert(one);
        self.count.fetch_add(1, Ordering::SeqCst);
        Ok(is_new)
    }

    fn has(&self, one: &T) -> Result<bool> {
        Ok(self.all.lock().ok().context("poisoned")?.contains(one))
    }

    pub(crate) fn all(&self) -> Result<BTreeSet<T>> {
        Ok(self.all.lock().ok().context("poisoned")?.clone())
    }
}

impl Load {
    pub(crate) fn new(patroni: &Patroni, scene: &Scene) -> Self {
        Self {
            config: patroni.config(DATABASE),
            bases: scene.serving.iter().map(|it| it.base.clone()).collect(),
            is_over: AtomicBool::new(false),
            written: Noted::default(),
            enqueued: Noted::default(),
            completed: Noted::default(),
            published: Noted::default(),
        }
    }

    pub(crate) fn start<'scope, 'env>(
        &'env self,
        scope: &'scope Scope<'scope, 'env>,
    ) -> Vec<ScopedJoinHandle<'scope, Result<()>>> {
        let mut threads = Vec::new();
        for writer in 0..WRITERS {
            threads.push(scope.spawn(move || self.write(writer)));
        }
        threads.push(scope.spawn(|| self.enqueue()));
        threads.push(scope.spawn(|| self.run_jobs()));
        for publisher in 0..self.bases.len() {
            threads.push(scope.spawn(move || self.publish(publisher)));
        }
        threads
    }

    pub(crate) fn end(&self) {
        self.is_over.store(true, Ordering::SeqCst);
    }

    fn is_over(&self) -> bool {
        self.is_over.load(Ordering::SeqCst)
    }

    /// Waits until all kinds of clients have got some more acknowledged.
    pub(crate) fn wait_until_all_go_on(&self) -> Result<()> {
        go_on(&[
            &self.written.count,
            &self.enqueued.count,
            &self.completed.count,
            &self.published.count,
        ])
    }

    /// The same for those who use a sidecar.
    pub(crate) fn wait_until_events_go_on(&self) -> Result<()> {
        go_on(&[&self.published.count])
    }

    /// Calls it with a session until the end, with another one whenever it fails: what failed may have had an effect, or not.
    fn keep(&self, mut once: impl FnMut(&mut Client) -> Result<()>) -> Result<()> {
        let mut session = None;
        while !self.is_over() {
            sleep(PAUSE);
            let client = match &mut session {
                Some(client) => client,
                None => match self.config.connect(NoTls) {
                    Ok(client) => session.insert(client),
                    Err(_) => continue,
                },
            };
            match once(client) {
                Ok(()) => {}
                Err(error) if is_of_failover(&error) => session = None,
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    /// Gives projects a wiki and takes it away.
    fn write(&self, writer: i32) -> Result<()> {
        let mut number = 0_i64;
        self.keep(|client| {
            number += 1;
            let project = number * 7 % PROJECTS + 1;
            let of_project =
                format!("project_id = {project} and type_new = 'Integrations::ExternalWiki'");
            let change = match number / PROJECTS % 3 {
                0 => format!(
                    "insert into integrations (project_id, type_new, category, active)
                     values ({project}, 'Integrations::ExternalWiki', 'common', true)
                     on conflict (project_id, type_new) do nothing"
                ),
                1 => format!("update integrations set active = not active where {of_project}"),
                _ => format!("delete from integrations where {of_project}"),
            };
            client.batch_execute(&format!(
                "begin; {change}; insert into acknowledged values ({writer}, {number}); commit"
            ))?;
            self.written.note((writer, number)).map(drop)
        })
    }

    fn enqueue(&self) -> Result<()> {
        let enqueue = "select lockstep.enqueue_job('ProjectServiceWorker', '[1, {\"object_kind\": \"push\"}]'), lockstep.enqueue_job('Counter')";
        self.keep(|client| {
            let row = client.query_one(enqueue, &[])?;
            self.enqueued.note(row.get(0)).map(drop)
        })
    }

    /// A runner that remembers what was acknowledged as done: nobody may get that again.
    fn run_jobs(&self) -> Result<()> {
        let mut runner: Option<i64> = None;
        self.keep(|client| {
            let number = match runner {
                Some(number) => number,
                None => {
                    let start = "select lockstep.start_runner('in SQL', lease_for => '5 seconds')";
                    *runner.insert(client.query_one(start, &[])?.get(0))
                }
            };
            let claim = "select job from lockstep.claim_jobs($1, '{Counter}', 10)";
            let claimed = match client.query(claim, &[&number]) {
                // Nobody heard of it for too long.
                Err(error) if error.code() == Some(&LEASE_HAS_ENDED) => {
                    runner = None;
                    return Ok(());
                }
                claimed => claimed?,
            };
            let jobs: Vec<i64> = claimed.iter().map(|row| row.get(0)).collect();
            for job in &jobs {
                let was_completed = self.completed.has(job)?;
                ensure!(!was_completed, "job {job} was done, and comes again");
            }
            let complete = "select lockstep.complete_jobs($1, $2)";
            let refused: Vec<i64> = client.query_one(complete, &[&number, &jobs])?.get(0);
            for job in jobs.iter().filter(|job| !refused.contains(job)) {
                self.completed.note(*job)?;
            }
            Ok(())
        })
    }

    /// Sends its share of the projects' events, each until it is taken, by one sidecar or the other.
    fn publish(&self, publisher: usize) -> Result<()> {
        let webhooks: Vec<Webhook> = self
            .bases
            .iter()
            .map(|base| Webhook::new(base, PATIENCE).with_token(TOKEN))
            .collect();
        let count = webhooks.len();
        for number in 0.. {
            for project in 1..=PROJECTS {
                if usize::try_from(project)? % count != publisher {
                    continue;
                }
                let event = push(project, &title(project, number));
                let begun = Instant::now();
                for attempt in publisher.. {
                    if self.is_over() {
                        return Ok(());
                    }
                    let key = format!("{project}-{number}");
                    match webhooks[attempt % count].send_as(&key, &event) {
                        Ok(reply) if reply.status == 200 => break,
                        Ok(reply) if reply.status < 500 => {
                            ensure!(false, "{}: {}", reply.status, reply.text());
                        }
                        Ok(_) | Err(_) => {}
                    }
                    ensure!(begun.elapsed() < PATIENCE, "nobody takes {key}");
                    sleep(PAUSE);
                }
                self.published.note((project, number))?;
                sleep(OF_WEBHOOKS);
            }
        }
        Ok(())
    }
}

/// Whether a statement failed with its session or its server, not by itself.
fn is_of_failover(error: &anyhow::Error) -> bool {
    let Some(error) = error.downcast_ref::<postgres::Error>() else {
        return false;
    };
    let of_shutdown = |code: &SqlState| code.code().starts_with("57P");
    error
        .code()
        .is_none_or(|code| of_shutdown(code) || *code == SqlState::READ_ONLY_SQL_TRANSACTION)
}

fn go_on(all: &[&AtomicUsize]) -> Result<()> {
    let counts = || -> Vec<usize> { all.iter().map(|it| it.load(Ordering::SeqCst)).collect() };
    let (before, begun) = (counts(), Instant::now());
    while counts()
        .iter()
        .zip(&before)
        .any(|(now, before)| *now < before + 10)
    {
        ensure!(
            begun.elapsed() < PATIENCE,
            "acknowledged were {before:?}, then only {:?}",
            counts()
        );
        sleep(PAUSE);
    }
    Ok(())
}

/// An event's title, as messages have it.
pub(crate) fn title(project: i64, number: usize) -> String {
    format!(
        "event-{:06}",
        project * 10_000 + i64::try_from(number).unwrap_or_default()
    )
}
