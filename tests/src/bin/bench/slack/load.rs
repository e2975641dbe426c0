//! The load: the same bytes over and over, on connections that stay open.
//!
//! One thread does it for every contender. At a fixed rate each request has a moment at which it is due, whatever became
//! of the ones before it, and the time it takes counts from then: a server that stalls is charged for all that had to
//! wait meanwhile, where a generator that waits for answers would have sent less (wrk, which has no rate, does that).

use std::cell::Cell;
use std::net::SocketAddr;
use std::rc::Rc;
use std::thread;
use std::time::Duration;

use anyhow::{Context, Result, anyhow, bail, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::runtime::Builder;
use tokio::task::LocalSet;
use tokio::time::{Instant, sleep_until, timeout};

use super::answer;
use super::placement::Core;

/// How many requests are under way at the same time, at most.
pub(super) const CONNECTIONS: usize = 32;

/// Slack waits no longer for an answer.
const PATIENCE: Duration = Duration::from_secs(3);

/// How soon a request follows.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(super) enum Pace {
    /// As soon as a connection has its answer.
    Greedy,
    /// So many a second, evenly.
    PerSecond(f64),
}

/// What came of it.
pub(super) struct Outcome {
    /// Answers a second.
    pub(super) rate: f64,
    /// Milliseconds from when each request was due to the end of its answer, in ascending order.
    pub(super) times: Vec<f64>,
}

impl Outcome {
    /// The time that such a share of the answers did not exceed.
    pub(super) fn percentile(&self, share: f64) -> f64 {
        let place = (self.times.len() as f64 * share) as usize;
        self.times.get(place).copied().unwrap_or(f64::NAN)
    }
}

/// Sends requests for a while, from that core if one is given.
pub(super) fn run(
    address: SocketAddr,
    request: &[u8],
    pace: Pace,
    lasting: Duration,
    core: Option<Core>,
) -> Result<Outcome> {
    let generating = || {
        if let Some(core) = core {
            core.hold_this_thread()?;
        }
        let runtime = Builder::new_current_thread().enable_all().build()?;
        LocalSet::new().block_on(&runtime, generate(address, request, pace, lasting))
    };
    thread::scope(|scope| {
        let generator = scope.spawn(generating);
        generator
            .join()
            .map_err(|_| anyhow!("the generator ended"))?
    })
}

/// Which request is next.
struct Plan {
    begun: Instant,
    pace: Pace,
    lasting: Duration,
    next: Cell<u32>,
}

impl Plan {
    /// When the next request is due; none if the time is over. Connections ask in turn, so that whichever is free takes
    /// the one that has waited longest.
    fn due(&self) -> Option<Instant> {
        let due = match self.pace {
            Pace::Greedy => Instant::now(),
            Pace::PerSecond(rate) => {
                let number = self.next.replace(self.next.get() + 1);
                self.begun + Duration::from_secs_f64(f64::from(number) / rate)
            }
        };
        (due < self.begun + self.lasting).then_some(due)
    }
}

async fn generate(
    address: SocketAddr,
    request: &[u8],
    pace: Pace,
    lasting: Duration,
) -> Result<Outcome> {
    let mut streams = Vec::new();
    for _ in 0..CONNECTIONS {
        let stream = TcpStream::connect(address).await?;
        stream.set_nodelay(true)?;
        streams.push(stream);
    }
    let plan = Rc::new(Plan {
        begun: Instant::now(),
        pace,
        lasting,
        next: Cell::new(0),
    });
    let request: Rc<[u8]> = request.into();
    let tasks: Vec<_> = streams
        .into_iter()
        .map(|stream| {
            tokio::task::spawn_local(connection(stream, Rc::clone(&request), Rc::clone(&plan)))
        })
        .collect();
    let mut times = Vec::new();
    for task in tasks {
        times.extend(task.await.context("a connection ended")??);
    }
    let rate = times.len() as f64 / plan.begun.elapsed().as_secs_f64();
    ensure!(!times.is_empty(), "nothing was answered");
    times.sort_unstable_by(f64::total_cmp);
    Ok(Outcome { rate, times })
}

async fn connection(mut stream: TcpStream, request: Rc<[u8]>, plan: Rc<Plan>) -> Result<Vec<f64>> {
    let mut times = Vec::new();
    let mut buffer = Vec::with_capacity(4096);
    while let Some(due) = plan.due() {
        if plan.pace != Pace::Greedy {
            sleep_until(due).await;
        }
        stream.write_all(&request).await?;
        buffer.clear();
        while !answer::is_whole(&buffer)? {
            let reading = timeout(PATIENCE, stream.read_buf(&mut buffer));
            if reading.await.context("no answer in 3 s")?? == 0 {
                bail!("the connection was closed");
            }
        }
        times.push(due.elapsed().as_secs_f64() * 1e3);
    }
    Ok(times)
}
